import type { Rule } from "../rules.ts";
import { exactAddRules } from "../shared-proofs.ts";

export const rules: readonly Rule[] = exactAddRules;
