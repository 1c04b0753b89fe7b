import type { Rule } from "../rules.ts";

export const rules: readonly Rule[] = [
  {
    from: "last + 1u > WINDOW)",
    to: ["last + 1u > min(WINDOW, 4096u))"],
    proof:
      "before a window slides, turns begin that far below 0: such a position counts as one past the last, whose score is the lowest, " +
      "and what it weighs is multiplied by 0 as soon as a key is seen",
  },
];
