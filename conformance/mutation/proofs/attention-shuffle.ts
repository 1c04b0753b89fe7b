import type { Rule } from "../rules.ts";
import { clamped, lastLoad, sameWords } from "../shared-proofs.ts";

const firstScaled = "multiplied by before = exp(−3e38 − a score) = 0 with the first key that counts, or by f = 0 where a group has none";

export const rules: readonly Rule[] = [
  { from: "var total = 0.0;", to: ["var total = 1.0;"], proof: firstScaled },
  { from: "var low = vec4<f32>(0.0);", to: ["var low = vec4<f32>(1.0);"], proof: firstScaled },
  { from: "var high = vec4<f32>(0.0);", to: ["var high = vec4<f32>(1.0);"], proof: firstScaled },
  { from: "if (from_ + KEYS <= position) {", to: ["if (true) {", "if (from_ <= position) {"], whole: true, proof: lastLoad },
  { from: "if (octet == 0u) {", to: ["if (true) {", "if (octet == 1u) {"], proof: sameWords },
  { from: "g < GROUPS; g++) { m", to: ["g <= GROUPS; g++) { m"], proof: clamped },
];
