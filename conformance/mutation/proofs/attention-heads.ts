import type { Rule } from "../rules.ts";
import { lastLoad, sameWords } from "../shared-proofs.ts";

const otherOrder =
  "the sixteen lanes still meet once each, by exchanges that come to the same after the last, between neighbours: another order of the sum";

export const rules: readonly Rule[] = [
  { from: "back, 8u)", to: ["back, 9u)"], proof: otherOrder },
  { from: "!= 0u, 4u)", to: ["!= 0u, 5u)"], proof: otherOrder },
  { from: "(give.x, 2u)", to: ["(give.x, 3u)"], proof: otherOrder },
  { from: "(give.y, 2u)", to: ["(give.y, 3u)"], proof: otherOrder },
  { from: "mask < 32u;", to: ["mask + 1u < 32u;"], proof: "the masks are 4, 8 and 16, and 32 is none in either" },
  {
    from: "var total = 0.0;",
    to: ["var total = 1.0;"],
    proof:
      "multiplied by before = exp(−3e38 − a score) = 0 with the first key that counts, or by f = 0 where 32 lanes or a split have none",
  },
  { from: "if (from_ + stride <= position) {", to: ["if (true) {", "if (from_ <= position) {"], whole: true, proof: lastLoad },
  { from: "if (from_ >= stride) {", to: ["if (true) {"], whole: true, proof: "in the first turn the sums are 0, and before is 0 or 1" },
  { from: "i += THREADS", to: ["i += 2u * (THREADS)"], proof: "THREADS is 128 or more: there is one turn" },
  { from: "if (i % 32u == 0u) {", to: ["if (true) {", "if (i % 32u == 1u) {", "if (i % 33u == 0u) {"], proof: sameWords },
];
