import type { Rule } from "../rules.ts";

export const rules: readonly Rule[] = [
  {
    from: "let earliest = step.start +",
    to: ["let earliest = min(step.start, 8192u) +"],
    proof: "keys are taken from an earlier tile on, and those before a row's window are masked",
  },
];
