import type { Rule } from "../rules.ts";

export const rules: readonly Rule[] = [
  {
    from: "logit > 0.0",
    to: ["logit >= 0.0"],
    proof: "they differ at logit = 0 alone, where the result is logit · factor = 0 for both factors",
  },
];
