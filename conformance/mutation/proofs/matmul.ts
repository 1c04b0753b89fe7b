import type { Rule } from "../rules.ts";
import { wasted } from "../shared-proofs.ts";

export const rules: readonly Rule[] = [
  {
    from: "if (n < params.N) {",
    to: ["if (true) {", "if (n <= params.N) {"],
    proof: wasted,
  },
  {
    from: "block < params.N;",
    to: ["block <= params.N;"],
    proof: "the turn more has block ≥ N: each of its rows n ≥ N, and nothing is written for those",
  },
];
