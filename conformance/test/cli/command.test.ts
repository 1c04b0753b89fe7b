/** `gureum conformance` as built: exit codes, what goes where, the report. */
import { execFile, execFileSync, spawn } from "node:child_process";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import type { Certificate } from "../../certificate/certificate.ts";
import { replayCommand } from "../../check.ts";
import { freshFolder } from "../fixtures/fresh-folder.ts";

const cli = fileURLToPath(new URL("../../../dist/cli.js", import.meta.url));

const gureum = (...args: string[]): Promise<{ code: number; out: string; err: string }> =>
  new Promise((resolve) => {
    execFile(process.execPath, [cli, "conformance", ...args], (error, out, err) =>
      resolve({ code: error ? Number((error as { code?: unknown }).code) : 0, out, err }),
    );
  });

const folder = freshFolder("conformance");

describe("gureum conformance", () => {
  it("prints a table on stdout and writes the certificate and the report", async () => {
    const report = join(folder, "new", "report");
    const { code, out, err } = await gureum("--backend", "cpu", "--filter", "add cpu", "--runs", "7", "--seed", "3", "--report", report);
    expect(err).toBe("");
    expect(code).toBe(0);
    expect(out).toMatch(/^op +variant .*verdict\nadd +cpu\/reference .*holds$/m);
    const certificate = JSON.parse(await readFile(join(report, "certificate.json"), "utf8")) as Certificate;
    expect(certificate).toMatchObject({ format: "gureum-conformance/1", seed: 3, runs: 7, filter: "add cpu" });
    expect(certificate.rows.map(({ op }) => op)).toEqual(["add", "exact-add"]);
    expect(await readFile(join(report, "report.html"), "utf8")).toContain("every law holds");
  });

  it("prints each row as it comes", async () => {
    const child = spawn(process.execPath, [cli, "conformance", "--backend", "cpu", "--filter", "norm", "--runs", "5"]);
    const times: number[] = [];
    let out = "";
    child.stdout.on("data", (part) => {
      out += part;
      times.push(performance.now());
    });
    await new Promise((resolve) => child.on("close", resolve));
    const rows = out.trim().split("\n").length - 2;
    expect(rows).toBeGreaterThan(3);
    // Together they would come in one or two pieces, at the same time.
    expect(times.length).toBeGreaterThan(rows / 2);
    expect(times.at(-1)! - times[1]!).toBeGreaterThan(20);
  });

  it("prints the certificate with --json", async () => {
    const { code, out } = await gureum("--backend", "cpu", "--filter", "softmax", "--runs", "3", "--json");
    expect(code).toBe(0);
    expect((JSON.parse(out) as Certificate).rows[0]).toMatchObject({ op: "softmax", failures: [] });
  });

  it("gives the same rows from processes of their own", async () => {
    const rows = async (...jobs: string[]) => {
      const { code, out } = await gureum("--backend", "cpu", "--filter", "norm", "--runs", "5", "--json", ...jobs);
      expect(code).toBe(0);
      return (JSON.parse(out) as Certificate).rows;
    };
    const alone = await rows();
    expect(alone.length).toBeGreaterThan(2);
    expect(await rows("--jobs", "2")).toEqual(alone);
  });

  it("says so where a process ends before its subject is through", async () => {
    const { startJobs } = (await import(
      new URL("../../../dist/conformance/certificate/jobs.js", import.meta.url).href
    )) as typeof import("../../certificate/jobs.ts");
    const { checks, stop } = startJobs(1, { backend: "cpu" });
    await expect(checks[0]!(1000, { runs: 1, seed: 1 })).rejects.toMatchObject({ code: "device-lost", message: /exit 1/ });
    stop();
  });

  it("runs a replayed case alone", async () => {
    const spec = { length: 3, a: { kind: "ones", exponent: 0, seed: 0 }, b: { kind: "ones", exponent: 0, seed: 0 } };
    const { code, out } = await gureum("--replay", JSON.stringify(["add", "cpu/reference", "commutes, bit for bit", spec]));
    expect({ code, out }).toEqual({ code: 0, out: "holds\n" });
  });

  it("prints a line that a shell takes as it stands", async () => {
    const x = { kind: "ones", exponent: 0, seed: 0 };
    const spec = { T: 2, K: 3, N: 4, dtype: "F16", x, weight: x, bias: null };
    const law = "keeps a row's infinities and NaN to itself";
    const line = replayCommand({ law, message: "", replay: JSON.stringify(["matmul", "cpu/reference", law, spec]) });
    expect(line).toContain("'\\''");
    const out = execFileSync("sh", ["-c", line.replace(/^gureum/, '"$0" "$1"'), process.execPath, cli], { encoding: "utf8" });
    expect(out).toBe("holds\n");
  });

  it("keeps rows in --out as they come and takes them from there", async () => {
    const out = join(folder, "rows");
    const args = ["--backend", "cpu", "--filter", "softmax", "--runs", "3", "--out", out];
    const first = await gureum(...args);
    expect(first.code).toBe(0);
    expect((await readFile(out, "utf8")).split("\n")).toHaveLength(3);
    const second = await gureum(...args);
    expect(second.err).toContain(`1 of 1 are in ${out} already`);
    expect(second.out).toBe(first.out);
    const other = await gureum(...args, "--seed", "9");
    expect(other).toMatchObject({ code: 2, out: "" });
    expect(other.err).toMatch(/^gureum: .*belongs to another run: seed differs/);
  });

  it.each([
    ["--quick", "--time", "5s"],
    ["--runs", "0"],
    ["--runs", "many"],
    ["--seed", "-1"],
    ["--jobs", "0"],
    ["--time", "soon"],
    ["--backend", "tpu"],
    ["--backend", "cpu", "--filter", "no such op"],
    ["--replay", "{}"],
    ["--backend", "cpu", "--adapter", "99"],
    ["--adapter", "99", "--replay", '["softmax","cpu/reference","a law",{}]'],
    ["--mutate", "--filter", "no-such-kernel"],
    ["--no-such-option"],
  ])("refuses %s %s with one line and exit code 2", async (...args) => {
    const { code, out, err } = await gureum(...args);
    expect(code).toBe(2);
    expect(out).toBe("");
    expect(err.trim().split("\n")).toHaveLength(1);
    expect(err).toMatch(/^gureum: /);
  });
});
