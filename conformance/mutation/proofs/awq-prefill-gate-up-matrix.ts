import type { Rule } from "../rules.ts";
import { onePieceRules } from "../shared-proofs.ts";

export const rules: readonly Rule[] = onePieceRules(64);
