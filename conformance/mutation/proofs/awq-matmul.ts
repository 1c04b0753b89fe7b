import type { Rule } from "../rules.ts";
import { wasted } from "../shared-proofs.ts";

export const rules: readonly Rule[] = [
  {
    from: "if (c < params.words) {",
    to: ["if (true) {", "if (c <= params.words) {"],
    proof: wasted,
  },
];
