import type { Rule } from "../rules.ts";
import { teamRules } from "../shared-proofs.ts";

export const rules: readonly Rule[] = [...teamRules];
