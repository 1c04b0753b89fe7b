/** `gureum bench` as it is run: the built command, its files and its failures. */
import { spawn } from "node:child_process";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { planKernels } from "../../../bench/kernels.ts";
import { readResults } from "../../../bench/results.ts";
import { synthShapes } from "../../../core/checkpoint/synth-shapes.ts";
import { closeDevice, openDevice } from "../../../gpu/device/device.ts";
import { embeddedModel } from "../../../index.ts";
import { freshFolder } from "../fixtures/fresh-folder.ts";

const cli = fileURLToPath(new URL("../../../dist/cli.js", import.meta.url));
const hasDevice = await openDevice().then(
  (gpu) => {
    closeDevice(gpu);
    return true;
  },
  () => false,
);

interface Outcome {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

function bench(...args: string[]): Promise<Outcome> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [cli, "bench", ...args]);
    let out = "";
    let err = "";
    child.stdout.on("data", (part) => (out += part));
    child.stderr.on("data", (part) => (err += part));
    child.on("error", reject);
    child.on("close", (code) => resolve({ code, out, err }));
  });
}

const work = freshFolder("bench");
const at = (name: string): string => join(work, name);

describe("gureum bench", () => {
  it("says how it is used", async () => {
    const { code, out } = await bench("--help");
    expect(code).toBe(0);
    for (const word of ["device", "kernels", "model", "compare", "--synthetic", "--filter", "solar-10.7b"]) expect(out).toContain(word);
  });

  const wrong: [string, string[], RegExp][] = [
    ["no part", [], /first word is one of device, kernels, model, peers, compare/],
    ["an unknown part", ["speed"], /first word is one of .*"speed"/],
    ["no rows", ["kernels", "--rows", "0"], /--rows takes whole numbers from 1/],
    ["rows that are no numbers", ["kernels", "--rows", "1,two"], /--rows takes/],
    ["an unknown shape", ["kernels", "--shape", "solar"], /no such shape: "solar"/],
    ["an unknown backend", ["kernels", "--backend", "cuda"], /--backend is webgpu or cpu/],
    ["an unknown option", ["device", "--fast"], /--fast/],
    ["a filter that nothing matches", ["kernels", "--backend", "cpu", "--shape", "tiny", "--filter", "nonesuch"], /no op matches/],
    ["neither folder nor shape", ["model"], /a model folder or --synthetic/],
    ["both folder and shape", ["model", "a", "--synthetic", "tiny"], /a model folder or --synthetic/],
    ["one file to compare", ["compare", "a.json"], /give two files/],
    ["a time that is none", ["kernels", "--time", "soon"], /--time takes a duration such as .*"soon"/],
    ["a filter that no peer has", ["peers", embeddedModel(), "--filter", "nonesuch"], /no peer matches, got "nonesuch"/],
    ["an unknown format", ["kernels", "--format", "yaml"], /--format is one of table, markdown, csv, json, got "yaml"/],
  ];
  it.each(wrong)("refuses %s with exit code 2 and one line", async (_what, args, message) => {
    const { code, out, err } = await bench(...args);
    expect(err.trim()).toMatch(message);
    expect(err.trim().split("\n")).toHaveLength(1);
    expect(out).toBe("");
    expect(code).toBe(2);
  });

  it("fails with exit code 1 and one line on input that is broken or missing", async () => {
    await writeFile(at("broken.json"), '{"format": "gureum-bench-1", "rows": [');
    await writeFile(at("other.json"), "{}");
    const failures: [string[], RegExp][] = [
      [["compare", at("none.json"), at("none.json")], /none\.json/],
      [["compare", at("broken.json"), at("broken.json")], /broken\.json: not JSON/],
      [["compare", at("other.json"), at("other.json")], /no benchmark results/],
      [["model", at("nowhere"), "--backend", "cpu"], /nowhere/],
      [["model", "--synthetic", "tiny", "--backend", "cpu", "--depth", "2048"], /positions/],
      // One line: no file was written for a package that is not there.
      [["peers", embeddedModel(), "--filter", "wllama", "--browser", at("none")], /@wllama\/wllama is not installed — npm install/],
    ];
    for (const [args, message] of failures) {
      const { code, out, err } = await bench(...args);
      expect(err.trim()).toMatch(message);
      expect(err.trim().split("\n")).toHaveLength(1);
      expect(err).not.toMatch(/bug in gureum/);
      expect(out).toBe("");
      expect(code).toBe(1);
    }
  });

  it("measures the CPU's ops and compares two files of them", async () => {
    const words = ["kernels", "--backend", "cpu", "--shape", "tiny", "--rows", "1", "--filter", "rms*tiny", "--time", "50ms"];
    const { code, out } = await bench(...words, "--json", at("cpu.json"), "--html", at("cpu.html"));
    expect(code).toBe(0);
    expect(out).toMatch(/rms-norm (?:javascript|wasm) hidden T=1 tiny +[\d.]+ (ns|µs)/);
    const results = await readResults(at("cpu.json"));
    expect(results.device.backend).toBe("cpu");
    expect(results.command).toContain("--filter 'rms*tiny'");
    expect(await readFile(at("cpu.html"), "utf8")).toContain("<svg");
    expect((await bench(...words, "--format", "markdown")).out).toMatch(/^\| rms-norm wasm hidden T=1 tiny \| [\d.]+ (ns|µs) \|/m);
    expect((await bench("compare", at("cpu.json"), at("cpu.json"), "--format", "csv")).out).toMatch(
      /^name,a_ms,b_ms,b_faster_by,low,high,verdict\n.*,1,/,
    );
    const compared = await bench("compare", at("cpu.json"), at("cpu.json"));
    expect(compared.code).toBe(0);
    expect(compared.out).toMatch(/rms-norm (?:javascript|wasm) hidden T=1 tiny .*1\.000x/);
  });

  it("measures sequences together, their tokens counted together", async () => {
    const words = [
      "model",
      "--synthetic",
      "tiny",
      "--backend",
      "cpu",
      "--prompt",
      "4",
      "--new",
      "3",
      "--depth",
      "4",
      "--sequences",
      "1,5",
      "--time",
      "50ms",
    ];
    const { code, out } = await bench(...words, "--json", at("sequences.json"));
    expect(code).toBe(0);
    expect(out).toMatch(/decode 3 of 5 sequences at 4 tiny/);
    const { rows } = await readResults(at("sequences.json"));
    const of = (count: number) => rows.find(({ name }) => name === `decode 3 of ${count} sequences at 4 tiny`)!;
    for (const count of [1, 5]) expect(of(count).tokens).toBe(3 * count);
  });

  it.skipIf(!hasDevice)("measures every kernel of one row on the tiny shape", async () => {
    const { code, out, err } = await bench("kernels", "--shape", "tiny", "--rows", "1", "--time", "10ms", "--json", at("kernels.json"));
    // What needs subgroup matrices, or subgroups of 32, is left out by name where there are none.
    const leftOut = /^(Warning: |skipped \S+-matrix .*subgroup-matrix |skipped batch-attention-f16 .*subgroups of 32 ).*\n?/gm;
    expect({ code, err: err.replace(leftOut, "") }).toEqual({ code: 0, err: "" });
    const { rows, device, limits, skipped } = await readResults(at("kernels.json"));
    const planned = planKernels({ shape: { name: "tiny", config: synthShapes.tiny.config }, rows: [1] }).flat();
    expect([...rows, ...skipped!].map(({ name }) => name).sort()).toEqual(planned.map(({ name }) => name).sort());
    expect(rows.length).toBeGreaterThan(20);
    expect(limits.readBytesPerSecond).toBeGreaterThan(0);
    expect(device.backend).toBe("webgpu");
    for (const { name } of rows) expect(out).toContain(name);
  });
});
