import type { Rule } from "../rules.ts";

const firstSlots = "what is loaded before the loop is of the first step: its slots are 0 and 1";

export const rules: readonly Rule[] = [
  {
    from: "let slot = 2u * 0u + block0;",
    to: ["let slot = min(2u * 0u + block0, 128u);"],
    proof: firstSlots,
  },
  {
    from: "slot % (BLOCKS / UNIT) * UNIT",
    to: ["slot % (min(BLOCKS, 256u) / UNIT) * UNIT"],
    on: "2u * 0u + block0",
    proof: firstSlots,
  },
  {
    from: "slot / (BLOCKS / UNIT)",
    to: ["slot / (min(BLOCKS, 256u) / UNIT)"],
    on: "2u * 0u + block0",
    proof: firstSlots,
  },
];
