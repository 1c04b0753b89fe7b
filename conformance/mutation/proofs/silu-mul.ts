import type { Rule } from "../rules.ts";
import { siluAtZero } from "../shared-proofs.ts";

export const rules: readonly Rule[] = [
  {
    from: "g >= 0.0",
    to: ["g > 0.0"],
    proof: siluAtZero,
  },
];
