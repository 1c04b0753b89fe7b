/** The first half of attention, where somebody looks at the weights: the same cases as `attention`. */

import { attentionWeights } from "../../core/ops/attention.ts";
import { expectAttentionWeights, visible } from "../accuracy.ts";
import {
  type AttentionCase,
  type AttentionSpec,
  attentionBoundaries,
  attentionReach,
  attentionRefusals,
  attentionSpec,
  farAbove,
  makeAttention,
} from "../cases/attention.ts";
import { arithmeticOf } from "../cases/shared.ts";
import { within } from "../compare.ts";
import type { Kit } from "../kit.ts";

export const kit: Kit<AttentionSpec, AttentionCase> = {
  name: "attention-weights",
  formula: "out[t, h, s] = softmax_s(q[t, h] · k[s, g] / √Hd) over the keys that t sees, else 0",
  reference: {
    arithmetic: "f64",
    run: (c, out) => attentionWeights(out, c.q, 0, c.k, c.start, c.T, c.shape, new Float64Array(c.start + c.T)),
  },
  spec: attentionSpec(),
  boundaries: attentionBoundaries,
  reach: attentionReach,
  make: makeAttention,
  length: (c) => c.T * c.shape.H * (c.start + c.T),
  expected: (c, arithmetic) => expectAttentionWeights(c, arithmeticOf(arithmetic)),
  laws: [
    {
      name: "gives weight 1 to the key whose score is far above the rest, wherever it is",
      async check(c, { run }) {
        const { H, G } = c.shape;
        for (const { at, group, far } of farAbove(c)) {
          const out = await run(far);
          const S = far.start + 1;
          const [first] = visible(far, 0);
          for (let i = 0; i < out.length; i++) {
            const [h, s] = [Math.floor(i / S), i % S];
            const flat = s >= first ? 1 / (S - first) : 0;
            const expected = Math.floor((h * G) / H) === group ? Number(s === at) : flat;
            if (!(Math.abs(out[i]! - expected) <= 2 ** -20 + flat * 2 ** -8))
              return `element ${i}: weight ${out[i]}, not ${expected}; key ${at} stands out`;
          }
        }
        return null;
      },
    },
    {
      name: "sums to 1 over the keys that are seen and is 0 elsewhere",
      async check(c, { run, expected }) {
        const { bound } = expected(c);
        const out = await run(c);
        const S = c.start + c.T;
        for (let row = 0; row < c.T * c.shape.H; row++) {
          const [first, last] = visible(c, Math.floor(row / c.shape.H));
          let sum = 0;
          let slack = S * 2 ** -52;
          for (let s = 0; s < S; s++) {
            const w = out[row * S + s]!;
            if ((s < first || s > last) && w !== 0) return `row ${row}: key ${s} is not seen but has weight ${w}`;
            sum += w;
            slack += bound[row * S + s]!;
          }
          const wrong = within(`row ${row}`, sum, 1, slack);
          if (wrong) return wrong;
        }
        return null;
      },
    },
  ],
  refusals: attentionRefusals,
  dotLike: false,
};
