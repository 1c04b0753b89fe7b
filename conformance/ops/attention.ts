import { attentionMix, attentionWeights } from "../../core/ops/attention.ts";
import { expectAttention, visible } from "../accuracy.ts";
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
import { arithmeticOf, refuseShort } from "../cases/shared.ts";
import { sameBits, within } from "../compare.ts";
import type { Kit } from "../kit.ts";

/** A copy with row `s` of every group replaced by `value`. */
const withRow = (rows: Float32Array, s: number, width: number, value: number): Float32Array => {
  const copy = rows.slice();
  copy.fill(value, s * width, (s + 1) * width);
  return copy;
};

export const kit: Kit<AttentionSpec, AttentionCase> = {
  name: "attention",
  formula: "out[t, h] = Σ_s softmax_s(q[t, h] · k[s, g] / √Hd) · v[s, g], s ≤ start + t, g = ⌊h·G/H⌋",
  reference: {
    arithmetic: "f64",
    run: (c, out) => {
      const weights = new Float32Array(c.T * c.shape.H * (c.start + c.T));
      attentionWeights(weights, c.q, 0, c.k, c.start, c.T, c.shape, new Float64Array(c.start + c.T));
      attentionMix(out, 0, weights, c.v, c.start, c.T, c.shape, new Float64Array(c.shape.Hd));
    },
  },
  spec: attentionSpec(),
  boundaries: attentionBoundaries,
  reach: attentionReach,
  make: makeAttention,
  length: (c) => c.T * c.shape.H * c.shape.Hd,
  expected: (c, arithmetic) => expectAttention(c, arithmeticOf(arithmetic), arithmetic === "f64" ? 0 : c.start + c.T),
  laws: [
    {
      name: "is causal: a later key or value changes nothing before it, bit for bit",
      async check(c, { run }) {
        if (c.T < 2) return null;
        const width = c.shape.G * c.shape.Hd;
        const last = c.start + c.T - 1;
        const changed = { ...c, k: withRow(c.k, last, width, 3), v: withRow(c.v, last, width, -7) };
        const row = c.shape.H * c.shape.Hd;
        return sameBits(await run(c), await run(changed), 0, 0, (c.T - 1) * row);
      },
    },
    {
      name: "does not see keys behind its window, bit for bit",
      async check(c, { run }) {
        const first = visible(c, 0)[0];
        if (first === 0) return null;
        const width = c.shape.G * c.shape.Hd;
        return sameBits(await run(c), await run({ ...c, k: withRow(c.k, first - 1, width, 3), v: withRow(c.v, first - 1, width, -7) }));
      },
    },
    {
      name: "gives the value where one key is seen",
      async check(c, { run }) {
        const { H, G, Hd } = c.shape;
        const one = { ...c, T: 1, start: 0, q: c.q.slice(0, H * Hd), k: c.k.slice(0, G * Hd), v: c.v.slice(0, G * Hd) };
        const out = await run(one);
        const { bound } = expectAttention(one, arithmeticOf("f32"), 1);
        for (let i = 0; i < out.length; i++) {
          const group = Math.floor((Math.floor(i / Hd) * G) / H);
          const wrong = within(`element ${i}`, out[i]!, one.v[group * Hd + (i % Hd)]!, bound[i]!);
          if (wrong) return wrong;
        }
        return null;
      },
    },
    {
      name: "gives the value of the key whose score is far above the rest, wherever it is",
      async check(c, { run }) {
        const { H, G, Hd } = c.shape;
        const v = c.v.map((_, i) => ((i * 29) % 17) - 8);
        for (const { at, group, far } of farAbove(c)) {
          const out = await run({ ...far, v });
          const [first, last] = visible(far, 0);
          const mean = new Float64Array(G * Hd);
          for (let s = first; s <= last; s++) for (let i = 0; i < G * Hd; i++) mean[i]! += v[s * G * Hd + i]! / (last - first + 1);
          for (let i = 0; i < out.length; i++) {
            const g = Math.floor((Math.floor(i / Hd) * G) / H);
            const expected = g === group ? v[(at * G + g) * Hd + (i % Hd)]! : mean[g * Hd + (i % Hd)]!;
            if (!(Math.abs(out[i]! - expected) <= 0.02))
              return `element ${i}: ${out[i]}, not ${expected}; key ${at} of group ${group} stands out`;
          }
        }
        return null;
      },
    },
    {
      name: "does not see the order of the keys",
      async check(c, { run, expected }) {
        const { G, Hd, H } = c.shape;
        const S = c.start + c.T;
        const last = { ...c, T: 1, start: S - 1, q: c.q.slice((c.T - 1) * H * Hd), shape: { ...c.shape, window: null } };
        const reversed = (rows: Float32Array): Float32Array => {
          const out = new Float32Array(rows.length);
          for (let s = 0; s < S; s++) out.set(rows.subarray(s * G * Hd, (s + 1) * G * Hd), (S - 1 - s) * G * Hd);
          return out;
        };
        const { bound } = expected(last);
        const [a, b] = [await run(last), await run({ ...last, k: reversed(last.k), v: reversed(last.v) })];
        for (let i = 0; i < a.length; i++) {
          const wrong = within(`element ${i}`, b[i]!, a[i]!, 2 * bound[i]!);
          if (wrong) return wrong;
        }
        return null;
      },
    },
    {
      name: "stays between the least and the greatest value it mixes",
      async check(c, { run, expected }) {
        const { H, G, Hd } = c.shape;
        const { bound } = expected(c);
        const out = await run(c);
        for (let i = 0; i < out.length; i++) {
          const t = Math.floor(i / (H * Hd));
          const group = Math.floor((Math.floor((i % (H * Hd)) / Hd) * G) / H);
          const [first, last] = visible(c, t);
          let [low, high] = [Infinity, -Infinity];
          for (let s = first; s <= last; s++) {
            const v = c.v[(s * G + group) * Hd + (i % Hd)]!;
            low = Math.min(low, v);
            high = Math.max(high, v);
          }
          if (bound[i] !== Infinity && !(out[i]! >= low - bound[i]! && out[i]! <= high + bound[i]!))
            return `element ${i}: ${out[i]} is outside ${low} … ${high}`;
        }
        return null;
      },
    },
  ],
  refusals: [...attentionRefusals, refuseShort("v", (c) => ({ ...c, v: c.v.subarray(1) }))],
  dotLike: false,
};
