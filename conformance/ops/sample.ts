/**
 * From logits to a token, docs/sampling.md: the id is the specification's, unless the draw is a near tie in the
 * subject's arithmetic. Output: [id, log-probability, and what a backend keeps of the sequence: rows to feed, position,
 * tokens sampled, the id to feed next, whether the id is marked as seen, how many words changed that should not].
 */
import * as fc from "fast-check";
import type { SamplingOptions } from "../../core/model/engine.ts";
import { argmax, greedy, logProbability, sample } from "../../core/sample/sampler.ts";
import { drawnToken, F32_MAX, logProbabilityError, logShare, makeExpected, nearTies } from "../accuracy.ts";
import { axis, type Recipe, recipe, uniform, values } from "../arbitraries.ts";
import { arithmeticOf } from "../cases/shared.ts";
import type { Kit } from "../kit.ts";

interface Spec {
  readonly V: number;
  readonly data: Recipe;
  readonly topK: number;
  readonly topP: number;
  readonly minP: number;
  readonly temperature: number;
  readonly repetitionPenalty: number;
  /** Decimal digits of the u64. */
  readonly seed: string;
  readonly position: number;
}
export interface SampleCase {
  readonly logits: Float32Array;
  readonly options: SamplingOptions;
  readonly seen: readonly number[];
  /** Index of the new token in the sequence. */
  readonly position: number;
}

/** Elements of the output. */
export const SAMPLE_OUTPUTS = 8;
/** Tokens sampled before this one, in the state a subject starts from. */
export const SAMPLED_BEFORE = 2;

const plain: Recipe = { kind: "normal", exponent: 1, seed: 1 };
const usual = { data: plain, topK: 0, topP: 1, minP: 0, temperature: 1, repetitionPenalty: 1, seed: "1", position: 3 };
const share = fc.double({ min: 0.01, max: 0.999, noNaN: true });

export const kit: Kit<Spec, SampleCase> = {
  name: "sample",
  formula: "id = the token that docs/sampling.md draws at `position`; logprob = log softmax(logits)[id]",
  reference: {
    arithmetic: "f64",
    run: (c, out) => {
      const id = sample(c.logits, c.options, c.seen, c.position);
      out.set([id, logProbability(c.logits, id), 1, c.position, SAMPLED_BEFORE + 1, id, 1, 0]);
    },
  },
  spec: fc.record({
    V: axis(1500, 1, [2, 32, 64, 256, 512, 1024]),
    data: recipe(["ones", "integers", "zeros", "equal", "oneHot", "normal", "cancelling", "positive"], 4),
    topK: fc.oneof(fc.constant(0), fc.integer({ min: 1, max: 50 }), fc.integer({ min: 1, max: 2000 })),
    topP: fc.oneof(fc.constant(1), share),
    minP: fc.oneof(fc.constant(0), share),
    temperature: fc.oneof(fc.constant(0), fc.constant(1), fc.double({ min: 0.1, max: 3, noNaN: true })),
    repetitionPenalty: fc.oneof(fc.constant(1), fc.double({ min: 0.5, max: 2, noNaN: true })),
    seed: fc.bigInt({ min: 0n, max: (1n << 64n) - 1n }).map(String),
    position: fc.integer({ min: 1, max: 100_000 }),
  }),
  boundaries: [1, 2, 3, 31, 32, 33, 255, 256, 257, 511, 513, 16_385, 40_000].flatMap((V) => [
    { ...usual, V, temperature: 0 },
    { ...usual, V },
    { ...usual, V, topK: 5, position: 4 },
    { ...usual, V, topP: 0.5, position: 5 },
    { ...usual, V, minP: 0.05, temperature: 0.7, repetitionPenalty: 1.3, position: 6 },
  ]),
  // Vocabularies and positions of models; the last ids seen among the ids.
  reach: [
    { ...usual, V: 128_256, temperature: 0, repetitionPenalty: 1.3, position: 131_071 },
    { ...usual, V: 152_064, topK: 50, topP: 0.9, temperature: 0.7, repetitionPenalty: 1.1, position: 131_071 },
    { ...usual, V: 256_000, temperature: 0, position: 70_000 },
    // One id far above the others, beyond 16 bits of rows too; so far that only the right largest keeps exp in range.
    { ...usual, V: 152_064, data: { kind: "oneHot", exponent: 8, seed: 3 }, position: 9 },
    { ...usual, V: 128_256, data: { kind: "normal", exponent: 9, seed: 5 }, temperature: 0, position: 9 },
    // As many rows as a call has.
    { ...usual, V: 60, temperature: 0, position: 9 },
    { ...usual, V: 60, topK: 50, repetitionPenalty: 1.1, position: 9 },
    // More weights than f16 counts in each of the partial sums, and an id beyond 16 bits.
    { ...usual, V: 152_064, data: { kind: "oneHot", exponent: -4, seed: 3 }, position: 40_000 },
  ],
  make({ V, data, seed, position, ...options }) {
    const next = uniform(data.seed + 1);
    const seen = Array.from({ length: Math.min(8, V) }, (_, i) => (i === 7 && V > 65_536 ? V - 1 : Math.floor(next() * V)));
    return { logits: values(data, V), options: { ...options, seed: BigInt(seed) }, seen, position };
  },
  length: () => SAMPLE_OUTPUTS,
  expected(c, arithmetic) {
    const a = arithmeticOf(arithmetic);
    const id = drawnToken(c.logits, c.options, c.seen, c.position);
    const e = makeExpected(SAMPLE_OUTPUTS);
    e.value.set([id, logShare(c.logits, id), 1, c.position, SAMPLED_BEFORE + 1, id, 1, 0]);
    const error = logProbabilityError(c.logits, id, a);
    e.bound[1] = error + (Math.abs(e.value[1]!) + error) * a.store;
    if (nearTies(c.logits, c.options, c.seen, [c.position], a)[0]) e.bound.fill(Infinity, 0, 2).fill(Infinity, 5, 6);
    return e;
  },
  laws: [
    {
      name: "is greedy where one logit is far above the rest, whatever the options",
      async check(c, { run }) {
        const logits = c.logits.map((l) => Math.max(-50, Math.min(50, l)));
        const at = (c.position * 7919) % logits.length;
        // Above 24 bits of probability: no draw of a 24-bit uniform number reaches another id.
        logits[at] = 50 + 8 * 100;
        const options = { ...c.options, temperature: Math.min(c.options.temperature, 1), repetitionPenalty: 1 };
        const [id] = await run({ ...c, logits, options });
        return id === at ? null : `drew ${id}, the likeliest by far is ${at}`;
      },
    },
    {
      name: "chooses id 0 where no logit is above the lowest number",
      async check(c, { run }) {
        const [id] = await run({ ...c, logits: c.logits.map(() => -F32_MAX), options: greedy });
        return id === 0 ? null : `chose ${id}`;
      },
    },
    {
      name: "never chooses NaN while there is a number, where it is greedy",
      async check(c, { run }) {
        const at = (c.position * 7919) % c.logits.length;
        const [id] = await run({ ...c, logits: c.logits.map((_, i) => (i === at ? -3 : Number.NaN)), options: greedy });
        return id === at ? null : `chose ${id}, not ${at}`;
      },
    },
    {
      name: "takes the lowest id among equals where it is greedy",
      async check(c, { run }) {
        const logits = c.logits.map((l) => Math.round(l));
        const [id] = await run({ ...c, logits, options: greedy });
        return id === argmax(logits) ? null : `chose ${id}, expected ${argmax(logits)}`;
      },
    },
  ],
  refusals: [],
  dotLike: false,
};
