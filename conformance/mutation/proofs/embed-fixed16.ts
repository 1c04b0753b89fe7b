import type { Rule } from "../rules.ts";
import { leastExponent } from "../shared-proofs.ts";

export const rules: readonly Rule[] = [
  {
    from: "K / 4u - 1u",
    to: ["K * 4u - 1u", "K / 4u + 1u", "K / 4u"],
    on: "let i = min(",
    proof: "only invocations past the row read elsewhere: whole blocks of eight, which `alive` keeps from writing",
  },
  {
    from: "var big = 0u;",
    to: ["var big = 1u;"],
    proof: leastExponent,
  },
];
