import type { Rule } from "../rules.ts";

export const rules: readonly Rule[] = [
  {
    from: "var packed = vec4(0u);",
    to: ["var packed = vec4(1u);"],
    proof: "each of its words is assigned",
  },
  {
    from: "if (b % (params.groupSize / 32u) == 0u)",
    to: ["if (true)", "if (b % (params.groupSize / 33u) == 0u)"],
    proof: "every block of a group writes the same words, and at least one of them does: a multiple of ⌊G/33⌋ ≤ G/32 is among them",
  },
];
