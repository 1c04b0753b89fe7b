import type { Rule } from "../rules.ts";
import { shift } from "../shared-proofs.ts";

export const rules: readonly Rule[] = [
  {
    from: "var score = vec4<f32>(0.0);",
    to: ["var score = vec4<f32>(1.0);"],
    proof: shift,
  },
  {
    from: "var score2 = vec4<f32>(0.0);",
    to: ["var score2 = vec4<f32>(1.0);"],
    proof: shift,
  },
  {
    from: "if (HEADS == 2u) { score2 +=",
    to: ["if (true) { score2 +="],
    proof: "without a second head nobody reads its scores",
  },
  {
    from: "weight[tid] > -3e38",
    to: ["weight[tid] >= -3e38"],
    proof: "a masked key weighs exp(−3e38 − largest) = 0, unless all keys of the split are masked, whose factor is 0 then",
  },
  {
    from: "i < KEYS; i += 16u)",
    to: ["i + 1u < KEYS; i += 16u)"],
    proof: "i is even, and so is KEYS",
  },
  {
    from: "if (HEADS == 2u) {",
    to: ["if (true) {"],
    whole: true,
    nth: [0],
    proof: "without a second head nobody reads its sums",
  },
  {
    from: "d += THREADS",
    to: ["d += 2u * (THREADS)"],
    proof: "THREADS is 256 and HEAD at most that: there is one turn",
  },
  {
    from: "p < PARTS;",
    to: ["p <= PARTS;"],
    proof: "the index past the end is clamped to the last word, which is padding and 0",
  },
];
