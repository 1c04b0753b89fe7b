import type { Rule } from "../rules.ts";
import { scoreRules, windowRules } from "../shared-proofs.ts";

export const rules: readonly Rule[] = [
  ...windowRules,
  ...scoreRules,
  {
    from: "if (lane < width) { partial[lane] = max(",
    to: ["if (true) { partial[lane] = max(", "if (lane <= width) { partial[lane] = max("],
    proof:
      "every element is the largest of some of the scores, and stays one whatever it is joined with: the first holds the largest of all",
  },
  {
    from: "i < S; i += LANES) {",
    to: ["i <= S; i += LANES) {"],
    proof: "key S is behind the last, and passed over",
  },
];
