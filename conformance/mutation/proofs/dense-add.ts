import type { Rule } from "../rules.ts";
import { addRules, denseRules, teamRules } from "../shared-proofs.ts";

export const rules: readonly Rule[] = [...teamRules, ...addRules, ...denseRules];
