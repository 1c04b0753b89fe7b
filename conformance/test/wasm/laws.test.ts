/** The kernels of wasm/ under the laws of their kits and the law of equal bits. Cost: about 10 s. */
import { describe, expect, it } from "vitest";
import { checkKernel, lawNames } from "../../check.ts";
import { kitOf } from "../../laws.ts";
import { wasmSubjects } from "../../subjects/wasm.ts";
import { wasmOps } from "./ops.ts";

for (const subject of wasmSubjects(await wasmOps(), await wasmOps({ arithmetic: "fixed16" }))) {
  const kit = kitOf(subject.op);
  describe(`${subject.op} on WebAssembly`, () => {
    for (const law of lawNames(kit, subject))
      it(law, async () => {
        const { failures, cases } = await checkKernel(kit, subject, { runs: 100, seed: 20261126, laws: [law] });
        expect(failures).toEqual([]);
        expect(cases).toBeGreaterThan(0);
      });
  });
}
