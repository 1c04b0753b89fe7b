import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { cpuModel } from "../../../../core/model/cpu.ts";
import type { Session } from "../../../../core/model/engine.ts";
import { tapNames, tapShape } from "../../../../core/model/trace.ts";
import { arbitraryConfig, randomModel } from "../../fixtures/random-model.ts";

const ids = (vocabSize: number, seed: number, length: number): number[] =>
  Array.from({ length }, (_, i) => (seed + 7 * i + i * i * 3) % vocabSize);

const session = (config: Parameters<typeof randomModel>[0], seed: number, maxContext = 64): Session => {
  const { weights } = randomModel(config, seed);
  return cpuModel(config, weights).createSession(maxContext);
};

const arbitraryRun = fc.record({ config: arbitraryConfig, seed: fc.nat(1e6), length: fc.integer({ min: 1, max: 20 }) });

describe("the CPU reference", () => {
  it("gives the same bits whether tokens are fed at once, in pieces, or one by one", async () => {
    await fc.assert(
      fc.asyncProperty(
        arbitraryRun,
        fc.array(fc.integer({ min: 1, max: 7 }), { minLength: 1, maxLength: 20 }),
        async ({ config, seed, length }, cuts) => {
          const tokens = ids(config.vocabSize, seed, length);
          const whole = await session(config, seed).forward(tokens, { logits: "all" });
          const pieces = session(config, seed);
          const V = config.vocabSize;
          for (let at = 0, i = 0; at < length; i++) {
            const size = Math.min(cuts[i % cuts.length]!, length - at);
            const part = await pieces.forward(tokens.slice(at, at + size), { logits: "all" });
            expect(part.logits).toEqual(whole.logits.slice(at * V, (at + size) * V));
            at += size;
          }
        },
      ),
      { numRuns: 60 },
    );
  });

  it("gives the same bits with and without taps, and when a hook hands back what it saw", async () => {
    await fc.assert(
      fc.asyncProperty(arbitraryRun, async ({ config, seed, length }) => {
        const tokens = ids(config.vocabSize, seed, length);
        const plain = await session(config, seed).forward(tokens, { logits: "all" });
        const traced = await session(config, seed).forward(tokens, { logits: "all", trace: ["*", "layers.*.*"] });
        expect(traced.logits).toEqual(plain.logits);
        const names = tapNames(config);
        expect([...traced.trace.keys()]).toEqual(names);
        for (const name of names) {
          const { shape, data } = traced.trace.get(name)!;
          expect(shape).toEqual(tapShape(config, name, length, length));
          expect(data.length).toBe(shape.reduce((p, n) => p * n, 1));
        }
        const steered = await session(config, seed).forward(tokens, {
          logits: "all",
          steer: { "layers.*.*": ({ data }) => data, "*": ({ data }) => data },
        });
        expect(steered.logits).toEqual(plain.logits);
      }),
      { numRuns: 30 },
    );
  });

  it("is causal: later ids change nothing before them", async () => {
    await fc.assert(
      fc.asyncProperty(arbitraryRun, fc.nat(), async ({ config, seed, length }, other) => {
        const tokens = ids(config.vocabSize, seed, length);
        const changed = [...tokens];
        changed[length - 1] = (tokens[length - 1]! + 1 + (other % (config.vocabSize - 1))) % config.vocabSize;
        const a = await session(config, seed).forward(tokens, { logits: "all" });
        const b = await session(config, seed).forward(changed, { logits: "all" });
        const before = (length - 1) * config.vocabSize;
        expect(a.logits.slice(0, before)).toEqual(b.logits.slice(0, before));
        expect(a.logits.slice(before)).not.toEqual(b.logits.slice(before));
      }),
      { numRuns: 40 },
    );
  });

  it("continues after truncate as if the dropped ids had never been", async () => {
    await fc.assert(
      fc.asyncProperty(arbitraryRun, fc.nat(19), async ({ config, seed, length }, keep) => {
        const tokens = ids(config.vocabSize, seed, length + 3);
        const kept = Math.min(keep, length);
        const s = session(config, seed);
        await s.forward(ids(config.vocabSize, seed, length));
        s.truncate(kept);
        const again = await s.forward(tokens.slice(kept));
        const fresh = await session(config, seed).forward(tokens);
        expect(again.logits).toEqual(fresh.logits);
      }),
      { numRuns: 30 },
    );
  });

  it("feels every steered value: adding to the residual stream moves the logits", async () => {
    await fc.assert(
      fc.asyncProperty(arbitraryRun, async ({ config, seed, length }) => {
        const tokens = ids(config.vocabSize, seed, length);
        const plain = await session(config, seed).forward(tokens);
        const steered = await session(config, seed).forward(tokens, {
          steer: { "layers.0.residual": ({ data }) => data.map((v, i) => v + (i % 3) - 1) },
        });
        expect(steered.logits).not.toEqual(plain.logits);
      }),
      { numRuns: 20 },
    );
  });

  it("decodes greedily what repeated forward passes choose", async () => {
    await fc.assert(
      fc.asyncProperty(arbitraryRun, async ({ config, seed, length }) => {
        const tokens = ids(config.vocabSize, seed, length);
        const s = session(config, seed);
        await s.prefill(tokens);
        const greedy = { temperature: 0, topK: 0, topP: 1, minP: 0, repetitionPenalty: 1, seed: 0n };
        const first = await s.decode(greedy, 3);
        const rest = await s.decode(greedy, 2);
        const byHand: number[] = [];
        const other = session(config, seed);
        let feed = tokens;
        for (let i = 0; i < 5; i++) {
          const { logits } = await other.forward(feed);
          const best = logits.indexOf(Math.max(...logits));
          byHand.push(best);
          feed = [best];
        }
        expect([...first.ids, ...rest.ids]).toEqual(byHand);
      }),
      { numRuns: 30 },
    );
  });
});

