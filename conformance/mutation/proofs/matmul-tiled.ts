import type { Rule } from "../rules.ts";
import { notStored, tileRules } from "../shared-proofs.ts";

export const rules: readonly Rule[] = [
  ...tileRules,
  {
    from: "firstN < params.N;",
    to: ["firstN <= params.N;"],
    proof: "the turn more stores nothing: its n ≥ N",
  },
  {
    from: "var values = vec2(0.0);",
    to: ["var values = vec2(1.0);"],
    proof: notStored,
  },
  {
    from: "if (n < params.N && w < params.rowWords)",
    to: [
      "if (true)",
      "if (n <= params.N && w < params.rowWords)",
      "if (n < params.N || w < params.rowWords)",
      "if (n < params.N && w <= params.rowWords)",
    ],
    proof: notStored,
  },
];
