import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type EvaluatedModel, perplexity, windowsOf } from "../../../../core/eval/perplexity.ts";
import { compareLogits, surprise } from "../../../../core/eval/score.ts";
import { histogram, meanOf, quantileOfSorted } from "../../../../core/eval/statistics.ts";
import { cpuModel } from "../../../../core/model/cpu.ts";
import { arbitraryConfig, randomModel } from "../../fixtures/random-model.ts";

const logitsOf = fc.array(fc.float({ min: -30, max: 30, noNaN: true }), { minLength: 2, maxLength: 40 }).map((v) => Float32Array.from(v));

describe("a score", () => {
  it("is −log of the softmax, whatever is added to all logits", () => {
    fc.assert(
      fc.property(logitsOf, fc.nat(), (logits, n) => {
        const id = n % logits.length;
        const weights = Array.from(logits, (l) => Math.exp(l));
        const expected = -Math.log(weights[id]! / weights.reduce((a, b) => a + b, 0));
        expect(surprise(logits, id)).toBeCloseTo(expected, 9);
        // 64 more is exact in f32 for multiples of 2^-8.
        const coarse = logits.map((l) => Math.round(l * 256) / 256);
        expect(
          surprise(
            coarse.map((l) => l + 64),
            id,
          ),
        ).toBeCloseTo(surprise(coarse, id), 9);
      }),
    );
  });

  it("against itself has no divergence, against others the sum of its definition", () => {
    fc.assert(
      fc.property(logitsOf, fc.nat(), fc.infiniteStream(fc.float({ min: -5, max: 5, noNaN: true })), (base, n, noise) => {
        const id = n % base.length;
        const same = compareLogits(base, base, id);
        expect([same.kl, same.deltaP, same.sameTop]).toEqual([0, 0, true]);
        const model = base.map((l) => l + noise.next().value!);
        const shares = (logits: Float32Array): number[] => {
          const weights = Array.from(logits, (l) => Math.exp(l));
          const sum = weights.reduce((a, b) => a + b, 0);
          return weights.map((w) => w / sum);
        };
        const [p, q] = [shares(base), shares(model)];
        const { kl, deltaP } = compareLogits(base, model, id);
        expect(kl).toBeCloseTo(
          p.reduce((sum, share, i) => sum + share * Math.log(share / q[i]!), 0),
          8,
        );
        expect(kl).toBeGreaterThanOrEqual(0);
        expect(deltaP).toBeCloseTo(q[id]! - p[id]!, 9);
      }),
    );
  });
});

describe("windows", () => {
  it("score every id from the first on once, in order, behind context − stride ids or all that there are", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 0, max: 200 }),
        fc.integer({ min: 0, max: 50 }),
        fc.integer({ min: 2, max: 40 }),
        fc.nat(),
        (length, from, context, n) => {
          const stride = 1 + (n % (context - 1));
          const scored: number[] = [];
          for (const window of windowsOf(length, from, context, stride)) {
            expect(window.end - window.begin).toBeLessThanOrEqual(context);
            for (let i = window.from; i < window.end; i++) {
              scored.push(i);
              expect(i - window.begin).toBeGreaterThanOrEqual(Math.min(i, context - stride));
            }
          }
          const first = Math.max(1, from);
          expect(scored).toEqual(Array.from({ length: Math.max(0, length - first) }, (_, i) => first + i));
        },
      ),
    );
  });

  it.each([
    [1, 1],
    [8, 0],
    [8, 8],
    [8.5, 2],
    [8, Number.NaN],
  ])("of %d ids and a stride of %d are refused", (context, stride) => {
    expect(() => windowsOf(20, 1, context, stride)).toThrow(expect.objectContaining({ code: "range" }));
  });
});

describe("statistics", () => {
  it("give the mean, its standard error and quantiles", () => {
    expect(meanOf([1, 2, 3, 4])).toEqual({ value: 2.5, error: Math.sqrt(5 / 3 / 4) });
    expect(quantileOfSorted([1, 2, 4], 0.75)).toBe(3);
    expect(histogram([-1, 0, 0.1, 0.5, 0.99, 1, 7], 0, 1, 2)).toEqual([3, 4]);
    expect(() => meanOf([])).toThrow(expect.objectContaining({ code: "range" }));
  });
});

/** A model whose logits after an id are a table's row: what it should score is known in closed form. */
function tableModel(rows: readonly (readonly number[])[]): EvaluatedModel {
  const V = rows.length;
  return {
    config: { ...fc.sample(arbitraryConfig, { numRuns: 1, seed: 1 })[0]!, vocabSize: V },
    createSession: (maxContext) =>
      ({
        maxContext,
        prefill: async () => {},
        forward: async (ids: readonly number[]) => ({ logits: Float32Array.from(Array.from(ids).flatMap((id) => rows[id]!)) }),
        dispose() {},
      }) as never,
  };
}

