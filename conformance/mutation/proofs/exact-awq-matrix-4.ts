import type { Rule } from "../rules.ts";
import { fourColumnsRules } from "../shared-proofs.ts";

export const rules: readonly Rule[] = fourColumnsRules(16_384);
