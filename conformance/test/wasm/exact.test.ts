/** `exact` over shapes and values that its kits do not draw, element by element, and whole models: the words of core/exact. Cost: about 4 s. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { exactCpuModel } from "../../../core/exact/model.ts";
import { referenceExactOps } from "../../../core/exact/ops.ts";
import { nodeThreads } from "../../../core/host/node-threads.ts";
import { greedy } from "../../../core/sample/sampler.ts";
import { plain } from "../../arbitraries.ts";
import { exactRecipe, exactValues } from "../../cases/exact.ts";
import { awqMatrix, awqSpec, denseMatrix, usualAwq } from "../../cases/matrices.ts";
import { arbitraryConfig, randomModel } from "../fixtures/random-model.ts";
import { wasmOps } from "./ops.ts";

const { exact } = await wasmOps();
const firstDifference = (a: Float32Array, b: Float32Array): number => a.findIndex((y, i) => !Object.is(y, b[i]));

describe("a linear in exact on WebAssembly", () => {
  it("gives the words of the JavaScript op for any shape", () => {
    fc.assert(
      fc.property(
        fc.record({
          T: fc.integer({ min: 1, max: 20 }),
          groups: fc.integer({ min: 1, max: 4 }),
          group: fc.constantFrom(1, 2, 6, 32, 64, 128, 130, 258),
          words: fc.integer({ min: 1, max: 40 }),
          bits: fc.constantFrom(24, 32),
          x: exactRecipe,
          weight: awqSpec,
          dense: fc.option(fc.constantFrom("F16", "BF16", "F32")),
          data: exactRecipe,
          bias: fc.boolean(),
        }),
        ({ T, groups, group, words, bits, x, weight, dense, data, bias }) => {
          const K = groups * group;
          const N = 8 * words - (dense ? 3 : 0);
          const matrix = dense ? denseMatrix(data, dense, N, K) : awqMatrix(weight, K, N, group);
          const layer = { weight: matrix, bias: bias ? exactValues(data, N) : null };
          const rows = exactValues(x, T * K);
          const [out, expected] = [new Float32Array(T * N), new Float32Array(T * N)];
          exact.linear(layer)(out, rows, T, bits);
          referenceExactOps.linear(layer)(expected, rows, T, bits);
          expect(firstDifference(out, expected)).toBe(-1);
        },
      ),
      { numRuns: 150 },
    );
  });

  it("gives them where products of the largest numbers are added up", () => {
    for (const bits of [24, 32] as const)
      for (const sign of [1, -1]) {
        const [K, N, T] = [16_384, 32, 3];
        const rows = new Float32Array(T * K).fill(sign * 3.9999998);
        for (const weight of [
          awqMatrix({ ...usualAwq, q: "ends" }, K, N, 128),
          { ...denseMatrix(plain, "F32", N, K), data: new Float32Array(N * K).fill(-1.9999999) },
        ]) {
          const layer = { weight, bias: null };
          const [out, expected] = [new Float32Array(T * N), new Float32Array(T * N)];
          exact.linear(layer)(out, rows, T, bits);
          referenceExactOps.linear(layer)(expected, rows, T, bits);
          expect(firstDifference(out, expected)).toBe(-1);
        }
      }
  });
});

describe("silu(gate) · up in exact on WebAssembly", () => {
  it("gives the words of the JavaScript op for any values", () => {
    fc.assert(
      fc.property(exactRecipe, exactRecipe, fc.integer({ min: 1, max: 300 }), (gate, up, length) => {
        const [a, b] = [exactValues(gate, length), exactValues(gate, length)];
        // Where the exponential nears and reaches the end of what a distance holds.
        for (let i = 0; i < length; i += 7) a[i] = b[i] = -64 * Math.LN2 + (i - 150) / 1000;
        const other = exactValues(up, length);
        exact.siluMul(a, other);
        referenceExactOps.siluMul(b, other);
        expect(firstDifference(a, b)).toBe(-1);
      }),
      { numRuns: 200 },
    );
  });
});

describe("a model in exact", () => {
  it.each([1, 3])(
    "gives the same words on WebAssembly in %d threads, fed in any pieces, after truncation and in a fork",
    async (threads) => {
      const { exact: ops } = await wasmOps({ threads, host: nodeThreads() });
      try {
        await fc.assert(
          fc.asyncProperty(
            fc.record({ config: arbitraryConfig, seed: fc.nat(1e6), length: fc.integer({ min: 2, max: 30 }), cut: fc.nat(30) }),
            async ({ config, seed, length, cut }) => {
              const { weights } = randomModel(config, seed);
              const tokens = Array.from({ length }, (_, i) => (seed + 7 * i + i * i * 3) % config.vocabSize);
              const run = async (model: ReturnType<typeof exactCpuModel>): Promise<unknown> => {
                const session = model.createSession(64);
                const whole = await session.forward(tokens, { logits: "all" });
                session.truncate(cut % length);
                const again = await session.forward(tokens.slice(cut % length));
                const fork = await session.fork();
                const decoded = await session.decode(greedy, 4);
                return [whole.logits, again.logits, decoded, await fork.decode(greedy, 4)];
              };
              let expected: unknown;
              try {
                expected = await run(exactCpuModel(config, weights));
              } catch (error) {
                // A part of a layer that the definition does not have.
                expect(error).toMatchObject({ code: "unsupported" });
                expect(() => exactCpuModel(config, weights, ops)).toThrow((error as Error).message);
                return;
              }
              expect(await run(exactCpuModel(config, weights, { ...ops, dispose() {} }))).toEqual(expected);
            },
          ),
          { numRuns: threads === 1 ? 30 : 8 },
        );
      } finally {
        ops.dispose();
      }
    },
  );
});
