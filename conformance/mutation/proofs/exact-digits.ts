import { exactHeldRules, exactMaxRules, exactRowRules, exactWordRules } from "../exact-proofs.ts";
import type { Rule } from "../rules.ts";

const notTaken = "what is loaded past a row's end is not taken";

export const rules: readonly Rule[] = [
  ...exactRowRules,
  ...exactMaxRules,
  ...exactHeldRules,
  ...exactWordRules(1),
  {
    from: "select(x, 0u, E == 0u)",
    to: ["select(x, 1u, E == 0u)", "select(x, 0u, E == 1u)"],
    proof: "a subnormal's significand is 0, as that of 0 is, and it is no larger than a value",
  },
  {
    from: "if (f == 0u) { return 0u; }",
    to: ["if (f == 0u) { return 1u; }"],
    proof: "a subnormal's significand is 0, as that of 0 is, and it is no larger than a value",
  },
  {
    from: "return select(sign | 0x7f7fffffu, 0u, f != 0u);",
    to: ["return select(sign | 0x7f7fffffu, 1u, f != 0u);"],
    proof: "a subnormal's significand is 0, as that of 0 is, and it is no larger than a value",
  },
  {
    from: "select((x & 0x80000000u) | 0x7f7fffffu, 0u, (x & 0x7fffffu) != 0u)",
    to: ["select((x & 0x80000000u) | 0x7f7fffffu, 1u, (x & 0x7fffffu) != 0u)"],
    proof: "a subnormal's significand is 0, as that of 0 is, and it is no larger than a value",
  },
  {
    from: "return select(0u, stored",
    to: ["return select(1u, stored"],
    proof: "a subnormal's significand is 0, as that of 0 is, and it is no larger than a value",
  },
  {
    from: "min(k, K - 1u)",
    to: ["min(k, K + 1u)", "min(k, K)"],
    proof: notTaken,
  },
];
