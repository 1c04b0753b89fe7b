import type { Rule } from "../rules.ts";
import { lastLoad } from "../shared-proofs.ts";

export const rules: readonly Rule[] = [
  {
    from: "if (k + 1u < K / 128u)",
    to: ["if (true)", "if (k < K / 128u)", "if (k + 1u <= K / 128u)", "if (k + 1u < K * 128u)"],
    proof: lastLoad,
  },
];
