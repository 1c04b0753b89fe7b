import type { Rule } from "../rules.ts";
import { denseRules, oneTeamRules, teamRules } from "../shared-proofs.ts";

export const rules: readonly Rule[] = [
  ...teamRules,
  ...oneTeamRules,
  ...denseRules,
  {
    from: "bias[row / 4u]",
    to: ["bias[min(row / 4u, 1024u)]"],
    proof: "no head has a bias: the function is not called",
  },
];
