import type { Rule } from "../rules.ts";
import { wholeWindowRules } from "../shared-proofs.ts";

export const rules: readonly Rule[] = [...wholeWindowRules(4096, "lowest"), ...wholeWindowRules(4096, "sees")];
