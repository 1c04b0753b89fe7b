/** Rules of lines that several kernels of `exact` share. */
import type { Rule } from "./rules.ts";
import { clamped, sameWords } from "./shared-proofs.ts";

const someLanes = "so many lanes take what the others hold, each every so many: any number of them takes all";

/** Of kernels of `exact` that take the largest of a row, or its sum, over lanes (wgsl/exact-row.ts). LANES is a power of two. */
export const exactRowRules: readonly Rule[] = [
  {
    from: "min(LANES, select(16u, 32u, LANES > 256u))",
    to: [
      "min(LANES, select(17u, 32u, LANES > 256u))",
      "min(LANES, select(16u, 33u, LANES > 256u))",
      "min(LANES, select(32u, 16u, LANES > 256u))",
      "min(LANES, select(16u, 32u, LANES >= 256u))",
      "min(LANES, select(16u, 32u, LANES > 257u))",
      "max(LANES, select(16u, 32u, LANES > 256u))",
    ],
    proof: someLanes,
  },
  {
    from: "if (lane == 0u) {",
    to: ["if (true) {", "if (lane == 1u) {"],
    whole: true,
    proof: sameWords,
  },
];

/** Of those that take the largest, whose function stands before that of the sum. */
export const exactMaxRules: readonly Rule[] = [
  {
    from: "if (lane < width) {",
    to: ["if (true) {", "if (lane <= width) {"],
    whole: true,
    nth: [0],
    proof: "the largest of some lanes is taken twice",
  },
  {
    from: "i < LANES; i += width) { top",
    to: ["i <= LANES; i += width) { top"],
    proof: clamped,
  },
  {
    from: "i < width; i++) { top",
    to: ["i <= width; i++) { top"],
    proof: "the largest of some lanes is taken twice",
  },
];

/** Of kernels of `exact` that add two values. */
export const exactAddRules: readonly Rule[] = [
  {
    from: "d < 31u",
    to: ["d <= 31u", "d < 32u"],
    proof: "a significand of 30 bits moved down by 31 is 0 with something below, as for every distance beyond",
  },
  {
    from: "select(0u, 1u, t != 0u)",
    to: ["select(1u, 0u, t != 0u)", "select(1u, 1u, t != 0u)", "select(0u, 2u, t != 0u)", "select(0u, 1u, t != 1u)"],
    proof: "a larger one of 24 bits, moved up by 6, rounds to itself with none, one or two units less or more; and 0 with them to 0",
  },
  {
    from: "select(0u, 1u, ((t >> d) << d) != t)",
    to: ["select(0u, 2u, ((t >> d) << d) != t)"],
    proof: "either says that something lies below, and passes no tie: those are multiples of 16",
  },
  {
    from: "(p & 0x7fffffffu) < (q & 0x7fffffffu)",
    to: ["(p & 0x7fffffffu) <= (q & 0x7fffffffu)"],
    proof: "where both are equal in size, either is the larger",
  },
];

/** Of kernels of `exact` that hold a row by its largest. */
export const exactHeldRules: readonly Rule[] = [
  {
    from: "if (n > 24u) { return 0; }",
    to: ["if (n > 25u) { return 0; }"],
    proof: "a significand of 24 bits and half a unit, moved down by 25, are 0",
  },
  {
    from: "var top = vec4<u32>(0u);",
    to: ["var top = vec4<u32>(1u);"],
    proof: "only a row of zeros has a largest below 1, and 1 is a subnormal: both have the least exponent",
  },
  {
    from: "i < QUADS; i++) { top",
    to: ["i <= QUADS; i++) { top"],
    proof: clamped,
  },
];

/** Of those that leave its digits, in so manieth a loop over what a lane holds. */
export const exactWordRules = (loop: number): readonly Rule[] => [
  {
    from: "for (var i = 0u; i < QUADS; i++) {",
    to: ["for (var i = 0u; i <= QUADS; i++) {"],
    whole: true,
    nth: [loop],
    proof: "a word past the row's last block is not stored, and neither is its sum",
  },
  {
    from: "STEP > 0u)",
    to: ["STEP > 1u)"],
    proof: "a step is of no block, or of two",
  },
  {
    from: "if (i % PARTS == wg.x) {",
    to: ["if (true) {"],
    whole: true,
    proof: "each part then writes the words of all, the same",
  },
  {
    from: "if (lane == 0u && wg.x == 0u) {",
    to: ["if (true) {", "if (lane == 1u && wg.x == 0u) {", "if (lane == 0u || wg.x == 0u) {"],
    proof: "all invocations of a row hold its exponent",
  },
];

