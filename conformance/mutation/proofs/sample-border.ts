import type { Rule } from "../rules.ts";
import { keyRules, sameWords } from "../shared-proofs.ts";

export const rules: readonly Rule[] = [
  ...keyRules,
  {
    from: "var allowed = 0u;",
    to: ["var allowed = 1u;"],
    proof: "without top-k the border's key is 0, which no number has, and its weight exp(−200) is 0: one more of such ids is none",
  },
  {
    from: "options.topK < params.V",
    to: ["options.topK <= params.V"],
    proof: "they differ where top-k is V: the cut then leaves all V",
  },
  {
    from: ">= options.topK)",
    to: ["> options.topK)"],
    proof: "they differ where exactly k ids reach a key: the border is then the next key below, of which k − k = 0 ids stay",
  },
  {
    from: "if (allowed > 0u)",
    to: ["if (true)", "if (allowed >= 0u)"],
    proof: "they differ where allowed is 0: the product is 0 as well, since max(NaN, −200) is −200",
  },
  {
    from: "max(candidate, edge + 1u)",
    to: ["max(candidate, edge)"],
    proof: "they differ for candidates up to top-k's border, whose weight is all there is and enough either way",
  },
  {
    from: "candidate <= edge)",
    to: ["candidate < edge)"],
    proof: "they differ for top-k's border itself: below it or on it, the key found does not replace it",
  },
  {
    from: "if (weight >= enough)",
    to: ["if (weight > enough)"],
    proof: "they differ where a key's weight is exactly enough: the border is then the next key below, and nothing is missing of it",
  },
  {
    from: "if (key > edge)",
    to: ["if (true)", "if (key >= edge)"],
    proof: "a candidate up to top-k's border always weighs enough, so key ≥ edge; at key = edge at most allowed · weight is missing",
  },
  {
    from: "if (lane == 0u) { border",
    to: ["if (true) { border", "if (lane == 1u) { border"],
    proof: sameWords,
  },
];
