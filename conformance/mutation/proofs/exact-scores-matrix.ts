import type { Rule } from "../rules.ts";

export const rules: readonly Rule[] = [
  {
    from: "min(step.T, FIRST + r0)",
    to: ["min(min(step.T, 512u), FIRST + r0)"],
    proof: "there are then as many rows or more: rows past T are multiplied too, and not stored",
  },
  {
    from: "let first = step.start",
    to: ["let first = min(step.start, 8192u)"],
    proof: "a smaller first position leaves out fewer tiles: what is multiplied more is of keys that no row sees, and not stored",
  },
];
