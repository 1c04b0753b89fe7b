import type { Rule } from "../rules.ts";
import { awqTileRules, notStored, tileRules } from "../shared-proofs.ts";

export const rules: readonly Rule[] = [
  ...tileRules,
  ...awqTileRules,
  {
    from: "var first = vec4(0.0);",
    to: ["var first = vec4(1.0);"],
    proof: notStored,
  },
  {
    from: "var second = vec4(0.0);",
    to: ["var second = vec4(1.0);"],
    proof: notStored,
  },
  {
    from: "if (c < params.words && inner < params.K)",
    to: [
      "if (true)",
      "if (c <= params.words && inner < params.K)",
      "if (c < params.words || inner < params.K)",
      "if (c < params.words && inner <= params.K)",
    ],
    proof: notStored,
  },
];
