/** Proofs that hold for several kernels: the sentences, and the rules of lines that these kernels share. */
import type { Rule } from "./rules.ts";

export const siluAtZero = "they differ at g = 0 alone, where the result is g · sigmoid · up = 0 for any finite sigmoid";
export const sameWords = "all of these invocations hold the same values and write the same words";
export const wasted =
  "a column past the end is summed from clamped reads into partial sums of its own, which only the invocations of that column read, and they write nothing";
export const notStored = "decides what stands in rows or columns of a tile that are not stored, and where the other factor is 0";
export const clamped = "the index past the end is clamped to the last element, which has been taken already: the largest stays what it is";
export const shift = "adds the same to every score, which leaves softmax as it is";
export const lastLoad = "what is loaded in the last step is not used";
export const quadMore = "the quad more lies past the end of `quarters`: its sums are clamped to the last word, which is padding";
export const leastExponent = "the exponent of a block is at least that of 1 as of 0, and any |x| but 0 has bits of at least 1";

/** Of logits-partials, sample-greedy, sample-random. */
export const pickRules: readonly Rule[] = [
  {
    from: "b.id < a.id",
    to: ["b.id <= a.id"],
    proof: "they differ where both scores and both ids are equal: the branch then assigns what is there",
  },
];

/** Of sample-border, sample-random. */
export const keyRules: readonly Rule[] = [
  {
    from: "bits >= 0x80000000u",
    to: ["bits > 0x80000000u"],
    proof: "they differ for the bits of −0 alone, which the line before has made those of +0",
  },
];

/** Of awq-matmul-tiled, matmul-tiled. */
export const tileRules: readonly Rule[] = [
  {
    from: "k < params.K;",
    to: ["k <= params.K;"],
    proof: "the turn more adds products of 0: its k ≥ K",
  },
  {
    from: "if (t < step.T &&",
    to: ["if (t <= step.T &&"],
    proof: notStored,
  },
];

/** Of awq-matmul-tiled, awq-matmul-packed. */
export const awqTileRules: readonly Rule[] = [
  {
    from: "return 0.0;",
    to: ["return 1.0;"],
    proof: notStored,
  },
];

/** Of attention, attention-mix, attention-weights. */
export const windowRules: readonly Rule[] = [
  {
    from: "last + 1u > params.window",
    to: ["last + 1u >= params.window", "last + 2u > params.window"],
    proof: "they differ where last + 1 equals the window alone: the taken branch then gives the first key as 0, which it already is",
  },
];

/** Of the kernels of exact's attention: a window that is taken for shorter where it is compared alone, with what they call the last key. */
export const wholeWindowRules = (n: number, last = "last"): readonly Rule[] => [
  {
    from: `WINDOW <= ${last}`,
    to: [`min(WINDOW, ${n}u) <= ${last}`],
    proof: "they differ where the window holds all keys alone: the taken branch then gives the first key as 0, which it already is",
  },
];

/** Of attention, attention-weights. */
export const scoreRules: readonly Rule[] = [
  {
    from: "var dot = 0.0;",
    to: ["var dot = 1.0;"],
    proof: shift,
  },
];

/** Of awq-rows16-f16-matrix, awq-prefill-f16-matrix. */
export const halfRules: readonly Rule[] = [
  {
    from: "0x64006400u + (size.z - 1u)",
    to: ["0x64006400u - (size.z - 1u)"],
    proof: "size.z is 1",
  },
];

/** Of the linears of one row (gpu/wgsl/decode/team-sums.ts). */
export const teamRules: readonly Rule[] = [
  {
    from: "item < 32u * TEAMS * QUADS;",
    to: ["item <= 32u * TEAMS * QUADS;"],
    proof: "the item more lies past the end of `quarters`: it reads and writes the last word, which is padding",
  },
  {
    from: "i < TEAM / 4u;",
    to: ["i + 1u < TEAM / 4u;"],
    proof: "both are multiples of 8",
  },
  {
    from: "UNITS - 1u",
    to: ["UNITS + 1u", "UNITS"],
    proof: "only lanes past the last unit read further on, and `u < UNITS` keeps what they compute out of the sums",
  },
  {
    from: "if (turn + 1u < QUADS * STEPS)",
    to: ["if (true)", "if (turn < QUADS * STEPS)", "if (turn + 1u <= QUADS * STEPS)"],
    proof: lastLoad,
  },
  {
    from: "if (STEPS > 1u && turn > 0u)",
    to: ["if (true)", "if (STEPS >= 1u && turn > 0u)", "if (STEPS > 1u || turn > 0u)", "if (STEPS > 1u && turn >= 0u)"],
    proof: "reads the vector that is there once more",
  },
];

