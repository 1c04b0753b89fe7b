import { exactAddRules, exactRootRules, exactSiluRules } from "../exact-proofs.ts";
import type { Rule } from "../rules.ts";
import { lastLoad } from "../shared-proofs.ts";

const below = "either says that something lies below, and passes no tie: those are multiples of 64";
const noFourth = "without a fourth digit nobody reads its sums";

/** The quotient serves SiLU too: its rules there (exact-silu-mul.ts) hold for every denominator. */
export const rules: readonly Rule[] = [
  ...exactAddRules,
  ...exactRootRules,
  { from: "s.y | select(0u, 1u, s.x != 0u)", to: ["s.y | select(0u, 2u, s.x != 0u)"], proof: below },
  ...exactSiluRules,
  {
    from: "min(item, ITEMS - 1u)",
    to: ["min(item, ITEMS + 1u)", "min(item, ITEMS)"],
    proof: "what is loaded past a row's end is not taken, and what it would be multiplied by stands beside 0",
  },
  { from: "if (params.norm == 1u) { by", to: ["if (true) { by"], proof: "without a norm nobody reads its weights" },
  { from: "var before = 0u;", to: ["var before = 1u;"], proof: "read where something is added alone, and loaded there" },
  { from: "if (params.adds == 1u) { before", to: ["if (true) { before"], proof: "read where something is added alone" },
  ...[0, 1, 2, 3].map((r) => ({ from: `if (more) { r${r} `, to: [`if (true) { r${r} `], proof: lastLoad })),
  { from: "if (P == 4u) { d3", to: ["if (true) { d3"], proof: noFourth },
];
