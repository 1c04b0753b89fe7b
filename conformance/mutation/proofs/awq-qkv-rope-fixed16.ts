import type { Rule } from "../rules.ts";
import { decodeRules, teamRules } from "../shared-proofs.ts";

export const rules: readonly Rule[] = [...teamRules, ...decodeRules];
