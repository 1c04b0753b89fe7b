/** Runs the built command, as users run it (`npm ci` builds it), and what it promises of a failure. */
import { spawn } from "node:child_process";
import { fileURLToPath } from "node:url";
import { expect } from "vitest";

export const cli: string = fileURLToPath(new URL("../../../dist/cli.js", import.meta.url));

export interface Outcome {
  code: number | null;
  out: string;
  err: string;
}

/** @param env besides the process's own */
export function gureum(args: string[], input?: string, shell?: string, env: Readonly<Record<string, string>> = {}): Promise<Outcome> {
  return new Promise((resolve, reject) => {
    const options = { env: { ...process.env, ...env } };
    const child = shell ? spawn("bash", ["-c", shell, cli, ...args], options) : spawn(process.execPath, [cli, ...args], options);
    let out = "";
    let err = "";
    child.stdout.on("data", (part) => (out += part));
    child.stderr.on("data", (part) => (err += part));
    child.on("error", reject);
    child.on("close", (code) => resolve({ code, out, err }));
    child.stdin.on("error", () => {});
    child.stdin.end(input ?? "");
  });
}

/** A failure as the project promises it: exit 1 (or 2), nothing on stdout, one line that names what it is about. */
export function expectFailure({ code, out, err }: Outcome, exit: number, about: RegExp): void {
  const lines = err.split("\n").filter((line) => line !== "" && !line.startsWith("backend: "));
  expect(lines.join("\n")).toMatch(about);
  expect(lines).toHaveLength(1);
  expect(err).not.toMatch(/ at .*\d+:\d+\)|bug in gureum/);
  expect(code).toBe(exit);
  expect(out).toBe("");
}
