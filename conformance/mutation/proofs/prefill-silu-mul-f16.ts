import type { Rule } from "../rules.ts";
import { siluAtZero } from "../shared-proofs.ts";

export const rules: readonly Rule[] = [
  {
    from: "g >= vec4<f32>(0.0)",
    to: ["g > vec4<f32>(0.0)"],
    proof: siluAtZero,
  },
];
