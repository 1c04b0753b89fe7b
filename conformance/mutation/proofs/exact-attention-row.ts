import type { Rule } from "../rules.ts";
import { wholeWindowRules } from "../shared-proofs.ts";

export const rules: readonly Rule[] = [
  ...wholeWindowRules(256),
  {
    from: "(h - 1u) * G / H != g",
    to: ["(h - 1u) * min(G, 16u) / H != g"],
    proof: "less than before, which of the first head of a g was less than g: it writes still, and of the others more, the same words",
  },
];
