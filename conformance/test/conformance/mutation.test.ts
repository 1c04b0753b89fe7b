import { describe, expect, it } from "vitest";
import { closeDevice, openDevice } from "../../../gpu/device/device.ts";
import { compile } from "../../../gpu/pipeline/compile.ts";
import type { Kernel } from "../../../gpu/pipeline/kernel.ts";
import { allKernels } from "../../host/kernels.ts";
import { mutantsOf } from "../../mutation/mutants.ts";
import { allRules, matches } from "../../mutation/rules.ts";
import { NOT_COMPILED } from "../../mutation/trial.ts";

const kernels = await allKernels();

describe("mutants", () => {
  it("number at least 200 over all kernels, some in each", () => {
    const counts = [...kernels.values()].map((kernel) => mutantsOf(kernel).length);
    expect(counts.reduce((a, b) => a + b, 0)).toBeGreaterThanOrEqual(200);
    expect(counts.every((n) => n > 0)).toBe(true);
  });

  it("differ from their kernel and from one another, in one line", () => {
    for (const kernel of kernels.values()) {
      const mutants = mutantsOf(kernel);
      expect(new Set([kernel.wgsl, ...mutants.map((m) => m.wgsl)]).size).toBe(mutants.length + 1);
      const lines = kernel.wgsl.split("\n");
      for (const m of mutants) {
        const changed = m.wgsl.split("\n");
        const before = lines.findIndex((line, i) => line !== changed[i]);
        expect(m.wgsl.split("\n").length).toBe(lines.length);
        expect(lines.filter((line, i) => line !== changed[i])).toHaveLength(1);
        expect(before + 1).toBe(m.line);
      }
    }
  });

  it("leave bindings, params and sizes alone", () => {
    const contract = (wgsl: string): string[] =>
      wgsl.split("\n").filter((line) => /^(@group|struct|override|const|var<|@compute)/.test(line));
    for (const kernel of kernels.values()) for (const m of mutantsOf(kernel)) expect(contract(m.wgsl)).toEqual(contract(kernel.wgsl));
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
