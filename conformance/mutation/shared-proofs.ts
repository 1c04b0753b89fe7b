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
