import type { Rule } from "../rules.ts";

export const rules: readonly Rule[] = [
  {
    from: "j < HEAD / 16u; j++) { sums[j] = vec4(0.0); }",
    to: ["j < min(HEAD, 32u) / 16u; j++) { sums[j] = vec4(0.0); }"],
    proof: "a variable of a function starts as 0",
  },
];
