import { exactPowerRules } from "../exact-proofs.ts";
import type { Rule } from "../rules.ts";

const estimate = "z stays at most 2^46 / y, and below it by less than 1.5 · 2^−13 of it for every Y: 7.7 would do";

export const rules: readonly Rule[] = [
  ...exactPowerRules,
  { from: "(y >> 16u) + 1u", to: ["(y >> 16u) + 2u"], proof: estimate },
  { from: "92521u", to: ["92522u"], proof: estimate },
  { from: "61681u", to: ["61682u"], proof: estimate },
  { from: "z -= 2u;", to: ["z -= 3u;"], proof: estimate },
  {
    from: "rest >= y",
    to: ["rest > y"],
    proof: "they are equal for y = 2^30 alone: the quotient is then one less than 2^31, and rounds to it",
  },
  {
    from: "if (i < params.width) {",
    to: ["if (true) {", "if (i <= params.width) {"],
    whole: true,
    proof: "what is loaded past a row's end is not stored",
  },
];
