/** `--with`: kernels of one's own in files, as both commands take them and refuse them. About 30 s of CPU. */
import { execFile } from "node:child_process";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { beforeAll, describe, expect, it } from "vitest";
import { readResults } from "../../../bench/results.ts";
import { closeDevice, openDevice } from "../../../gpu/device/device.ts";
import { freshFolder } from "../fixtures/fresh-folder.ts";
import { gureum, type Outcome } from "./gureum.ts";

const hasDevice = await openDevice().then(
  (gpu) => {
    closeDevice(gpu);
    return true;
  },
  () => false,
);
const example = fileURLToPath(new URL("../../../dist/docs/examples/own-kernel.js", import.meta.url));
const folder = freshFolder("own");
let text: string;
beforeAll(async () => {
  text = await readFile(example, "utf8");
});

async function file(name: string, content: string): Promise<string> {
  await writeFile(join(folder, name), content);
  return join(folder, name);
}

/** What a command says of itself, without what a driver says. */
const said = ({ err }: Outcome): string[] => err.split("\n").filter((line) => line !== "" && !line.startsWith("Warning: max"));

describe("a file that is no kernel", () => {
  const stripped = Boolean((process.features as { typescript?: unknown }).typescript);
  const cases: [string, string, string, RegExp][] = [
    ["missing", "", "", /nowhere\.mjs: no such file/],
    ["not a module", "syntax.mjs", "export default {\n  name: 'mine',\n  op: }", /syntax\.mjs(:\d+)?: cannot be loaded \(SyntaxError: /],
    ["throwing", "throws.mjs", "\nthrow new RangeError('mine alone')", /throws\.mjs:2: cannot be loaded \(RangeError: mine alone\)/],
    [
      "importing what is not there",
      "imports.mjs",
      "import 'nonesuch'",
      /imports\.mjs: cannot be loaded \(Error: Cannot find package 'nonesuch'/,
    ],
    [
      "without a default export",
      "none.mjs",
      "export const kernel = {}",
      /none\.mjs: no default export, expected export default \{ name, op, wgsl, workgroups \}/,
    ],
    [
      "throwing, by a name that an address spells otherwise",
      "구름 1.mjs",
      "\nthrow new Error('mine')",
      /구름 1\.mjs:2: .*mine\) — mend the file$/,
    ],
    ["an empty list", "empty.mjs", "export default []", /empty\.mjs: an empty list of kernels/],
    ["a bad record", "bad.mjs", "export default { name: 'mine', op: 'add' }", /bad\.mjs > mine: wgsl, expected a string/],
    [
      "two of one name",
      "twice.mjs",
      "const k = { name: 'a', op: 'add', wgsl: '', workgroups: () => [1] }; export default [k, k]",
      /twice\.mjs: two kernels are called "a"/,
    ],
    ...(stripped
      ? []
      : [
          [
            "TypeScript where the host has none",
            "mine.ts",
            "export default {}",
            /mine\.ts: Node \S+ does not read TypeScript, expected Node 22\.18 or newer, or Deno — save it as \.mjs/,
          ] as [string, string, string, RegExp],
        ]),
  ];
  it.each(cases)("%s ends in one named line, in both commands", async (_what, name, content, message) => {
    const path = name === "" ? join(folder, "nowhere.mjs") : await file(name, content);
    for (const words of [["conformance"], ["bench", "kernels", "--shape", "tiny"]]) {
      const outcome = await gureum([...words, "--with", path]);
      expect(said(outcome)).toHaveLength(1);
      expect(said(outcome)[0]).toMatch(message);
      expect(outcome).toMatchObject({ code: 1, out: "" });
    }
  });

  it("is refused beside options that it does not go with, not left out in silence", async () => {
    for (const [words, message] of [
      [["--mutate"], /--with is not for --mutate/],
      [["--jobs", "2"], /jobs, expected 1 where subjects or kernels of one's own are given/],
      [["--family", "edits"], /--family goes with --mutate/],
    ] as const)
      expect(await gureum(["conformance", "--with", example, ...words])).toMatchObject({
        code: 2,
        out: "",
        err: expect.stringMatching(message),
      });
  });

  it("is not looked for on the CPU", async () => {
    for (const words of [["conformance"], ["bench", "kernels"]])
      expect(await gureum([...words, "--backend", "cpu", "--with", example])).toMatchObject({
        code: 2,
        err: expect.stringMatching(/--with runs kernels on WebGPU/),
      });
  });
});

describe.skipIf(!hasDevice)("a kernel in a file", () => {
  it("stands before gureum's kernels of its op in the table of laws", async () => {
    const { code, out } = await gureum(["conformance", "--with", example, "--runs", "2"]);
    expect(code).toBe(0);
    const rows = out.trimEnd().split("\n").slice(2);
    expect(rows.map((row) => row.split(/ {2,}/).slice(0, 2).join(" "))).toEqual([
      "rms-norm own/my-rms-norm",
      "rms-norm webgpu/rms-norm",
      "rms-norm webgpu/rms-norm-last-row",
    ]);
    for (const row of rows) expect(row).toMatch(/ holds$/);
  });

  it("stands in one table of bench with gureum's, with time, share of the limit, error, bound and headroom", async () => {
    const json = join(folder, "rows.json");
    const { code, out } = await gureum([
      "bench",
      "kernels",
      "--with",
      example,
      "--shape",
      "tiny",
      "--rows",
      "1",
      "--time",
      "10ms",
      "--runs",
      "1",
      "--json",
      json,
    ]);
    expect(code).toBe(0);
    // Notes on rough times stand below the table.
    const [header, ...rows] = out.split("\n\n")[1]!.trimEnd().split("\n");
    for (const column of ["median", "of limit", "error", "its bound", "headroom", "results"]) expect(header).toContain(column);
    expect(rows.map((row) => row.split(" ")[0])).toEqual(["my-rms-norm", "rms-norm"]);
    for (const row of rows) expect(row).toMatch(/ hold$/);
    for (const { check } of (await readResults(json)).rows) expect(check).toMatchObject({ holds: true, cases: expect.any(Number) });
  });

  it("that computes something else exits 1 in both, with a line that replays the case through the file", async () => {
    const path = await file("wrong.mjs", text.replace("sums[0]", "sums[1]"));
    const wrong = await gureum(["bench", "kernels", "--with", path, "--shape", "tiny", "--rows", "1", "--runs", "1", "--time", "10ms"]);
    expect(wrong).toMatchObject({
      code: 1,
      out: expect.stringMatching(/^my-rms-norm .* WRONG$/m),
      err: expect.stringMatching(/my-rms-norm computes something else than its op/),
    });
    const outcome = await gureum(["conformance", "--with", path, "--runs", "1"]);
    expect(outcome).toMatchObject({ code: 1, out: expect.stringMatching(/own\/my-rms-norm .* \d violated$/m) });
    const line = outcome.err.split("\n").find((row) => row.includes("--replay"))!;
    const shell = `node "$0" ${line.trim().slice("gureum ".length)}`;
    expect(await gureum([], "", shell)).toMatchObject({ code: 1, out: expect.stringMatching(/^violated: stays within its bound/) });
  });

  it("that was changed is not taken for the one whose rows are kept", async () => {
    const [path, out] = [await file("kept.mjs", text), join(folder, "rows.jsonl")];
    const words = ["conformance", "--with", path, "--out", out, "--runs", "1", "--variant", "my-rms-norm"];
    expect((await gureum(words)).code).toBe(0);
    expect(said(await gureum(words))[0]).toMatch(/^1 of 1 are in .* already$/);
    await file("kept.mjs", text.replace("sums[0]", "sums[1]"));
    const changed = await gureum(words);
    expect(said(changed)).toEqual([expect.stringMatching(/rows\.jsonl: belongs to another run: own differs/)]);
    expect(changed.code).toBe(2);
  });

  it("that does not compile ends in one line with the compiler's words and the line of the file", async () => {
    const path = await file("broken.mjs", text.replace("sum += dot(", "sum += dat("));
    const line = text.split("\n").findIndex((row) => row.includes("sum += dot(")) + 1;
    for (const words of [["conformance"], ["bench", "kernels", "--shape", "tiny", "--rows", "1", "--time", "10ms"]]) {
      const outcome = await gureum([...words, "--with", path]);
      expect(said(outcome)).toHaveLength(1);
      expect(said(outcome)[0]).toMatch(
        new RegExp(`broken\\.mjs:${line} > .*my-rms-norm: does not compile on this device, got line \\d+:\\d+ .*dat`),
      );
      expect(outcome).toMatchObject({ code: 1, out: "" });
    }
  });

  it("is read as TypeScript in Deno, in both commands", async () => {
    const root = new URL("../../../", import.meta.url);
    const source = fileURLToPath(new URL("docs/examples/own-kernel.ts", root));
    const run = async (...words: string[]): Promise<string> => {
      const cwd = fileURLToPath(root);
      return (await promisify(execFile)("npx", ["deno", "run", "-A", "cli.ts", ...words, "--with", source, "--runs", "1"], { cwd })).stdout;
    };
    // This kernel alone: each wait for wgpu takes Deno 11 ms, and gureum's kernels have hundreds of cases.
    const alone = ["--variant", "my-rms-norm"];
    expect(await run("conformance", ...alone)).toMatch(/^rms-norm +own\/my-rms-norm .* holds$/m);
    expect(await run("bench", "kernels", "--shape", "tiny", "--rows", "1", "--time", "10ms", ...alone)).toMatch(
      /^my-rms-norm hidden T=1 tiny .* hold$/m,
    );
  });
});
