import type { Rule } from "../rules.ts";
import { leastExponent } from "../shared-proofs.ts";

export const rules: readonly Rule[] = [
  {
    from: "8u * BLOCKS - 1u",
    to: ["9u * BLOCKS - 1u", "8u * BLOCKS + 1u", "8u * BLOCKS"],
    on: "let i = min(",
    proof: "only invocations past the row read elsewhere: whole blocks of eight, which `alive` keeps from writing",
  },
  {
    from: "var big = 0u;",
    to: ["var big = 1u;"],
    proof: leastExponent,
  },
];
