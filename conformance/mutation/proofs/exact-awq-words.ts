import { exactAddRules, exactPowerRules, exactRootRules } from "../exact-proofs.ts";
import type { Rule } from "../rules.ts";
import { lastLoad, sameWords } from "../shared-proofs.ts";

const below = "either says that something lies below, and passes no tie: those are multiples of 64";
const noFourth = "without a fourth digit nobody reads its sums";
const pastLast = "what is loaded past the last quad, unit or row is not used";
const noSuchBlock = "a unit is of one block, two or four: block i of a unit without it is not taken, whatever was loaded";
const copies = "any copy of a sum may take any lane's share, and all have room for all";
const narrow = "where scales are not wide, what they have above 16 bits is 0";
const least = "only a row of zeros has a largest below 1, and 1 is a subnormal: both have the least exponent";
const unread = "is written before it is read";

/** The quotient serves SiLU too: its rules there (exact-silu-mul.ts) hold for every denominator. */
export const rules: readonly Rule[] = [
  ...exactAddRules,
  ...exactRootRules,
  { from: "s.y | select(0u, 1u, s.x != 0u)", to: ["s.y | select(0u, 2u, s.x != 0u)"], proof: below },
  { from: "high | select(0u, 1u, ((m.y", to: ["high | select(0u, 2u, ((m.y"], proof: below },
  {
    from: "((m >> (7u + (m >> 31u))) & 1u, 1u, ",
    to: ["((m >> (7u + (m >> 31u))) & 1u, 2u, "],
    proof: below,
  },
  ...exactPowerRules,
  { from: "let k = min(n, 31u);", to: ["let k = min(n, 32u);"], proof: "they differ where a number is taken for 0" },
  {
    from: "n > 24u || ",
    to: ["n > 25u || "],
    proof: "a significand of 24 bits and half a unit, moved down by 25, are 0",
  },
  { from: "array<vec4<u32>, 2u * HELD>", to: ["array<vec4<u32>, 3u * HELD>"], proof: "nobody reads what is added" },
  { from: "top = 0u;", to: ["top = 1u;"], whole: true, proof: least },
  { from: "var top = 0u;", to: ["var top = 1u;"], whole: true, nth: [1], proof: least },
  {
    from: "j < 2u * HELD;",
    to: ["j <= 2u * HELD;"],
    proof: "the index past the end is clamped to the last element, which then takes its own place",
  },
  { from: "if (tid == 0u) {", to: ["if (true) {", "if (tid == 1u) {"], whole: true, proof: sameWords },
  {
    from: "atomicMax(&tops[8u + tid % 8u]",
    to: ["atomicMax(&tops[9u + tid % 8u]", "atomicMax(&tops[8u + tid / 8u]", "atomicMax(&tops[8u + tid % 9u]"],
    proof: "any of the eight may take any lane's, and an index past the end is clamped to the last of them",
  },
  {
    from: "for (var i = 0u; i < params.held; i++) {",
    to: ["for (var i = 0u; i <= params.held; i++) {"],
    whole: true,
    nth: [2],
    proof: "an item past the row's end is not stored",
  },
  { from: "if (i % 2u == 1u) {", to: ["if (true) {"], proof: "the sum of an item is added in two parts" },
  {
    from: "lane / 2u % COPIES",
    to: ["lane * 2u % COPIES", "lane / 3u % COPIES", "lane / 2u / COPIES"],
    proof: copies,
  },
  { from: "if (WIDE) {", to: ["if (true) {"], whole: true, nth: [1, 2], proof: narrow },
  {
    from: "params.n / 4u - 1u)",
    to: ["params.n * 4u - 1u)", "params.n / 4u + 1u)", "params.n / 4u)"],
    proof: pastLast,
  },
  { from: "params.n - 1u)", to: ["params.n + 1u)", "params.n)"], on: "before = out", proof: pastLast },
  { from: "items - 1u)", to: ["items + 1u)", "items)"], proof: pastLast },
  { from: "UNITS - 1u)", to: ["UNITS + 1u)", "UNITS)"], proof: pastLast },
  {
    from: "min(0u, UNIT - 1u) * UNITS",
    to: ["min(0u, UNIT + 1u) * UNITS", "min(0u, UNIT) * UNITS", "min(0u, UNIT - 2u) * UNITS", "min(0u, UNIT - 1u)"],
    proof: "0 is the least there is",
  },
  { from: "min(1u, UNIT - 1u)", to: ["min(1u, UNIT + 1u)", "min(1u, UNIT)"], proof: noSuchBlock },
  { from: "min(2u, UNIT - 1u)", to: ["min(2u, UNIT + 1u)", "min(2u, UNIT)", "min(2u, UNIT - 2u)"], proof: noSuchBlock },
  {
    from: "min(3u, UNIT - 1u)",
    to: ["max(3u, UNIT - 1u)", "min(4u, UNIT - 1u)", "min(3u, UNIT + 1u)", "min(3u, UNIT)"],
    proof: noSuchBlock,
  },
  {
    from: "if (tid < 8u) { atomicStore",
    to: ["if (true) { atomicStore", "if (tid <= 8u) { atomicStore", "if (tid < 9u) { atomicStore"],
    proof: "what the norm left there has been read, and nobody reads it again; an index past the end is clamped",
  },
  { from: "let more = next < items;", to: ["let more = next <= items;"], proof: lastLoad },
  { from: "if (more) {", to: ["if (true) {"], whole: true, proof: lastLoad },
  { from: "if (0u < UNIT) {", to: ["if (true) {", "if (0u <= UNIT) {"], proof: "a unit has a block" },
  { from: "if (2u < UNIT) {", to: ["if (3u < UNIT) {"], proof: noSuchBlock },
  { from: "if (3u < UNIT) {", to: ["if (3u <= UNIT) {"], proof: noSuchBlock },
  ...["d0", "d1", "d2", "d3"].map((d) => ({
    from: `${d} += digit_sums(rows, 0u`,
    to: [`${d} = digit_sums(rows, 0u`],
    proof: "the first to be added, to 0",
  })),
  { from: "if (P == 4u) {", to: ["if (true) {"], whole: true, proof: "without a fourth digit its sums are 0" },
  { from: "var gate = 0u;", to: ["var gate = 1u;"], proof: unread },
  { from: "var y = 0u;", to: ["var y = 1u;"], proof: unread },
  { from: "if (params.adds == 1u) { y = addf", to: ["if (true) { y = addf"], proof: "what nothing is added to is added to 0" },
  {
    from: "if (tid == 0u) { out[params.n",
    to: ["if (true) { out[params.n", "if (tid == 1u) { out[params.n"],
    proof: sameWords,
  },
  {
    from: "if (tid < 16u) { atomicStore",
    to: ["if (true) { atomicStore", "if (tid <= 16u) { atomicStore", "if (tid < 17u) { atomicStore"],
    proof: "an index past the end is clamped to the last element, which is set to the same",
  },
  { from: "if (tid < 16u) { atomicStore(&tops[tid], 0u)", to: ["if (tid < 16u) { atomicStore(&tops[tid], 1u)"], proof: least },
  {
    from: "if (tid < 24u) { atomicStore",
    to: ["if (true) { atomicStore", "if (tid <= 24u) { atomicStore", "if (tid < 25u) { atomicStore"],
    proof: "an index past the end is clamped to the last element, which is set to the same",
  },
  {
    from: "i < SUMS; i += LANES) { atomicStore",
    to: ["i <= SUMS; i += LANES) { atomicStore"],
    proof: "an index past the end is clamped to the last element, which is set to the same",
  },
  {
    from: "i < TOTALS; i += LANES) { atomicStore",
    to: ["i <= TOTALS; i += LANES) { atomicStore"],
    proof: "an index past the end is clamped to the last element, which is set to the same",
  },
  {
    from: "min(item, ITEMS - 1u)",
    to: ["min(item, ITEMS + 1u)", "min(item, ITEMS)"],
    proof: "what is loaded past a row's end is not taken, and what it would be multiplied by stands beside 0",
  },
  { from: "if (params.norm == 1u) { by", to: ["if (true) { by"], proof: "without a norm nobody reads its weights" },
  { from: "var before = 0u;", to: ["var before = 1u;"], proof: "read where something is added alone, and loaded there" },
  { from: "if (params.adds == 1u) { before", to: ["if (true) { before"], proof: "read where something is added alone" },
  ...[0, 1, 2, 3].map((r) => ({ from: `if (more) { r${r} `, to: [`if (true) { r${r} `], proof: lastLoad })),
  { from: "if (P == 4u) { d3", to: ["if (true) { d3"], proof: noFourth },
];
