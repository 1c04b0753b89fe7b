import type { Rule } from "../rules.ts";
import { sameWords } from "../shared-proofs.ts";

export const rules: readonly Rule[] = [
  {
    from: "if (second) { a1",
    to: ["if (true) { a1"],
    proof: "what is loaded past the row's end is not used: the sum and the store ask again",
  },
  {
    from: "if (PIECES > 0u || HAS_BIAS)",
    to: ["if (true)", "if (PIECES >= 0u || HAS_BIAS)"],
    proof: sameWords,
  },
  {
    from: "K / 8u;",
    to: ["min(K, 4096u) / 8u;"],
    proof: "with K from 4096 on both eights of each of 256 lanes are within the row, as they are with 4096",
  },
];