/** Of the same kernels where one team makes a workgroup. */
export const oneTeamRules: readonly Rule[] = [
  {
    from: "4u * (TEAM + 4u)",
    to: ["4u * (TEAM + 5u)"],
    on: "let base",
    proof: "the second half of the partial sums begins four words later, and still ends before the array does",
  },
  {
    from: "turn < QUADS * STEPS;",
    to: ["turn <= QUADS * STEPS;"],
    proof: quadMore,
  },
];

/** Of the same kernels that add to the residual. */
export const addRules: readonly Rule[] = [
  {
    from: "N - 4u",
    to: ["N + 4u", "N"],
    proof: "only rows past the last read elsewhere, and their sums are not used",
  },
  {
    from: "= 0u;",
    to: ["= 1u;"],
    on: "var largest =",
    proof: leastExponent,
  },
  {
    from: "i < 8u;",
    to: ["i <= 8u;"],
    on: "largest = max(",
    proof: clamped,
  },
  {
    from: "if (tid == 0u) {",
    to: ["if (true) {", "if (tid == 1u) {"],
    proof: sameWords,
  },
];

/** Of the linears of one row that read dense rows. */
export const denseRules: readonly Rule[] = [
  {
    from: "ROWS - 1u",
    to: ["ROWS + 1u", "ROWS"],
    proof: "only rows past the last read elsewhere, and their sums are not used",
  },
];

/** Of awq-prefill-f16-matrix and the kernels of wgsl/matrix-tile.ts. */
export const matrixTileRules: readonly Rule[] = [
  ...halfRules,
  {
    from: "if (k + 1u < end)",
    to: ["if (true)", "if (k < end)", "if (k + 1u <= end)"],
    proof: lastLoad,
  },
];

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
    from: "| (low & 0xfffu), 1u)",
    to: ["| (low & 0xfffu), 2u)"],
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
    from: "a * b, ah",
    to: ["a + b, ah", "a, ah"],
    proof: "only the higher word of a product of 64 bits is used",
  },
  {
    from: "| (low & 0xfffu), 1u)",
    to: ["| (low & 0xfffu), 2u)"],
    proof: "either says that something lies below, and passes no tie: those are multiples of 64",
  },
  {
    from: "min(n, 31u)",
    to: ["min(n, 32u)"],
    on: "return select((s +",
    proof: "beyond 25 the distance is 0 whatever this is",
  },
  {
    from: "0u, n > 25u)",
    to: ["0u, n >= 25u)", "0u, n > 26u)"],
    proof: "a significand of 24 bits and half a unit, moved down by 25 or 26, are 0",
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

/** Of the int4 linears by tiles. */
export const firstRules: readonly Rule[] = [
  {
    from: "params.firstColumn",
    to: ["min(params.firstColumn, 8192u)"],
    proof: "int4 weights by tiles lie in one buffer: their first column is 0",
  },
];

/** Of the kernels of gate and up, which take K in one piece, by steps of so many numbers. */
export const onePieceRules = (step: number): readonly Rule[] => [
  {
    from: `K / ${step}u - 1u)`,
    to: [`min(K, 4096u) / ${step}u - 1u)`],
    proof: "what is loaded before the loop is of the first steps, and there is one piece: k is 0",
  },
];

/** Of those that take as many rows as their tile has. */
export const oneTileRules = (tile: number): readonly Rule[] => [
  {
    from: `let row0 = wg.x / PIECES * ${tile}u;`,
    to: [`let row0 = min(wg.x / PIECES * ${tile}u, 512u);`],
    proof: "there is one tile of rows: row0 is 0",
  },
  ...onePieceRules(64),
];

/** Of the int4 linears of `exact` by matrices. */
export const fourColumnsRules = (n: number): readonly Rule[] => [
  {
    from: "N - min(N, n)",
    to: [`N - min(min(N, ${n}u), n)`],
    proof: "N and n are multiples of four, so that they differ for columns past N alone, which `finish` leaves out",
  },
];
