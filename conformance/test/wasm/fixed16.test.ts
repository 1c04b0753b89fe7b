/** fixed16 over shapes and values that the kit does not draw: any number of words, several rows, no bias, blocks near the ends of f32. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { referenceFixed16Ops } from "../../../core/model/ops.ts";
import { dataKinds, recipe, values } from "../../arbitraries.ts";
import { awqMatrix, awqSpec } from "../../cases/matrices.ts";
import { wasmOps } from "./ops.ts";

const ops = await wasmOps({ arithmetic: "fixed16" });

describe("a linear in fixed16 on WebAssembly", () => {
  it("gives the bits of the JavaScript op for any shape", () => {
    fc.assert(
      fc.property(
        fc.record({
          T: fc.integer({ min: 1, max: 3 }),
          blocks: fc.integer({ min: 1, max: 6 }),
          groupBlocks: fc.integer({ min: 1, max: 4 }),
          words: fc.integer({ min: 1, max: 75 }),
          x: recipe(dataKinds, 60),
          weight: awqSpec,
          bias: fc.boolean(),
        }),
        ({ T, blocks, groupBlocks, words, x, weight, bias }) => {
          const [K, N] = [32 * groupBlocks * blocks, 8 * words];
          const matrix = awqMatrix(weight, K, N, 32 * groupBlocks);
          const linear = { weight: matrix, bias: bias ? values({ kind: "normal", exponent: 3, seed: 5 }, N) : null };
          const rows = values(x, T * K);
          const [out, expected] = [new Float32Array(T * N), new Float32Array(T * N)];
          ops.linear(out, rows, linear, T);
          referenceFixed16Ops.linear(expected, rows, linear, T);
          expect(out.findIndex((y, i) => !Object.is(y, expected[i]))).toBe(-1);
        },
      ),
      { numRuns: 200 },
    );
  });

  it("refuses groups that are no whole blocks, and other shapes, as the JavaScript op does", () => {
    const matrix = awqMatrix({ q: "random", z: "random", scales: "usual", seed: 1 }, 32, 8, 16);
    for (const { linear } of [ops, referenceFixed16Ops])
      expect(() => linear(new Float32Array(8), new Float32Array(32), { weight: matrix, bias: null }, 1)).toThrow(/group size/);
  });
});
