import { afterAll, describe, expect, it } from "vitest";
import { GureumError } from "../../../core/errors.ts";
import { closeDevice, openDevice } from "../../../gpu/device/device.ts";
import { compile } from "../../../gpu/pipeline/compile.ts";
import type { Kernel } from "../../../gpu/pipeline/kernel.ts";
import { allKernels } from "../../host/kernels.ts";
import { editsOf } from "../../mutation/edits.ts";
import { mutantsOf } from "../../mutation/families.ts";
import { fromOnMutants } from "../../mutation/from-on.ts";
import { published, publishedMutants } from "../../mutation/published.ts";
import { allRules, matches } from "../../mutation/rules.ts";
import { formatScore, scoreOf } from "../../mutation/score.ts";
import { families, type Mutant } from "../../mutation/text.ts";
import { NOT_COMPILED, tryMutant } from "../../mutation/trial.ts";

const kernels = await allKernels();

describe("mutants", () => {
  const contract = (lines: readonly string[]): string[] =>
    lines.filter((line) => /^(@group|struct|override|const|var<|@compute)/.test(line));
  // Tens of thousands, of long texts: a kernel's at a time, made once.
  for (const kernel of kernels.values())
    it(`of ${kernel.name} differ from it and from one another, in one line, which is none of bindings, params and sizes`, () => {
      const mutants = editsOf(kernel);
      expect(mutants.length).toBeGreaterThan(4);
      expect(new Set([kernel.wgsl, ...mutants.map((m) => m.wgsl)]).size).toBe(mutants.length + 1);
      const lines = kernel.wgsl.split("\n");
      const wrong = mutants.filter(({ line, wgsl }) => {
        const changed = wgsl.split("\n");
        const [before, after] = [lines[line - 1]!, changed[line - 1]!];
        const elsewhere = changed.length !== lines.length || lines.some((text, i) => text !== changed[i] && i + 1 !== line);
        return elsewhere || before === after || `${contract([before])}` !== `${contract([after])}`;
      });
      expect(wrong.map(({ line, wgsl }) => [line, wgsl.split("\n")[line - 1]])).toEqual([]);
    });
  it("that are excused still exist", async () => {
    const rules = await allRules();
    expect(rules.size).toBeGreaterThan(20);
    for (const [name, ofKernel] of rules) {
      const kernel = kernels.get(name);
      expect(kernel, `proofs/${name}.ts has a kernel`).toBeDefined();
      const mutants = mutantsOf(kernel!);
      for (const rule of ofKernel)
        for (const to of rule.to)
          expect(
            mutants.some((m) => matches({ ...rule, to: [to] }, m)),
            `${name}: ${rule.from} → ${to}`,
          ).toBe(true);
    }
  });

  it("are refused in the words that the score looks for", async () => {
    const gpu = await openDevice({ backend: "null" });
    const broken: Kernel = { ...kernels.get("add")!, wgsl: "fn main() { nonsense }" };
    await expect(compile(gpu, broken)).rejects.toThrow(NOT_COMPILED);
    closeDevice(gpu);
  });
});

describe("faults that act from some n on", () => {
  it("are in every kernel, each in one line, with an n in it that the line had not", () => {
    for (const kernel of kernels.values()) {
      const mutants = fromOnMutants(kernel);
      expect(mutants.length, kernel.name).toBeGreaterThan(0);
      expect(new Set([kernel.wgsl, ...mutants.map(({ wgsl }) => wgsl)]).size).toBe(mutants.length + 1);
      const lines = kernel.wgsl.split("\n");
      for (const { wgsl, before, after } of mutants) {
        expect(wgsl.split("\n").filter((line, i) => line !== lines[i])).toHaveLength(1);
        expect(after.split("min(").length).toBe(before.split("min(").length + 1);
        expect(/, \d+u\)/.test(after)).toBe(true);
      }
    }
  });

  it("leave bindings, params, sizes and overrides alone", () => {
    const contract = (wgsl: string): string[] =>
      wgsl.split("\n").filter((line) => /^(@group|struct|override|const|var<|@compute)/.test(line));
    for (const kernel of kernels.values()) for (const m of fromOnMutants(kernel)) expect(contract(m.wgsl)).toEqual(contract(kernel.wgsl));
  });

  it("clamp a size, an index by its name and an element of a buffer, whole index and all; not what is small, nor what is never called", () => {
    const wgsl = [
      "@group(0) @binding(0) var<storage, read> keys: array<u32>;",
      "override H: u32 = 32u;",
      "fn main(@builtin(workgroup_id) wg: vec3<u32>) {",
      "  let h = wg.x;",
      "  let y = keys[at[2u] + h];",
      "  for (var i = 0u; i < H * params.eps; i++) {}",
      "  let n = countLeadingZeros(y);",
      "  let z = keys[lane];",
      "}",
      "fn idle() -> u32 { return keys[H * H]; }",
    ].join("\n");
    const kernel: Kernel = { name: "mine", wgsl, bindings: { keys: "read" }, params: { eps: "f32" }, overrides: { H: "u32" } };
    expect(fromOnMutants(kernel).map(({ after }) => after)).toEqual([
      "let h = min(wg.x, 32u);",
      "let y = keys[min(at[2u] + h, 65535u)];",
      "for (var i = 0u; i < min(H, 32u) * params.eps; i++) {}",
    ]);
  });
});

