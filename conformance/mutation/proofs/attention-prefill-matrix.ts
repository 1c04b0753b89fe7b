import type { Rule } from "../rules.ts";
import { clamped, shift } from "../shared-proofs.ts";

const masked = "no tile fewer, perhaps one more, whose keys lie behind the last position and are masked";

export const rules: readonly Rule[] = [
  {
    from: "return vec4<u32>(0u);",
    to: ["return vec4<u32>(1u);"],
    proof: "the columns of keys past HEAD add the same to every score; those of values are not stored",
  },
  {
    from: "wg.x * 64u + 63u) / 64u + 1u",
    to: ["wg.x * 65u + 63u) / 64u + 1u", "wg.x * 64u + 63u) / 64u + 2u", "wg.x * 64u + 64u) / 64u + 1u", "wg.x * 64u + 63u) * 64u + 1u"],
    proof: masked,
  },
  {
    from: "var l = 0.0;",
    to: ["var l = 1.0;"],
    proof: "multiplied by exp(−3e38 − next) = 0 as soon as a key is seen",
  },
  {
    from: "var c = Sum(0.0);",
    to: ["var c = Sum(1.0);"],
    proof: shift,
  },
  {
    from: "i < 8u; i++) { big",
    to: ["i <= 8u; i++) { big"],
    proof: clamped,
  },
  {
    from: "i < 1024u;",
    to: ["i <= 1024u;"],
    proof: "row 64 lies past the end: clamped to the last word, which is padding",
  },
  {
    from: "s[i] > vec4<f32>(-3e38)",
    to: ["s[i] >= vec4<f32>(-3e38)"],
    proof: "a masked key weighs exp(−3e38 − next) = 0, or counts in a sum that exp(−3e38 − next) = 0 takes away once a key is seen",
  },
  {
    from: "if (pass_ == 0u) {",
    to: ["if (true) {"],
    nth: [1],
    proof: "after the second pass m and l are not used any more",
  },
  {
    from: "HEAD > 32u",
    to: ["HEAD > 33u"],
    proof: "HEAD is a multiple of 16",
  },
  {
    from: "HEAD > 48u",
    to: ["HEAD > 49u"],
    proof: "HEAD is a multiple of 16",
  },
  {
    from: "HEAD > 64u",
    to: ["HEAD > 65u"],
    proof: "HEAD is a multiple of 16",
  },
  {
    from: "HEAD > 80u",
    to: ["HEAD > 81u"],
    proof: "HEAD is a multiple of 16",
  },
  {
    from: "HEAD > 96u",
    to: ["HEAD > 97u"],
    proof: "HEAD is a multiple of 16",
  },
  {
    from: "HEAD > 112u",
    to: ["HEAD > 113u"],
    proof: "HEAD is a multiple of 16",
  },
];
