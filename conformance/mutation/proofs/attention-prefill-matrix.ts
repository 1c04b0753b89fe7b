import type { Rule } from "../rules.ts";

const multiple = "HEAD is a multiple of 16, and columns of eight";
const masked = "the mask leaves a key that every row sees as it is";

export const rules: readonly Rule[] = [
  {
    from: "return vec4<u32>(0u);",
    to: ["return vec4<u32>(1u);"],
    proof: "the columns of keys past HEAD add the same to every score; those of values are not stored",
  },
  {
    from: "if (column >= HEAD)",
    to: ["if (column > HEAD)"],
    proof: multiple,
  },
  {
    from: "if (first + 1u > WINDOW)",
    to: ["if (first + 1u >= WINDOW)"],
    proof: "they differ where first + 1 equals the window alone: the taken branch then gives the first tile as 0, which it already is",
  },
  {
    from: "first + 63u - key >= WINDOW",
    to: ["first + 63u - key >= min(WINDOW, 4096u)"],
    proof: masked,
  },
  {
    from: "key + 31u > first",
    to: ["key + 31u >= first", "key + 32u > first"],
    proof: masked,
  },
];
