import type { Rule } from "../rules.ts";

export const rules: readonly Rule[] = [
  {
    from: "if (HEADS == 2u) {",
    to: ["if (true) {"],
    whole: true,
    nth: [0],
    proof: "without a second head nobody reads its sums",
  },
  {
    from: "d += THREADS",
    to: ["d += 2u * (THREADS)"],
    proof: "THREADS is 256 and HEAD at most that: there is one turn",
  },
  {
    from: "p < PARTS;",
    to: ["p <= PARTS;"],
    proof: "the index past the end is clamped to the last word, which is padding and 0",
  },
];
