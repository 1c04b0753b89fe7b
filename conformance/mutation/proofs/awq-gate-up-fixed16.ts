import type { Rule } from "../rules.ts";
import { oneTeamRules, teamRules } from "../shared-proofs.ts";

export const rules: readonly Rule[] = [
  ...teamRules,
  ...oneTeamRules,
  {
    from: "* TEAMS + team)",
    to: ["+ team)", "* TEAMS - team)", "* TEAMS)"],
    on: "let base = ",
    proof: "there is one team, whose number is 0",
  },
  { from: "(team * QUADS + quad)", to: ["(team + quad)"], proof: "there is one team, whose number is 0" },
  {
    from: "PER / 4u;",
    to: ["PER * 4u;"],
    proof: "rows of up then follow those of gate as quads of it: 4 · (PER / 4) · (F / PER) = F",
  },
];
