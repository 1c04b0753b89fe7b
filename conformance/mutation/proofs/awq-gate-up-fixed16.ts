import type { Rule } from "../rules.ts";
import { decodeRules, halvesRules, quadMore, teamRules } from "../shared-proofs.ts";

export const rules: readonly Rule[] = [
  ...teamRules,
  ...decodeRules,
  ...halvesRules,
  {
    from: "step < QUADS * STEPS;",
    to: ["step <= QUADS * STEPS;"],
    proof: quadMore,
  },
];
