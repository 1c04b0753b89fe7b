import {
  exactAddRules,
  exactHeldRules,
  exactMaxRules,
  exactNormRules,
  exactRootRules,
  exactRowRules,
  exactWordRules,
} from "../exact-proofs.ts";
import type { Rule } from "../rules.ts";

export const rules: readonly Rule[] = [
  ...exactRowRules,
  ...exactAddRules,
  ...exactHeldRules,
  ...exactMaxRules,
  ...exactNormRules,
  ...exactWordRules(3),
  ...exactRootRules,
  {
    from: "min(at, vec4<u32>(D - 1u))",
    to: ["min(at, vec4<u32>(D + 1u))", "min(at, vec4<u32>(D))"],
    proof: "what is loaded past a row's end is not taken",
  },
  {
    from: "i < 3u; i++",
    to: ["i <= 3u; i++"],
    proof: "one of Newton's steps more leaves an estimate at least as near, and a comparison decides what the quotient is",
  },
];