describe("the published faults", () => {
  it("are the ten of the paper's corpus, each with a place in our kernels", () => {
    expect(published.map(({ name }) => name).sort()).toEqual(
      ["attention", "flash_attention", "gelu", "l2norm", "leaky_relu", "matmul", "rmsnorm", "silu", "softmax"]
        .map((op) => `${op}_triton_buggy`)
        .concat("softmax_llm_buggy")
        .sort(),
    );
    const placed = new Set([...kernels.values()].flatMap(publishedMutants).map(({ operator }) => operator));
    for (const { name } of published) expect(placed, name).toContain(name);
  });

  it("keep what they match in brackets: none holds a placeholder", () => {
    for (const kernel of kernels.values())
      for (const { wgsl, operator } of publishedMutants(kernel)) expect(wgsl, `${kernel.name}: ${operator}`).not.toContain("$");
  });
});

describe("the score", () => {
  const mutant = (kernel: string, family: Mutant["family"], operator: string): Mutant => ({
    kernel,
    family,
    operator,
    line: 1,
    before: "a",
    after: `b ${operator}`,
    nth: 0,
    wgsl: "",
  });
  const score = scoreOf(
    [
      { mutant: mutant("add", "edits", "min for max"), verdict: "killed", by: "" },
      { mutant: mutant("add", "edits", "max for min"), verdict: "refused", by: "" },
      { mutant: mutant("add", "from n on", "a size counts up to 8"), verdict: "survived", by: "" },
      { mutant: mutant("rope", "from n on", "a size counts up to 9"), verdict: "killed", by: "" },
      { mutant: mutant("rope", "from n on", "a size counts up to 7"), verdict: "untried", by: "" },
      { mutant: mutant("silu-mul", "published", "silu_triton_buggy"), verdict: "killed", by: "" },
      { mutant: mutant("rms-norm", "published", "rmsnorm_triton_buggy"), verdict: "survived", by: "" },
    ],
    new Map(),
  );

  it("tells the kinds of faults apart, and counts what could not be tried with neither side", () => {
    expect(score.perFamily).toEqual({
      edits: { killed: 1, survived: 0, equivalent: 0, refused: 1, untried: 0 },
      "from n on": { killed: 1, survived: 1, equivalent: 0, refused: 0, untried: 1 },
      published: { killed: 1, survived: 1, equivalent: 0, refused: 0, untried: 0 },
    });
    expect(score).toMatchObject({ mutants: 7, killed: 3, refused: 1, untried: 1, score: 3 / 5 });
    const text = formatScore(score);
    for (const family of families) expect(text).toMatch(new RegExp(`^${family}: killed 1 of`, "m"));
    expect(text).toContain("from n on: killed 1 of 2: 50.00 %; 1 of kernels that this device does not run");
    expect(text).toContain("of the ten faults of arXiv 2606.20128 2 have a place here; killed in every place that was tried: 1");
    expect(text).toContain("7 mutants, 1 refused by the compiler, 1 not run here, 0 proven equivalent; killed 3 of 5: 60.00 %");
  });
});

const gpu = await openDevice().catch((error: unknown) => {
  if (error instanceof GureumError && error.code === "no-adapter") return undefined;
  throw error;
});
afterAll(() => gpu && closeDevice(gpu));

describe.skipIf(!gpu)("on a WebGPU device", () => {
  const verdictOf = async (kernel: Kernel, wanted: Mutant | undefined) =>
    (await tryMutant(gpu!, kernel, wanted!, { runs: 2, seed: 1 })).verdict;

  it("every published fault of silu-mul and rms-norm is noticed, the forgotten root and the tenfold constant among them", async () => {
    const mutants = ["silu-mul", "rms-norm"].flatMap((name) => publishedMutants(kernels.get(name)!));
    expect(new Set(mutants.map(({ operator }) => operator)).size).toBe(4);
    for (const mutant of mutants) expect(await verdictOf(kernels.get(mutant.kernel)!, mutant), mutant.after).toBe("killed");
  });

  it("an element past 65,535 is noticed where a case has one, and one that no case has survives", async () => {
    const add = kernels.get("add")!;
    const clamped = fromOnMutants(add).find(({ after }) => after.includes("65535u"));
    expect(await verdictOf(add, clamped)).toBe("killed");
    const later = { ...clamped!, wgsl: clamped!.wgsl.replace("65535u", "4000000000u") };
    expect(await verdictOf(add, later)).toBe("survived");
  });

  it("a kernel that the device does not run is not counted as surviving", async () => {
    const missing: Kernel = { ...kernels.get("add")!, name: "nowhere" };
    expect(await verdictOf(missing, fromOnMutants(kernels.get("add")!)[0])).toBe("untried");
  });
});
