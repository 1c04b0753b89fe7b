/** Mutants that compute the same as their kernel for every input, with the proof; by `mutantName`. */

const window = "if (params.window > 0u && last + 1u > params.window) { first = last + 1u - params.window; }";
const changed = (kernel: string, before: string, after: string): string => `${kernel}: ${before} → ${after}`;
const inRange = (name: string, end: string): string => `if (${name} < params.${end}) {`;
const wasted =
  "a column past the end is summed from clamped reads into partial sums of its own, which only the invocations of that column read, and they write nothing";
const rows = "for (var block = workgroup.x * 4u; block < params.N; block += workgroups.x * 4u) {";
const tie = "if (b.score > a.score || (b.score == a.score && b.id < a.id)) { c.score = b.score; c.id = b.id; }";
const sameId = "they differ where both scores and both ids are equal: the branch then assigns what is there";
const firstIsZero = "they differ where last + 1 equals the window alone: the taken branch then gives first = 0, which it already is";

export const equivalents: Readonly<Record<string, string>> = {
  "silu-mul: let sigmoid = select(e, 1.0, g >= 0.0) / (1.0 + e); → let sigmoid = select(e, 1.0, g > 0.0) / (1.0 + e);":
    "they differ at g = 0 alone, where the result is g · sigmoid · up = 0 for any finite sigmoid",
  "penalize: if (((seen[i / 32u] >> (i % 32u)) & 1u) == 1u) { factor = select(sampling.penaltyUp, sampling.penaltyDown, logit > 0.0); } → if (((seen[i / 32u] >> (i % 32u)) & 1u) == 1u) { factor = select(sampling.penaltyUp, sampling.penaltyDown, logit >= 0.0); }":
    "they differ at logit = 0 alone, where the result is logit · factor = 0 for both factors",
  ...Object.fromEntries(
    ["logits-partials", "sample-greedy", "sample-random"].map((kernel) => [changed(kernel, tie, tie.replace("b.id <", "b.id <=")), sameId]),
  ),
  [changed("matmul", inRange("n", "N"), "if (true) {")]: wasted,
  [changed("matmul", inRange("n", "N"), inRange("n", "N").replace("<", "<="))]: wasted,
  [changed("matmul", rows, rows.replace("< params.N", "<= params.N"))]:
    "the turn more has block ≥ N: each of its rows n ≥ N, and nothing is written for those",
  [changed("awq-matmul", inRange("c", "words"), "if (true) {")]: wasted,
  [changed("awq-matmul", inRange("c", "words"), inRange("c", "words").replace("<", "<="))]: wasted,
  [changed("attention-mix", window, window.replace("last + 1u >", "last + 1u >="))]: firstIsZero,
  [changed("attention-mix", window, window.replace("last + 1u >", "last + 2u >"))]: firstIsZero,
  [changed("attention-weights", window, window.replace("last + 1u >", "last + 1u >="))]: firstIsZero,
  [changed("attention-weights", window, window.replace("last + 1u >", "last + 2u >"))]: firstIsZero,
};
