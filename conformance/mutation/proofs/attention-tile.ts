import type { Rule } from "../rules.ts";

export const rules: readonly Rule[] = [
  {
    from: "let earliest = step.start +",
    to: ["let earliest = min(step.start, 8192u) +"],
    proof: "keys are taken from an earlier tile on, and those before a row's window are masked",
  },
  {
    from: "end + 1u - base",
    to: ["end + 2u - base"],
    proof: "keys are taken by four, and those behind the last have weight 0",
  },
];
