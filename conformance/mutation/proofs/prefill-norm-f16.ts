import type { Rule } from "../rules.ts";
import { sameWords } from "../shared-proofs.ts";

export const rules: readonly Rule[] = [
  {
    from: "if (PIECES > 0u || HAS_BIAS)",
    to: ["if (true)", "if (PIECES >= 0u || HAS_BIAS)"],
    proof: sameWords,
  },
];
