/** The second half of attention: the same cases as `attention`, with their weights. */
import { attentionMix, attentionWeights } from "../../core/ops/attention.ts";
import { expectAttentionMix, visible } from "../accuracy.ts";
import {
  type AttentionCase,
  type AttentionSpec,
  attentionBoundaries,
  attentionReach,
  attentionSpec,
  makeAttention,
} from "../cases/attention.ts";
import { arithmeticOf, refuseShort } from "../cases/shared.ts";
import { sameBits } from "../compare.ts";
import type { Kit } from "../kit.ts";

export interface AttentionMixCase extends AttentionCase {
  /** [T, H, S] */
  readonly weights: Float32Array;
}

export const kit: Kit<AttentionSpec, AttentionMixCase> = {
  name: "attention-mix",
  formula: "out[t, h] = Σ_s weights[t, h, s] · v[s, g] over the keys that t sees",
  reference: {
    arithmetic: "f64",
    run: (c, out) => attentionMix(out, 0, c.weights, c.v, c.start, c.T, c.shape, new Float64Array(c.shape.Hd)),
  },
  // Scores without outliers: a single weight of 1 would make every sum exact.
  spec: attentionSpec(["ones", "integers", "zeros", "normal", "cancelling"], 1),
  boundaries: attentionBoundaries,
  reach: attentionReach,
  make(spec) {
    const c = makeAttention(spec);
    const S = c.start + c.T;
    const weights = new Float32Array(c.T * c.shape.H * S);
    attentionWeights(weights, c.q, 0, c.k, c.start, c.T, c.shape, new Float64Array(S));
    return { ...c, weights };
  },
  length: (c) => c.T * c.shape.H * c.shape.Hd,
  expected: (c, arithmetic) => expectAttentionMix(c, arithmeticOf(arithmetic)),
  laws: [
    {
      name: "does not read the weights of keys that are not seen, bit for bit",
      async check(c, { run }) {
        const S = c.start + c.T;
        const weights = c.weights.map((w, i) => {
          const [first, last] = visible(c, Math.floor(i / (c.shape.H * S)));
          return i % S < first || i % S > last ? 1 : w;
        });
        return sameBits(await run(c), await run({ ...c, weights }));
      },
    },
    {
      name: "is linear in v: twice v gives twice the result, bit for bit",
      async check(c, { run }) {
        const v = c.v.map((x) => (Math.abs(x) < 2 ** -40 || Math.abs(x) > 2 ** 14 ? 0 : x));
        const weights = c.weights.map((w) => (w < 2 ** -60 ? 0 : w));
        const [once, twice] = [await run({ ...c, v, weights }), await run({ ...c, v: v.map((x) => 2 * x), weights })];
        return sameBits(
          once.map((y) => 2 * y),
          twice,
        );
      },
    },
  ],
  refusals: [
    refuseShort("v", (c) => ({ ...c, v: c.v.subarray(1) })),
    refuseShort("weights", (c) => ({ ...c, weights: c.weights.subarray(1) })),
    refuseShort("out", (c) => c, true),
  ],
  dotLike: true,
};
