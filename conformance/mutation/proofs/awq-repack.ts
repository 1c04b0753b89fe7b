import type { Rule } from "../rules.ts";

export const rules: readonly Rule[] = [
  {
    from: "var packed = vec4(0u);",
    to: ["var packed = vec4(1u);"],
    proof: "each of its words is assigned",
  },
  {
    from: "if (32u * b % params.groupSize == 0u)",
    to: ["if (true)"],
    proof: "every block of a group writes the same words",
  },
];
