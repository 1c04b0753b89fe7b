import type { Rule } from "../rules.ts";
import { awqTileRules, notStored } from "../shared-proofs.ts";

export const rules: readonly Rule[] = [
  ...awqTileRules,
  {
    from: "if (t < step.T && k",
    to: ["if (t <= step.T && k"],
    proof: notStored,
  },
  {
    from: "var words = vec4(0u);",
    to: ["var words = vec4(1u);"],
    proof: notStored,
  },
  {
    from: "var group = vec4(0u);",
    to: ["var group = vec4(1u);"],
    proof: notStored,
  },
  {
    from: "if (quad * 4u < params.N)",
    to: ["if (true)", "if (quad < params.N)", "if (quad * 4u <= params.N)", "if (quad + 4u < params.N)"],
    proof:
      "every quad below N / 4 passes either way, since N ≥ 8; for the others it decides what stands in rows or columns of a tile that are not stored, and where the other factor is 0",
  },
];
