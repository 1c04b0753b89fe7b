import { readdirSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { checkKernel, lawNames } from "../../check.ts";
import { cpuSubjects, kitOf, laws } from "../../laws.ts";

const filesOf = (folder: string): string[] =>
  readdirSync(new URL(folder, import.meta.url))
    .filter((name) => name.endsWith(".ts"))
    .map((name) => name.slice(0, -3));

describe("the law kits", () => {
  it("cover every op file of core/ops", () => {
    expect(filesOf("../../../core/ops/").filter((name) => !Object.hasOwn(laws, name))).toEqual([]);
  });

  it("are one per file of ops/, named like it", () => {
    expect(Object.keys(laws).sort()).toEqual(filesOf("../../ops/").sort());
    for (const [name, kit] of Object.entries(laws)) expect(kit.name).toBe(name);
  });

  it("have a CPU subject for each op file", () => {
    expect(filesOf("../../../core/ops/").filter((op) => !cpuSubjects().some((s) => s.op === op))).toEqual([]);
  });
});

for (const subject of cpuSubjects()) {
  const kit = kitOf(subject.op);
  describe(`${subject.op} on the CPU`, () => {
    for (const law of lawNames(kit, subject))
      it(law, async () => {
        const { failures, cases } = await checkKernel(kit, subject, { runs: 100, seed: 20261123, laws: [law] });
        expect(failures).toEqual([]);
        expect(cases).toBeGreaterThan(0);
      });
  });
}
