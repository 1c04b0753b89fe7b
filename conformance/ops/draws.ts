/**
 * Tokens drawn one after the other from the same logits, at successive positions: those of docs/sampling.md, but for
 * near ties.
 */
import * as fc from "fast-check";
import { uniformAt } from "../../core/sample/random.ts";
import { candidates, draw } from "../../core/sample/sampler.ts";
import { chosen, left, makeExpected, nearTies, uniformOf } from "../accuracy.ts";
import {
  type CandidatesCase,
  type CandidatesSpec,
  candidatesBoundaries,
  candidatesReach,
  candidatesSpec,
  makeCandidates,
} from "../cases/candidates.ts";
import { arithmeticOf } from "../cases/shared.ts";
import type { Kit } from "../kit.ts";

interface Spec extends CandidatesSpec {
  readonly minP: number;
  /** Decimal digits of the u64. */
  readonly seed: string;
  readonly position: number;
}
export interface DrawsCase extends CandidatesCase {
  /** Index of the first new token in the sequence. */
  readonly position: number;
}

export const DRAWS = 16;
const positions = (first: number): number[] => Array.from({ length: DRAWS }, (_, i) => first + i);

export const kit: Kit<Spec, DrawsCase> = {
  name: "draws",
  formula: "out[i] = the id that docs/sampling.md draws at `position` + i",
  reference: {
    arithmetic: "f64",
    run: (c, out) => {
      const all = candidates(c.logits, c.options);
      for (let i = 0; i < DRAWS; i++) out[i] = draw(all, uniformAt(c.options.seed, c.position + i));
    },
  },
  spec: fc
    .tuple(
      candidatesSpec,
      fc.record({
        minP: fc.oneof(fc.constant(0), fc.constant(1), fc.double({ min: 0.01, max: 0.9, noNaN: true })),
        seed: fc.bigInt({ min: 0n, max: (1n << 64n) - 1n }).map(String),
        position: fc.integer({ min: 1, max: 100_000 }),
      }),
    )
    .map(([a, b]) => ({ ...a, ...b })),
  boundaries: [
    ...candidatesBoundaries.map((spec, i) => ({ ...spec, minP: i % 4 === 3 ? 1 : 0, seed: `${i}`, position: 1 + i })),
    // Where u is a multiple of 1/1024 the running sum of equal weights meets it exactly: u = 69, 208 and 856 of 1024.
    ...[38_082, 88_476, 79_364].map((position) => ({
      V: 1024,
      data: { kind: "ones" as const, exponent: 0, seed: 1 },
      topK: 0,
      topP: 1,
      temperature: 1,
      minP: 0,
      seed: "1",
      position,
    })),
  ],
  reach: candidatesReach.map((spec) => ({ ...spec, minP: 0, seed: "18446744073709551615", position: 131_056 })),
  make: ({ minP, seed, position, ...spec }) => {
    const { logits, options } = makeCandidates(spec);
    return { logits, options: { ...options, minP, seed: BigInt(seed) }, position };
  },
  length: () => DRAWS,
  expected({ logits, options, position }, arithmetic) {
    const e = makeExpected(DRAWS);
    const all = left(logits, options);
    const ties = nearTies(logits, options, [], positions(position), arithmeticOf(arithmetic));
    for (const [i, at] of positions(position).entries()) {
      e.value[i] = chosen(all, uniformOf(options.seed, at));
      if (ties[i]) e.bound[i] = Infinity;
    }
    return e;
  },
  laws: [
    {
      name: "takes ties at the cut in the order of their ids",
      async check(c, { run }) {
        // Three equal ids and a likelier one side by side; top-k takes that one and two of the three.
        const logits = new Float32Array(1024).fill(-50);
        const at = (4 * c.position) % 1024;
        logits.set([0, 0, 0, 0.5], at);
        const one = { ...c, logits, options: { ...c.options, temperature: 1, topK: 3, topP: 1, minP: 0 } };
        const { value, bound } = kit.expected(one, "f32");
        const out = await run(one);
        const i = out.findIndex((id, n) => bound[n] === 0 && id !== value[n]);
        return i < 0 ? null : `draw ${i}: ${out[i]}, not ${value[i]}`;
      },
    },
  ],
  refusals: [],
  dotLike: false,
};
