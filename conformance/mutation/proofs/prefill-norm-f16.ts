import type { Rule } from "../rules.ts";
import { sameWords } from "../shared-proofs.ts";

export const rules: readonly Rule[] = [
  {
    from: "i < K / 4u;",
    to: ["i + 1u < K / 4u;"],
    proof: "K / 4 is even and i too: i + 1 lies in the row where i does",
  },
  {
    from: "if (PIECES > 0u || HAS_BIAS)",
    to: ["if (true)", "if (PIECES >= 0u || HAS_BIAS)"],
    proof: sameWords,
  },
];
