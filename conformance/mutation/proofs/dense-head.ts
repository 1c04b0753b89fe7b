import type { Rule } from "../rules.ts";
import { denseRules, oneTeamRules, teamRules } from "../shared-proofs.ts";

export const rules: readonly Rule[] = [...teamRules, ...oneTeamRules, ...denseRules];
