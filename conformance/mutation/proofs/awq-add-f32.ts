import type { Rule } from "../rules.ts";
import { addRules, teamRules } from "../shared-proofs.ts";

export const rules: readonly Rule[] = [...teamRules, ...addRules];
