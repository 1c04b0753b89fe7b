/** The causal attention of a prompt by subgroup matrices. */
import * as fc from "fast-check";
import { attentionScores, type Expected, expectAttention, matrixSums, visible } from "../accuracy.ts";
import { axis, type DataKind, plain, recipe } from "../arbitraries.ts";
import { type AttentionCase, type AttentionSpec, attentionReach, makeAttention } from "../cases/attention.ts";
import { F16_TINY, f16Row, toF16 } from "../cases/prefill-linear.ts";
import type { Kit } from "../kit.ts";
import { kit as attention } from "./attention.ts";

const kinds: readonly DataKind[] = ["ones", "integers", "zeros", "equal", "oneHot", "normal", "cancelling", "outliers", "f16Overflow"];
const usualHeads: AttentionSpec = {
  T: 2,
  start: 5,
  G: 2,
  perGroup: 2,
  Hd: 64,
  window: null,
  q: plain,
  k: { ...plain, seed: 2 },
  v: { ...plain, seed: 3 },
};

export const kit: Kit<AttentionSpec, AttentionCase> = {
  name: "attention-prefill-matrix",
  formula: "out[t, h] = Σ_s softmax_s(q[t, h] · k[s, g]) · v[s, g], s ≤ start + t, q scaled beforehand, f16 operands, f32 sums",
  spec: fc.record({
    T: axis(4, 1, [16]),
    start: axis(140, 1, [63, 64, 65, 128]).map((n) => n - 1),
    G: fc.integer({ min: 1, max: 2 }),
    perGroup: fc.integer({ min: 1, max: 3 }),
    Hd: fc.constantFrom(32, 48, 64, 80, 96, 112, 128, 192, 256),
    window: fc.option(fc.integer({ min: 1, max: 150 }), { nil: null, freq: 3 }),
    q: recipe(kinds, 2),
    k: recipe(kinds, 2),
    v: recipe(kinds),
  }),
  boundaries: [
    ...[1, 15, 16, 17, 63, 64, 65, 129].map((T) => ({ ...usualHeads, T })),
    ...[0, 1, 62, 63, 64, 127, 128, 200].map((start) => ({ ...usualHeads, start })),
    { ...usualHeads, start: 0, T: 200 },
    { ...usualHeads, start: 130, T: 64 },
    { ...usualHeads, Hd: 128, start: 130, T: 5 },
    ...[32, 48, 64, 80, 96, 112, 128].flatMap((Hd) => [1, 3].map((perGroup) => ({ ...usualHeads, Hd, perGroup, T: 20 }))),
    // Heads that the kernel of a batch alone takes.
    ...[144, 160, 176, 192, 208, 224, 240, 256].map((Hd) => ({ ...usualHeads, Hd, T: 20 })),
    ...[1, 3].map((perGroup) => ({ ...usualHeads, Hd: 256, perGroup, start: 300, T: 3 })),
    // Heads beyond those that share a workgroup, keys beyond what its subgroups take at once, heads that its lanes do not share evenly.
    ...[4, 5, 9].map((perGroup) => ({ ...usualHeads, G: 1, perGroup, start: 70 })),
    ...[127, 128, 255, 256, 400].map((start) => ({ ...usualHeads, T: 1, start })),
    ...[8, 40, 120, 136, 256].map((Hd) => ({ ...usualHeads, Hd, perGroup: 5, start: 300 })),
    ...[1, 2, 63, 64, 65].map((window) => ({ ...usualHeads, T: 70, start: 70, window })),
  ],
  reach: attentionReach.map((spec) => ({ ...spec, Hd: [64, 128, 256].includes(spec.Hd) ? spec.Hd : 32 })),
  make(spec) {
    const { T, start, G, perGroup, Hd, window, q, k, v, marks } = spec;
    if (marks) {
      const marked = makeAttention(spec);
      return { ...marked, scaled: true, q: marked.q.map((x) => toF16(x / Math.sqrt(Hd))), k: marked.k.map(toF16) };
    }
    const H = G * perGroup;
    const S = start + T;
    const shape = { H, G, Hd, window };
    return { T, start, shape, scaled: true, q: f16Row(q, T * H * Hd), k: f16Row(k, S * G * Hd), v: f16Row(v, S * G * Hd) };
  },
  length: (c) => c.T * c.shape.H * c.shape.Hd,
  expected: (c, arithmetic) => expectMatrixAttention(c, arithmetic === "f16-running"),
  laws: attention.laws.filter(({ name }) => !name.includes("one key")),
  refusals: [],
  dotLike: false,
};

/**
 * To the bound of attention comes a value below f16's smallest normal number, which may be read as zero; `running`: and the rounding of each
 * weight to f16, which the denominator does not share, Σ_s |δp_s| · |v_s|. What is rounded is e_s = exp(score − a maximum so far), and p_s =
 * e_s · (at most 1): |δp_s| ≤ 2⁻¹⁰ p_s while e_s is normal, which it is with p_s; else e_s may be read as zero, and all of p_s is missing.
 */
function expectMatrixAttention(c: AttentionCase, running: boolean): Expected {
  const { H, G, Hd } = c.shape;
  const e = expectAttention(c, matrixSums, c.start + c.T);
  for (let t = 0; t < c.T; t++)
    for (let h = 0; h < H; h++) {
      const { p, errors, low } = attentionScores(c, t, h, matrixSums, c.start + c.T);
      const [first] = visible(c, t);
      const group = Math.floor((h * G) / H);
      for (let j = 0; j < p.length; j++) {
        // No number where a score may be anything; then the bound is infinite already, and a weight is at most 1 but
        // for its roundings.
        const reach = ((p[j]! * Math.exp(errors[j]!)) / low) * (1 + 2 ** -10);
        const weight = reach < 2 ? reach : 1.5;
        const rounding = !running ? 0 : (p[j]! * low) / Math.exp(errors[j]!) >= F16_TINY ? weight * 2 ** -10 : weight;
        for (let i = 0; i < Hd; i++) {
          const v = Math.abs(c.v[((first + j) * G + group) * Hd + i]!);
          e.bound[(t * H + h) * Hd + i]! += (rounding + (v < F16_TINY ? 1 : 0)) * v * (1 + 2 ** -10);
        }
      }
    }
  return e;
}
