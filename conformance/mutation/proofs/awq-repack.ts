import type { Rule } from "../rules.ts";

export const rules: readonly Rule[] = [
  {
    from: "var packed = vec4(0u);",
    to: ["var packed = vec4(1u);"],
    proof: "each of its words is assigned",
  },
  {
    from: "if (32u * b % params.groupSize == 0u)",
    to: ["if (true)", "if (32u * b % min(params.groupSize, 128u) == 0u)"],
    proof: "every block of a group writes the same words, and at least one of them does",
  },
];
