import type { Rule } from "../rules.ts";
import { exactAddRules, exactMaxRules, exactRootRules, exactRowRules } from "../shared-proofs.ts";

export const rules: readonly Rule[] = [...exactAddRules, ...exactRowRules, ...exactMaxRules, ...exactRootRules];
