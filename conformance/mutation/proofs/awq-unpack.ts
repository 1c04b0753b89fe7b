import type { Rule } from "../rules.ts";

export const rules: readonly Rule[] = [
  {
    from: "if (k % params.groupSize == 0u)",
    to: ["if (true)", "if (k % params.groupSize == 1u)", "if (k % min(params.groupSize, 128u) == 0u)"],
    proof: "every k of a group writes the same words, and at least one of them does",
  },
];
