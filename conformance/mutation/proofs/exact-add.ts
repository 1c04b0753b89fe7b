import { exactAddRules } from "../exact-proofs.ts";
import type { Rule } from "../rules.ts";

export const rules: readonly Rule[] = exactAddRules;
