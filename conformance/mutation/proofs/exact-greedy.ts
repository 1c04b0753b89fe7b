import type { Rule } from "../rules.ts";
import { exactRowRules, sameWords } from "../shared-proofs.ts";

export const rules: readonly Rule[] = [
  ...exactRowRules,
  {
    from: "if (lane > 0u) { return; }",
    to: ["if (false) { return; }", "if (lane > 1u) { return; }"],
    proof: sameWords,
  },
];
