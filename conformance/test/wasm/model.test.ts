/** Whole models on the WebAssembly ops and on those of core/ops: the same bits. Cost: about 3 s. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { openCheckpoint } from "../../../core/checkpoint/weights.ts";
import { embeddedModelPath } from "../../../core/host/embedded.ts";
import { directoryStore } from "../../../core/host/node.ts";
import { cpuModel } from "../../../core/model/cpu.ts";
import { greedy } from "../../../core/sample/sampler.ts";
import { loadCpuModel } from "../../../wasm/model.ts";
import { arbitraryConfig, randomModel } from "../fixtures/random-model.ts";
import { wasmOps } from "./ops.ts";

const ops = await wasmOps();
const ids = (vocabSize: number, seed: number, length: number): number[] =>
  Array.from({ length }, (_, i) => (seed + 7 * i + i * i * 3) % vocabSize);

describe("a model on WebAssembly", () => {
  it("gives the bits of the JavaScript ops, fed in any pieces, after truncation and while decoding", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.record({ config: arbitraryConfig, seed: fc.nat(1e6), length: fc.integer({ min: 2, max: 40 }), cut: fc.nat(40) }),
        async ({ config, seed, length, cut }) => {
          const { weights } = randomModel(config, seed);
          const tokens = ids(config.vocabSize, seed, length);
          const run = async (model: ReturnType<typeof cpuModel>): Promise<unknown> => {
            const session = model.createSession(64);
            const whole = await session.forward(tokens, { logits: "all" });
            session.truncate(cut % length);
            const again = await session.forward(tokens.slice(cut % length));
            const decoded = await session.decode(greedy, 5);
            session.dispose();
            return [whole.logits, again.logits, decoded];
          };
          expect(await run(cpuModel(config, weights, ops))).toEqual(await run(cpuModel(config, weights)));
        },
      ),
      { numRuns: 60 },
    );
  });

  it("gives the same bits with and without taps, attention weights included", async () => {
    await fc.assert(
      fc.asyncProperty(fc.record({ config: arbitraryConfig, seed: fc.nat(1e6), length: fc.integer({ min: 1, max: 20 }) }), async (c) => {
        const { weights } = randomModel(c.config, c.seed);
        const tokens = ids(c.config.vocabSize, c.seed, c.length);
        const forward = async (trace?: string[]): Promise<Float32Array> =>
          (
            await cpuModel(c.config, weights, ops)
              .createSession(64)
              .forward(tokens, { logits: "all", ...(trace ? { trace } : {}) })
          ).logits;
        expect(await forward(["layers.*.*"])).toEqual(await forward());
      }),
      { numRuns: 20 },
    );
  });

  it("allocates no buffer for a token", async () => {
    const checkpoint = await openCheckpoint(directoryStore(embeddedModelPath()));
    const { model } = await loadCpuModel(checkpoint.config, checkpoint.refs, { threads: 1 });
    const session = model.createSession(64);
    await session.prefill(ids(4096, 1, 20));
    await session.decode(greedy, 5);
    const held = (): number => process.memoryUsage().arrayBuffers;
    const before = held();
    await session.decode(greedy, 30);
    // Less than a row of logits, the smallest buffer that grows with the model.
    expect(held() - before).toBeLessThan(4 * 4096);
    model.dispose();
    await checkpoint.close();
  });
});
