import type { Rule } from "../rules.ts";

export const rules: readonly Rule[] = [
  {
    from: "select(0u, 1024u, (group & 0x7c00u) != 0u)",
    to: ["select(0u, 1025u, (group & 0x7c00u) != 0u)"],
    proof: "whether a significand is above 0 is all that is asked",
  },
];
