import { exactAddRules, exactMaxRules, exactPowerRules, exactRowRules } from "../exact-proofs.ts";
import type { Rule } from "../rules.ts";
import { clamped, sameWords } from "../shared-proofs.ts";

const near = "a difference below 2^−25 is a distance of 0 whatever its word, and so is its product";
const far = "a difference from 2^7 on is the longest distance whatever its word, and so is its product";
const zero = "a logit of 0 is then one below 2^−125: no sum shows it but with one below 2^−94, and both are a distance of 0";
const signless = "of a distance only exponent and significand are read";

export const rules: readonly Rule[] = [
  ...exactPowerRules,
  ...exactAddRules,
  ...exactRowRules,
  ...exactMaxRules,
  {
    from: "if (m == 0u) { return 0u; }",
    to: ["if (m == 0u) { return 1u; }"],
    proof: near,
  },
  {
    from: "if (E < 1) { return 0u; }",
    to: ["if (E <= 1) { return 0u; }", "if (E < 1) { return 1u; }"],
    proof: near,
  },
  {
    from: "select(0u, 0x80000000u, negative)",
    to: ["select(0x80000000u, 0u, negative)"],
    proof: signless,
  },
  {
    from: "(a >> 31u) == 1u, select(large",
    to: ["(a >> 31u) == 2u, select(large"],
    proof: signless,
  },
  {
    from: "if (E > 254) {",
    to: ["if (false) {", "if (E >= 254) {"],
    proof: far,
  },
  {
    from: "select(0u, (x & 0x7fffffu) | 0x800000u, (x & 0x7f800000u) != 0u)",
    to: [
      "select(1u, (x & 0x7fffffu) | 0x800000u, (x & 0x7f800000u) != 0u)",
      "select(0u, (x & 0x7fffffu) | 0x800000u, (x & 0x7f800000u) != 1u)",
    ],
    proof: zero,
  },
  {
    from: "0u, (w < 0x40800000u) | (min(p, q) == 0u)",
    to: [
      "1u, (w < 0x40800000u) | (min(p, q) == 0u)",
      "0u, (w <= 0x40800000u) | (min(p, q) == 0u)",
      "0u, (w < 0x40800000u) | (max(p, q) == 0u)",
      "0u, (w < 0x40800000u) | (min(p, q) == 1u)",
    ],
    proof:
      "one factor is log₂ e, so that only 0 has a product below the least value, or at it: w shows that alone; a subnormal's distance is 0",
  },
  {
    from: "select(a ^ 0x80000000u, 0u, significand(a) == 0u)",
    to: ["select(a ^ 0x80000000u, 1u, significand(a) == 0u)", "select(a ^ 0x80000000u, 0u, significand(a) == 1u)"],
    proof: "−0 and a subnormal have the significand 0, as 0 has",
  },
  {
    from: "var top = 0u;",
    to: ["var top = 1u;"],
    proof: "a finite word is at least 2^23 in this order",
  },
  {
    from: "from_id < params.V;",
    to: ["from_id <= params.V;"],
    proof: clamped,
  },
  {
    from: "i < AT_ONCE; i++) { top",
    to: ["i <= AT_ONCE; i++) { top"],
    proof: "a logit is taken twice, by its lane or by another",
  },
  {
    from: "if (lane == 0u) { partials",
    to: ["if (true) { partials", "if (lane == 1u) { partials"],
    proof: sameWords,
  },
  {
    from: "workgroupBarrier();",
    to: [""],
    whole: true,
    nth: [5],
    proof: "only lane 0 goes on with the sum, and wrote it",
  },
];
