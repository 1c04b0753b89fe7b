import type { Rule } from "../rules.ts";
import { clamped } from "../shared-proofs.ts";

const startsAsZero = "memory of a workgroup is 0 to begin with; written for devices that are opened without that";
const zeroFactor = "the factor of a split past the last is 0, and what is read there is finite";

export const rules: readonly Rule[] = [
  {
    from: "i < 16u; i++) { m",
    to: ["i <= 16u; i++) { m"],
    proof: clamped,
  },
  {
    from: "i < 4u * PARTS; i += 256u) { factor",
    to: ["i <= 4u * PARTS; i += 256u) { factor"],
    proof: "zeros further on, where nothing is read, or on the last of the zeros",
  },
  {
    from: "i < 4u * PARTS; i += 256u) { factor",
    to: ["i + 1u < 4u * PARTS; i += 256u) { factor", "i < 4u * PARTS; i += 2u * (256u)) { factor"],
    proof: startsAsZero,
  },
  {
    from: "i < splits; i += 4u * PARTS",
    to: ["i <= splits; i += 4u * PARTS"],
    proof: zeroFactor,
  },
  {
    from: "splits - 1u",
    to: ["splits", "splits + 1u"],
    on: "partial_[min(",
    proof: zeroFactor,
  },
  {
    from: "i < 256u; i += 16u) { m",
    to: ["i <= 256u; i += 16u) { m"],
    proof: clamped,
  },
  {
    from: "factor[splits + i]",
    to: ["factor[splits]"],
    proof: startsAsZero,
  },
];
