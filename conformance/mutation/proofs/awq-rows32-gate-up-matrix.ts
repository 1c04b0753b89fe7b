import type { Rule } from "../rules.ts";
import { oneTileRules } from "../shared-proofs.ts";

export const rules: readonly Rule[] = oneTileRules(32);
