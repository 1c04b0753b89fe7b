import type { Rule } from "../rules.ts";
import { keyRules, pickRules } from "../shared-proofs.ts";

export const rules: readonly Rule[] = [
  ...pickRules,
  ...keyRules,
  {
    from: "b.score > a.score",
    to: ["b.score >= a.score"],
    proof: "decides between ids of equal scores, and this kernel does not use the id",
  },
  {
    from: "(round + 1u) / 4u",
    to: ["(round + 2u) / 4u"],
    proof: "round is 3, 7, 11, 15 or 19 here: the quotient is the same",
  },
  {
    from: "(params.V + LANES - 1u) / LANES",
    to: ["(params.V + LANES + 1u) / LANES", "(params.V + LANES) / LANES", "(params.V + LANES - 1u) * LANES"],
    proof: "ranges of any width that reach V together share out the same ids in the same order",
  },
  {
    from: "first + range",
    to: ["first - range"],
    proof: "0 − range wraps and is cut to V: the first range holds every id, the others none",
  },
  {
    from: "var chosen = 0u;",
    to: ["var chosen = 1u;"],
    proof: "the range that is drawn has a weight, whose id is assigned",
  },
  {
    from: "id < end;",
    to: ["id <= end;"],
    proof: "the loop has left by its end, but for a rounding of the running sum, which is a near tie",
  },
];
