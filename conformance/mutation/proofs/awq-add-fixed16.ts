import type { Rule } from "../rules.ts";
import { clamped, decodeRules, leastExponent, sameWords, teamRules } from "../shared-proofs.ts";

export const rules: readonly Rule[] = [
  ...teamRules,
  ...decodeRules,
  {
    from: "= 0u;",
    to: ["= 1u;"],
    on: "var largest =",
    proof: leastExponent,
  },
  {
    from: "i < 8u;",
    to: ["i <= 8u;"],
    on: "largest = max(",
    proof: clamped,
  },
  {
    from: "if (tid == 0u) {",
    to: ["if (true) {", "if (tid == 1u) {"],
    proof: sameWords,
  },
];
