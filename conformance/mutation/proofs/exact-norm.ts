import { exactAddRules, exactHeldRules, exactMaxRules, exactNormRules, exactRootRules, exactRowRules } from "../exact-proofs.ts";
import type { Rule } from "../rules.ts";

export const rules: readonly Rule[] = [
  ...exactAddRules,
  ...exactHeldRules,
  ...exactMaxRules,
  ...exactNormRules,
  ...exactRootRules,
  ...exactRowRules,
  {
    from: "return select(v, -v, (x >> 31u) == 1u);",
    to: ["return select(-v, v, (x >> 31u) == 1u);", "return select(v, -v, (x >> 31u) == 2u);"],
    proof: "only its square is taken",
  },
  {
    from: "row[i][c] = select(0u, x",
    to: ["row[i][c] = select(1u, x"],
    proof: "a subnormal's significand is 0, as that of 0 is, and it is no larger than a value",
  },
  {
    from: "min(d, D - 1u)",
    to: ["min(d, D + 1u)", "min(d, D)"],
    proof: "what is loaded past a row's end is not taken",
  },
  {
    from: "for (var i = 0u; i < QUADS; i++) {",
    to: ["for (var i = 0u; i <= QUADS; i++) {"],
    whole: true,
    nth: [2],
    proof: "what lies past a row's end is not stored",
  },
];
