import type { Rule } from "../rules.ts";
import { windowRules } from "../shared-proofs.ts";

export const rules: readonly Rule[] = [...windowRules];