describe("a session refuses", () => {
  const config = fc.sample(arbitraryConfig, { numRuns: 1, seed: 1 })[0]!;
  it.each([
    ["no tokens", [], "range", 8],
    ["an id above the vocabulary", [config.vocabSize], "range", 8],
    ["a negative id", [-1], "range", 8],
    ["a fraction", [0.5], "range", 8],
    ["more tokens than its context", [0, 1, 2], "context", 2],
  ])("%s", async (_, tokens, code, maxContext) => {
    const s = session(config, 1, maxContext);
    await expect(s.forward(tokens)).rejects.toMatchObject({ name: "GureumError", code });
    await expect(s.forward([0])).resolves.toBeDefined();
  });

  it("decode before any token", async () => {
    await expect(
      session(config, 1).decode({ temperature: 0, topK: 0, topP: 1, minP: 0, repetitionPenalty: 1, seed: 0n }, 1),
    ).rejects.toMatchObject({ code: "usage" });
  });

  it("a trace pattern that names nothing", async () => {
    await expect(session(config, 1).forward([0], { trace: ["layers.0.nonsense"] })).rejects.toMatchObject({ code: "usage" });
  });

  it("a steered value of another length", async () => {
    await expect(session(config, 1).forward([0], { steer: { embeddings: () => new Float32Array(1) } })).rejects.toMatchObject({
      code: "shape",
    });
  });
});

describe("a session with room for two thousand million positions", () => {
  it("takes memory for those that are fed, and gives the same bits as a short one", async () => {
    const small = fc.sample(arbitraryConfig, { numRuns: 40, seed: 2 }).find(({ ropeScaling }) => ropeScaling.type !== "dynamic")!;
    const huge = { ...small, maxPositionEmbeddings: 2 ** 31 - 1 };
    const tokens = ids(small.vocabSize, 3, 9);
    const before = process.memoryUsage().arrayBuffers;
    const long = await session(huge, 5, 2 ** 31 - 1).forward(tokens, { logits: "all" });
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(2 ** 26);
    expect(long.logits).toEqual((await session(small, 5, 64).forward(tokens, { logits: "all" })).logits);
  });

  it("keeps its bits as the tables grow", async () => {
    const small = fc.sample(arbitraryConfig, { numRuns: 1, seed: 9 })[0]!;
    const tokens = ids(small.vocabSize, 3, 150);
    const whole = await session({ ...small, maxPositionEmbeddings: 200 }, 5, 200).forward(tokens);
    const pieces = session({ ...small, maxPositionEmbeddings: 200 }, 5, 200);
    let last = await pieces.forward(tokens.slice(0, 60));
    for (const id of tokens.slice(60)) last = await pieces.forward([id]);
    expect(last.logits).toEqual(whole.logits);
  });
});
