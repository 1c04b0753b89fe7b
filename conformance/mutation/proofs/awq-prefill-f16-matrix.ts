import type { Rule } from "../rules.ts";
import { halfRules, lastLoad } from "../shared-proofs.ts";

export const rules: readonly Rule[] = [
  ...halfRules,
  {
    from: "if (k + 1u < K / 64u)",
    to: ["if (true)", "if (k < K / 64u)", "if (k + 1u <= K / 64u)", "if (k + 1u < K * 64u)"],
    proof: lastLoad,
  },
];
