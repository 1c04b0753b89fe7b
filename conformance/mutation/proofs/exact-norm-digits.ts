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
    from: "wg.z * 32768u + wg.y",
    to: ["wg.z + wg.y", "wg.z * 32769u + wg.y"],
    proof: "what is normed before a linear are the rows of a chunk, at most 1,024: wg.z is 0",
  },
  {
    from: "(o.x >> 16u) | (o.y & 0xffff0000u)",
    to: ["(o.y >> 16u) | (o.y & 0xffff0000u)", "(o.x >> 17u) | (o.y & 0xffff0000u)", "(o.x >> 16u) | (o.x & 0xffff0000u)"],
    proof: "a number of 24 bits is at most 127 · 2^16 here, so that its fourth digit, of which there is but a sum, is 0",
  },
  {
    from: "i < 3u; i++",
    to: ["i <= 3u; i++"],
    proof: "one of Newton's steps more leaves an estimate at least as near, and a comparison decides what the quotient is",
  },
];
