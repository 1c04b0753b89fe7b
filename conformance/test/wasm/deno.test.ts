/** The kernels in Deno: fused multiply-adds, and workers by node:worker_threads and by the web's interface. Cost: about 8 s. */
import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { beforeAll, describe, expect, it } from "vitest";

interface Report {
  readonly relaxed: boolean;
  readonly cases: number;
  readonly failures: readonly unknown[];
  readonly threads: Readonly<Record<string, boolean>>;
}

let report: Report;
beforeAll(async () => {
  const script = fileURLToPath(new URL("deno-run.ts", import.meta.url));
  const { stdout } = await promisify(execFile)("npx", ["deno", "run", "-A", script], { maxBuffer: 1 << 24 });
  report = JSON.parse(stdout.trim().split("\n").at(-1)!) as Report;
});

describe("in Deno", () => {
  it("fused multiply-adds give the bits of the JavaScript ops", () => {
    expect(report.relaxed).toBe(true);
    expect(report.failures).toEqual([]);
    expect(report.cases).toBeGreaterThan(300);
  });

  it("two threads give them, started as in Node and as in a page", () => {
    expect(report.threads).toEqual({ node: true, web: true });
  });
});
