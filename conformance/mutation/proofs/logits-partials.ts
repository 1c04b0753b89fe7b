import type { Rule } from "../rules.ts";
import { pickRules, sameWords } from "../shared-proofs.ts";

export const rules: readonly Rule[] = [
  ...pickRules,
  {
    from: "if (lane == 0u)",
    to: ["if (true)", "if (lane == 1u)"],
    proof: sameWords,
  },
];
