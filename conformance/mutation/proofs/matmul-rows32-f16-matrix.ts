import type { Rule } from "../rules.ts";
import { matrixTileRules } from "../shared-proofs.ts";

export const rules: readonly Rule[] = matrixTileRules;
