import type { Rule } from "../rules.ts";
import { clamped, scoreRules, windowRules } from "../shared-proofs.ts";

const firstCarried = "multiplied by carried = 0 before the first sum is added";

export const rules: readonly Rule[] = [
  ...windowRules,
  ...scoreRules,
  {
    from: "= 0.0;",
    to: ["= 1.0;"],
    on: "total",
    proof: firstCarried,
  },
  {
    from: "vec2(0.0)",
    to: ["vec2(1.0)"],
    on: "mixed",
    proof: firstCarried,
  },
  {
    from: "carried = 0.0;",
    to: ["carried = 1.0;"],
    proof: "assigned before it is used; what it is multiplied with in the first turn is 0",
  },
  {
    from: "j < 8u;",
    to: ["j <= 8u;"],
    on: "highest",
    proof: "one more of the same tile's scores, or the last once more",
  },
  {
    from: "j < FOLDED;",
    to: ["j <= FOLDED;"],
    on: "higher",
    proof: clamped,
  },
  {
    from: "if (most != LOWEST)",
    to: ["if (true)"],
    proof: "exp(LOWEST − higher) is 0, which carried already is",
  },
  {
    from: "if (s <= last) { weight",
    to: ["if (true) { weight"],
    proof: "the score is LOWEST: exp(LOWEST − most) is 0",
  },
  {
    from: "last + 1u - base",
    to: ["last + 2u - base", "last + 1u + base", "last + 1u"],
    on: "let seen",
    proof: "the weights past the last key are 0, and the values there finite",
  },
  {
    from: "half < 2u;",
    to: ["half <= 2u;"],
    proof: "a column of at least 256 ≥ Hd is passed over, and not stored",
  },
  {
    from: "if (i >= params.Hd)",
    to: ["if (false)", "if (i > params.Hd)"],
    proof: "a column of at least Hd is summed up and not stored",
  },
];
