import type { Rule } from "../rules.ts";
import { leastExponent, sameWords } from "../shared-proofs.ts";

export const rules: readonly Rule[] = [
  {
    from: "- vec4<i32>(0x4b400000)",
    to: ["+ vec4<i32>(0x4b400000)"],
    proof: "a multiple of 2^16 either way, and the digits are the low 16 bits",
  },
  {
    from: "var most = 0u;",
    to: ["var most = 1u;"],
    proof: leastExponent,
  },
  {
    from: "if (!write)",
    to: ["if (false)"],
    proof: sameWords,
  },
  {
    from: "if (part == 0u)",
    to: ["if (true)", "if (part == 1u)"],
    proof: sameWords,
  },
  {
    from: "block < K / 128u",
    to: ["block <= K / 128u", "block < K * 128u"],
    proof: sameWords,
  },
  {
    from: "K / 128u - 1u",
    to: ["K * 128u - 1u", "K / 128u + 1u", "K / 128u"],
    on: "min(block",
    proof: "only invocations past the row read elsewhere: whole blocks of eight, which do not write",
  },
];
