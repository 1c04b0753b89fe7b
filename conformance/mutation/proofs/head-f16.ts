import type { Rule } from "../rules.ts";
import { halvesRules, lastLoad, quadMore, teamRules } from "../shared-proofs.ts";

export const rules: readonly Rule[] = [
  ...teamRules,
  ...halvesRules,
  {
    from: "OCTETS - 1u",
    to: ["OCTETS + 1u", "OCTETS"],
    proof: "only lanes past the last eight read further on, and `o < OCTETS` keeps what they compute out of the sums",
  },
  {
    from: "V - 1u",
    to: ["V + 1u", "V"],
    proof: "only rows past the last read elsewhere, and they are not stored",
  },
  {
    from: "if (step + 1u < 8u * STEPS)",
    to: ["if (true)", "if (step < 8u * STEPS)", "if (step + 1u <= 8u * STEPS)", "if (step + 1u < 9u * STEPS)"],
    proof: lastLoad,
  },
  {
    from: "step < 8u * STEPS;",
    to: ["step <= 8u * STEPS;"],
    proof: quadMore,
  },
];