describe("perplexity", () => {
  it("of a table of known chances is exp of the mean of their −log", async () => {
    const rows = [
      [Math.log(0.5), Math.log(0.5), -1e9],
      [Math.log(0.25), Math.log(0.25), Math.log(0.5)],
      [0, 0, 0],
    ];
    // p(1 | 0) = 1/2, p(2 | 1) = 1/2, p(0 | 2) = 1/3, p(1 | 0) = 1/2
    const { perplexity: value, tokens, loss } = await perplexity(tableModel(rows), [{ ids: [0, 1, 2, 0, 1] }], { context: 3, stride: 1 });
    expect(tokens).toBe(4);
    expect(value).toBeCloseTo((2 * 2 * 3 * 2) ** (1 / 4), 6);
    expect(loss.error).toBeGreaterThan(0);
    // Only what `from` names is scored.
    expect((await perplexity(tableModel(rows), [{ ids: [0, 1, 2, 0], from: 3 }], { context: 4, stride: 2 })).perplexity).toBeCloseTo(3, 6);
  });

  it.each([
    ["at once", 3, 5000],
    ["in several parts", 4096, 2600],
  ])("scores each id of a long text by the row before it, rows read %s", async (_, V, length) => {
    const idAt = (i: number): number => (i * i * 31 + i) % V;
    const ids = Array.from({ length }, (_, i) => idAt(i));
    /** What follows an id at a position: one logit stands out, by how much says where. */
    const logitsOf = (id: number, position: number): Float32Array => {
      const row = new Float32Array(V);
      row[idAt(position + 1)] = (position % 97) / 10 + id / V;
      return row;
    };
    const fed: number[] = [];
    const model: EvaluatedModel = {
      config: { ...tableModel([[0]]).config, vocabSize: V },
      createSession: () =>
        ({
          prefill: async (part: readonly number[]) => void fed.push(...part),
          forward: async (part: readonly number[]) => {
            const logits = new Float32Array(part.length * V);
            for (const [t, id] of part.entries()) logits.set(logitsOf(id, fed.length + t), t * V);
            fed.push(...part);
            return { logits };
          },
          dispose() {},
        }) as never,
    };
    const from = 40;
    const { tokens, perToken } = await perplexity(model, [{ ids, from }], { context: length, stride: 1 });
    expect(tokens).toBe(length - from);
    expect(fed).toEqual(ids.slice(0, -1));
    for (let i = from; i < length; i++) expect(perToken.loss[i - from]).toBe(surprise(logitsOf(ids[i - 1]!, i - 1), ids[i]!));
  });

  it("does not depend on windows that are never left, and is the model's own with itself", async () => {
    await fc.assert(
      fc.asyncProperty(arbitraryConfig, fc.nat({ max: 1e6 }), async (config, seed) => {
        const { weights } = randomModel(config, seed);
        const model = cpuModel(config, weights);
        const ids = Array.from({ length: 12 }, (_, i) => (seed + 7 * i) % config.vocabSize);
        const whole = await perplexity(model, [{ ids }], { context: 12, stride: 5, base: model });
        expect(whole.tokens).toBe(11);
        const { logits } = await model.createSession(12).forward(ids, { logits: "all" });
        const V = config.vocabSize;
        const losses = ids.slice(1).map((id, t) => surprise(logits.subarray(t * V, (t + 1) * V), id));
        expect([...whole.perToken.loss]).toEqual(losses);
        expect(whole.comparison).toMatchObject({ perplexityRatio: 1, kl: { value: 0, max: 0 }, sameTop: { value: 1 }, deltaP: { rms: 0 } });
      }),
      { numRuns: 5 },
    );
  });

  it("refuses nothing to score, logits that are not finite, and vocabularies that differ, by name", async () => {
    const broken = tableModel([
      [Number.NaN, 0],
      [0, 0],
    ]);
    const run = (model: EvaluatedModel, ids: number[], base?: EvaluatedModel) =>
      perplexity(model, [{ ids }], { context: 8, stride: 4, ...(base ? { base } : {}) });
    await expect(run(broken, [0])).rejects.toMatchObject({ code: "range" });
    await expect(run(broken, [0, 1])).rejects.toMatchObject({ code: "non-finite" });
    await expect(run(broken, [1, 1], tableModel([[0]]))).rejects.toMatchObject({ code: "shape" });
  });
});
