import { exactAddRules, exactRootRules } from "../exact-proofs.ts";
import type { Rule } from "../rules.ts";
import { lastLoad } from "../shared-proofs.ts";

const below = "either says that something lies below, and passes no tie: those are multiples of 64";
const noFourth = "without a fourth digit nobody reads its sums";
const noWeight = "1 / (1 + 2^−30) rounds to 1 as 1 does";

/** The quotient serves SiLU too: its rules there (exact-silu-mul.ts) hold for every denominator. */
export const rules: readonly Rule[] = [
  ...exactAddRules,
  ...exactRootRules,
  { from: "s.y | select(0u, 1u, s.x != 0u)", to: ["s.y | select(0u, 2u, s.x != 0u)"], proof: below },
  { from: "| (low & 0xfffu), 1u)", to: ["| (low & 0xfffu), 2u)"], proof: below },
  {
    from: "min(n, 31u)",
    to: ["min(n, 32u)"],
    on: "return select((s +",
    proof: "beyond 25 the distance is 0 whatever this is",
  },
  {
    from: "0u, n > 25u)",
    to: ["0u, n >= 25u)", "0u, n > 26u)"],
    proof: "a significand of 24 bits and half a unit, moved down by 25 or 26, are 0",
  },
  { from: "W >> min(n, 31u)", to: ["W >> min(n, 32u)"], proof: noWeight },
  { from: "0u, n > 30u)", to: ["1u, n > 30u)", "0u, n >= 30u)", "0u, n > 31u)"], proof: noWeight },
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