const noSubnormal = "a sum of squares is 0 or at least 2^44, and what is below the least value after its scale has a root as 0 has";

/** Of kernels of `exact` that norm a row, whose operands are not negative. */
export const exactNormRules: readonly Rule[] = [
  {
    from: "if (m == 0u) { return 0u; }",
    to: ["if (false) { return 0u; }", "if (m == 1u) { return 0u; }", "if (m == 0u) { return 1u; }"],
    proof: noSubnormal,
  },
  {
    from: "if (E < 1) { return 0u; }",
    to: ["if (E < 1) { return 1u; }"],
    proof: noSubnormal,
  },
  {
    from: "if (m.y == 0u) { return rn32(negative, m.x, e); }",
    to: [
      "if (false) { return rn32(negative, m.x, e); }",
      "if (m.y == 1u) { return rn32(negative, m.x, e); }",
      "if (m.y == 0u) { return rn32(negative, m.y, e); }",
    ],
    proof: noSubnormal,
  },
  {
    from: "s.y | select(0u, 1u, s.x != 0u)",
    to: ["s.y | select(0u, 2u, s.x != 0u)"],
    proof: "either says that something lies below, and passes no tie: those are multiples of 128",
  },
  {
    from: "(low | middle) & 255u, 1u)",
    to: ["(low | middle) & 255u, 2u)"],
    proof: "either says that something lies below, and passes no tie: those are multiples of 64",
  },
  {
    from: "(a >> 31u) == 1u, select(large - small",
    to: ["(a >> 31u) == 2u, select(large - small", "(a >> 31u) == 1u, select(large + small", "(a >> 31u) == 1u, select(large"],
    proof: "a mean and eps are not negative",
  },
  {
    from: "workgroupBarrier();",
    to: [""],
    whole: true,
    nth: [5],
    proof: "only lane 0 goes on with the sum, and wrote it",
  },
  {
    from: "if (lane == 0u) { factor_of",
    to: ["if (true) { factor_of", "if (lane == 1u) { factor_of"],
    proof: sameWords,
  },
];

/** Of kernels of `exact` that raise 2 to a distance. */
export const exactPowerRules: readonly Rule[] = [
  {
    from: "(low | middle) & 255u, 1u)",
    to: ["(low | middle) & 255u, 2u)"],
    proof: "either says that something lies below, and passes no tie: those are multiples of 64",
  },
];

const everyRoot = "the root is the same for all 2^24 significands and parities: a program went through them";

/** Of kernels of `exact` that take a norm's root, whose quotient serves nothing else. */
export const exactRootRules: readonly Rule[] = [
  ...(
    [
      ["(y >> 16u) + 1u", ["(y >> 16u) + 2u"]],
      ["92521u", ["92522u"]],
      ["61681u", ["61682u"]],
      ["z -= 2u;", ["z -= 3u;"]],
      ["rest >= y", ["rest > y"]],
      ["p.x > 0u)", ["p.x > 1u)"]],
      ["51566u", ["51567u"]],
      ["23666u", ["23667u"]],
      ["4750u", ["4751u"]],
      ["65536u, 46341u", ["65537u, 46341u", "65536u, 46342u"]],
      ["(d + 16384)", ["(d - 16384)", "(d)"]],
      ["65535u);", ["65536u);"]],
      ["(p.x >> 26u)", ["(p.y >> 26u)", "(p.x >> 27u)"]],
      ["(e + 64)", ["(e - 64)", "(e)"]],
      [">> 7u) + 16384)", [">> 7u) - 16384)", ">> 7u))"]],
      [">> 15u) + 2u;", [">> 15u);"]],
      ["((below + 1u) & 1u)", ["((below - 1u) & 1u)"]],
      ["var up = z >= t;", ["var up = z > t;"]],
      ["z + 4u - t < 8u", ["z + 4u - t <= 8u", "z + 4u - t < 9u"]],
    ] as const
  ).map(([from, to]) => ({ from, to, proof: everyRoot })),
];
