import type { Rule } from "../rules.ts";
import { denseRules, teamRules } from "../shared-proofs.ts";

export const rules: readonly Rule[] = [...teamRules, ...denseRules];
