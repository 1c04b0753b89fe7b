import type { Rule } from "../rules.ts";
import { pickRules } from "../shared-proofs.ts";

export const rules: readonly Rule[] = [...pickRules];
