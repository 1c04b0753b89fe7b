/**
 * Mutants that compute the same as their kernel, with the proof. "The same": every output within what the order of summation may change,
 * for every input of the op. Where an index leaves an array of the workgroup, Dawn and wgpu clamp it to the last element; memory of a
 * workgroup starts as zero.
 */
import type { Mutant } from "./score.ts";

export interface Rule {
  readonly kernels: readonly string[];
  /** A part of the line, and what stands there instead. */
  readonly from: string;
  readonly to: readonly string[];
  /** Only lines that hold this. */
  readonly on?: string;
  /** `from` is the whole line. */
  readonly whole?: true;
  /** Of equal lines only these, counted from 0. */
  readonly nth?: readonly number[];
  readonly proof: string;
}

const sampling = ["logits-partials", "sample-greedy", "sample-random"];
const windowed = ["attention", "attention-mix", "attention-weights"];
const decode = ["awq-add-fixed16", "awq-gate-up-fixed16", "awq-qkv-rope-fixed16"];
const summed = [...decode, "head-f16"];
const tiled = ["awq-matmul-tiled", "matmul-tiled"];

const clamped = "the index past the end is clamped to the last element, which has been taken already: the largest stays what it is";
const shift = "adds the same to every score, which leaves softmax as it is";
const wasted =
  "a column past the end is summed from clamped reads into partial sums of its own, which only the invocations of that column read, and they write nothing";
const notStored = "decides what stands in rows or columns of a tile that are not stored, and where the other factor is 0";
const sameWords = "all of these invocations hold the same values and write the same words";
const lastLoad = "what is loaded in the last step is not used";
const masked = "no tile fewer, perhaps one more, whose keys lie behind the last position and are masked";
const zeroFactor = "the factor of a split past the last is 0, and what is read there is finite";
const siluAtZero = "they differ at g = 0 alone, where the result is g · sigmoid · up = 0 for any finite sigmoid";
const leastExponent = "the exponent of a block is at least that of 1 as of 0, and any |x| but 0 has bits of at least 1";
const quadMore = "the quad more lies past the end of `quarters`: its sums are clamped to the last word, which is padding";
const zeroPadding = "the index past the end is clamped to the last word, which is padding and 0";
const startsAsZero = "memory of a workgroup is 0 to begin with; written for devices that are opened without that";
const firstCarried = "multiplied by carried = 0 before the first sum is added";

export const rules: readonly Rule[] = [
  {
    kernels: ["silu-mul"],
    from: "g >= 0.0",
    to: ["g > 0.0"],
    proof: siluAtZero,
  },
  {
    kernels: ["prefill-silu-mul-f16"],
    from: "g >= vec4<f32>(0.0)",
    to: ["g > vec4<f32>(0.0)"],
    proof: siluAtZero,
  },
  {
    kernels: ["penalize"],
    from: "logit > 0.0",
    to: ["logit >= 0.0"],
    proof: "they differ at logit = 0 alone, where the result is logit · factor = 0 for both factors",
  },
  // ---- sampling
  {
    kernels: sampling,
    from: "b.id < a.id",
    to: ["b.id <= a.id"],
    proof: "they differ where both scores and both ids are equal: the branch then assigns what is there",
  },
  {
    kernels: ["sample-random"],
    from: "b.score > a.score",
    to: ["b.score >= a.score"],
    proof: "decides between ids of equal scores, and this kernel does not use the id",
  },
  {
    kernels: ["sample-random"],
    from: "(round + 1u) / 4u",
    to: ["(round + 2u) / 4u"],
    proof: "round is 3, 7, 11, 15 or 19 here: the quotient is the same",
  },
  {
    kernels: ["sample-border", "sample-random"],
    from: "bits >= 0x80000000u",
    to: ["bits > 0x80000000u"],
    proof: "they differ for the bits of −0 alone, which the line before has made those of +0",
  },
  {
    kernels: ["sample-border"],
    from: "var allowed = 0u;",
    to: ["var allowed = 1u;"],
    proof: "without top-k the border's key is 0, which no number has, and its weight exp(−200) is 0: one more of such ids is none",
  },
  {
    kernels: ["sample-border"],
    from: "sampling.topK < params.V",
    to: ["sampling.topK <= params.V"],
    proof: "they differ where top-k is V: the cut then leaves all V",
  },
  {
    kernels: ["sample-border"],
    from: ">= sampling.topK)",
    to: ["> sampling.topK)"],
    proof: "they differ where exactly k ids reach a key: the border is then the next key below, of which k − k = 0 ids stay",
  },
  {
    kernels: ["sample-border"],
    from: "if (allowed > 0u)",
    to: ["if (true)", "if (allowed >= 0u)"],
    proof: "they differ where allowed is 0: the product is 0 as well, since max(NaN, −200) is −200",
  },
  {
    kernels: ["sample-border"],
    from: "max(candidate, edge + 1u)",
    to: ["max(candidate, edge)"],
    proof: "they differ for candidates up to top-k's border, whose weight is all there is and enough either way",
  },
  {
    kernels: ["sample-border"],
    from: "candidate <= edge)",
    to: ["candidate < edge)"],
    proof: "they differ for top-k's border itself: below it or on it, the key found does not replace it",
  },
  {
    kernels: ["sample-border"],
    from: "if (weight >= enough)",
    to: ["if (weight > enough)"],
    proof: "they differ where a key's weight is exactly enough: the border is then the next key below, and nothing is missing of it",
  },
  {
    kernels: ["sample-border"],
    from: "if (key > edge)",
    to: ["if (true)", "if (key >= edge)"],
    proof: "a candidate up to top-k's border always weighs enough, so key ≥ edge; at key = edge at most allowed · weight is missing",
  },
  {
    kernels: ["sample-border"],
    from: "if (lane == 0u) { border",
    to: ["if (true) { border", "if (lane == 1u) { border"],
    proof: sameWords,
  },
  {
    kernels: ["sample-random"],
    from: "(params.V + LANES - 1u) / LANES",
    to: ["(params.V + LANES + 1u) / LANES", "(params.V + LANES) / LANES", "(params.V + LANES - 1u) * LANES"],
    proof: "ranges of any width that reach V together share out the same ids in the same order",
  },
  {
    kernels: ["sample-random"],
    from: "first + range",
    to: ["first - range"],
    proof: "0 − range wraps and is cut to V: the first range holds every id, the others none",
  },
  {
    kernels: ["sample-random"],
    from: "var chosen = 0u;",
    to: ["var chosen = 1u;"],
    proof: "the range that is drawn has a weight, whose id is assigned",
  },
  {
    kernels: ["sample-random"],
    from: "id < end;",
    to: ["id <= end;"],
    proof: "the loop has left by its end, but for a rounding of the running sum, which is a near tie",
  },
  {
    kernels: ["logits-partials"],
    from: "if (lane == 0u)",
    to: ["if (true)", "if (lane == 1u)"],
    proof: sameWords,
  },
  // ---- products
  { kernels: ["matmul"], from: "if (n < params.N) {", to: ["if (true) {", "if (n <= params.N) {"], proof: wasted },
  {
    kernels: ["matmul"],
    from: "block < params.N;",
    to: ["block <= params.N;"],
    proof: "the turn more has block ≥ N: each of its rows n ≥ N, and nothing is written for those",
  },
  { kernels: ["awq-matmul"], from: "if (c < params.words) {", to: ["if (true) {", "if (c <= params.words) {"], proof: wasted },
  { kernels: ["matmul-tiled"], from: "firstN < params.N;", to: ["firstN <= params.N;"], proof: "the turn more stores nothing: its n ≥ N" },
  { kernels: tiled, from: "k < params.K;", to: ["k <= params.K;"], proof: "the turn more adds products of 0: its k ≥ K" },
  { kernels: ["matmul-tiled"], from: "var values = vec2(0.0);", to: ["var values = vec2(1.0);"], proof: notStored },
  {
    kernels: ["matmul-tiled"],
    from: "if (n < params.N && w < params.rowWords)",
    to: [
      "if (true)",
      "if (n <= params.N && w < params.rowWords)",
      "if (n < params.N || w < params.rowWords)",
      "if (n < params.N && w <= params.rowWords)",
    ],
    proof: notStored,
  },
  { kernels: tiled, from: "if (t < step.T &&", to: ["if (t <= step.T &&"], proof: notStored },
  { kernels: ["awq-matmul-tiled", "awq-matmul-packed"], from: "return 0.0;", to: ["return 1.0;"], proof: notStored },
  { kernels: ["awq-matmul-tiled"], from: "var first = vec4(0.0);", to: ["var first = vec4(1.0);"], proof: notStored },
  { kernels: ["awq-matmul-tiled"], from: "var second = vec4(0.0);", to: ["var second = vec4(1.0);"], proof: notStored },
  {
    kernels: ["awq-matmul-tiled"],
    from: "if (c < params.words && inner < params.K)",
    to: [
      "if (true)",
      "if (c <= params.words && inner < params.K)",
      "if (c < params.words || inner < params.K)",
      "if (c < params.words && inner <= params.K)",
    ],
    proof: notStored,
  },
  { kernels: ["awq-matmul-packed"], from: "if (t < step.T)", to: ["if (true)", "if (t <= step.T)"], proof: notStored },
  { kernels: ["awq-matmul-packed"], from: "var words = vec4(0u);", to: ["var words = vec4(1u);"], proof: notStored },
  { kernels: ["awq-matmul-packed"], from: "var group = vec4(0u);", to: ["var group = vec4(1u);"], proof: notStored },
  {
    kernels: ["awq-matmul-packed"],
    from: "if (quad * 4u < params.N)",
    to: ["if (true)", "if (quad < params.N)", "if (quad * 4u <= params.N)", "if (quad + 4u < params.N)"],
    proof: `every quad below N / 4 passes either way, since N ≥ 8; for the others it ${notStored}`,
  },
  { kernels: ["awq-repack"], from: "var packed = vec4(0u);", to: ["var packed = vec4(1u);"], proof: "each of its words is assigned" },
  {
    kernels: ["awq-repack"],
    from: "if (b % (params.groupSize / 32u) == 0u)",
    to: ["if (true)", "if (b % (params.groupSize / 33u) == 0u)"],
    proof: "every block of a group writes the same words, and at least one of them does: a multiple of ⌊G/33⌋ ≤ G/32 is among them",
  },
  {
    kernels: ["awq-unpack"],
    from: "if (k % params.groupSize == 0u)",
    to: ["if (true)", "if (k % params.groupSize == 1u)"],
    proof: "every k of a group writes the same words, and at least one of them does",
  },
  // ---- attention
  {
    kernels: windowed,
    from: "last + 1u > params.window",
    to: ["last + 1u >= params.window", "last + 2u > params.window"],
    proof: "they differ where last + 1 equals the window alone: the taken branch then gives the first key as 0, which it already is",
  },
  { kernels: ["attention", "attention-weights"], from: "var dot = 0.0;", to: ["var dot = 1.0;"], proof: shift },
  {
    kernels: ["attention"],
    from: "= 0.0;",
    to: ["= 1.0;"],
    on: "total",
    proof: firstCarried,
  },
  {
    kernels: ["attention"],
    from: "vec2(0.0)",
    to: ["vec2(1.0)"],
    on: "mixed",
    proof: firstCarried,
  },
  {
    kernels: ["attention"],
    from: "carried = 0.0;",
    to: ["carried = 1.0;"],
    proof: "assigned before it is used; what it is multiplied with in the first turn is 0",
  },
  {
    kernels: ["attention"],
    from: "j < 8u;",
    to: ["j <= 8u;"],
    on: "highest",
    proof: "one more of the same tile's scores, or the last once more",
  },
  { kernels: ["attention"], from: "j < FOLDED;", to: ["j <= FOLDED;"], on: "higher", proof: clamped },
  { kernels: ["attention"], from: "if (most != LOWEST)", to: ["if (true)"], proof: "exp(LOWEST − higher) is 0, which carried already is" },
  {
    kernels: ["attention"],
    from: "if (s <= last) { weight",
    to: ["if (true) { weight"],
    proof: "the score is LOWEST: exp(LOWEST − most) is 0",
  },
  {
    kernels: ["attention"],
    from: "last + 1u - base",
    to: ["last + 2u - base", "last + 1u + base", "last + 1u"],
    on: "let seen",
    proof: "the weights past the last key are 0, and the values there finite",
  },
  {
    kernels: ["attention"],
    from: "half < 2u;",
    to: ["half <= 2u;"],
    proof: "a column of at least 256 ≥ Hd is passed over, and not stored",
  },
  {
    kernels: ["attention"],
    from: "if (i >= params.Hd)",
    to: ["if (false)", "if (i > params.Hd)"],
    proof: "a column of at least Hd is summed up and not stored",
  },
  {
    kernels: ["attention-weights"],
    from: "if (lane < width) { partial[lane] = max(",
    to: ["if (true) { partial[lane] = max(", "if (lane <= width) { partial[lane] = max("],
    proof:
      "every element is the largest of some of the scores, and stays one whatever it is joined with: the first holds the largest of all",
  },
  {
    kernels: ["attention-weights"],
    from: "i < S; i += LANES) {",
    to: ["i <= S; i += LANES) {"],
    proof: "key S is behind the last, and passed over",
  },
  { kernels: ["attention-decode"], from: "var score = vec4<f32>(0.0);", to: ["var score = vec4<f32>(1.0);"], proof: shift },
  { kernels: ["attention-decode"], from: "var score2 = vec4<f32>(0.0);", to: ["var score2 = vec4<f32>(1.0);"], proof: shift },
  {
    kernels: ["attention-decode"],
    from: "if (HEADS == 2u) { score2 +=",
    to: ["if (true) { score2 +="],
    proof: "without a second head nobody reads its scores",
  },
  {
    kernels: ["attention-decode"],
    from: "weight[tid] > -3e38",
    to: ["weight[tid] >= -3e38"],
    proof: "a masked key weighs exp(−3e38 − largest) = 0, unless all keys of the split are masked, whose factor is 0 then",
  },
  { kernels: ["attention-combine"], from: "i < 16u; i++) { m", to: ["i <= 16u; i++) { m"], proof: clamped },
  {
    kernels: ["attention-combine"],
    from: "if (tid < 4u * PARTS) { factor",
    to: ["if (true) { factor", "if (tid <= 4u * PARTS) { factor", "if (tid < 5u * PARTS) { factor"],
    proof: "zeros further on, where nothing is read, or on the last of the zeros",
  },
  {
    kernels: ["attention-combine"],
    from: "if (tid < 4u * PARTS) { factor",
    to: ["if (false) { factor", "if (tid < 4u + PARTS) { factor", "if (tid < 4u) { factor"],
    proof: startsAsZero,
  },
  { kernels: ["attention-combine"], from: "i < splits; i += 4u * PARTS", to: ["i <= splits; i += 4u * PARTS"], proof: zeroFactor },
  {
    kernels: ["attention-combine"],
    from: "splits - 1u",
    to: ["splits", "splits + 1u"],
    on: "partial_[min(",
    proof: zeroFactor,
  },
  {
    kernels: ["attention-prefill-matrix"],
    from: "return vec4<u32>(0u);",
    to: ["return vec4<u32>(1u);"],
    proof: "the columns of keys past HEAD add the same to every score; those of values are not stored",
  },
  {
    kernels: ["attention-prefill-matrix"],
    from: "wg.x * 64u + 63u) / 64u + 1u",
    to: ["wg.x * 65u + 63u) / 64u + 1u", "wg.x * 64u + 63u) / 64u + 2u", "wg.x * 64u + 64u) / 64u + 1u", "wg.x * 64u + 63u) * 64u + 1u"],
    proof: masked,
  },
  { kernels: ["attention-prefill-matrix"], from: "tile < tiles;", to: ["tile <= tiles;"], proof: masked },
  {
    kernels: ["attention-prefill-matrix"],
    from: "var l = 0.0;",
    to: ["var l = 1.0;"],
    proof: "multiplied by exp(−3e38 − next) = 0 as soon as a key is seen",
  },
  { kernels: ["attention-prefill-matrix"], from: "var c = Sum(0.0);", to: ["var c = Sum(1.0);"], proof: shift },
  { kernels: ["attention-prefill-matrix"], from: "i < 8u; i++) { big", to: ["i <= 8u; i++) { big"], proof: clamped },
  {
    kernels: ["attention-prefill-matrix"],
    from: "i < 1024u;",
    to: ["i <= 1024u;"],
    proof: "row 64 lies past the end: clamped to the last word, which is padding",
  },
  {
    kernels: ["attention-prefill-matrix"],
    from: "s[i] > vec4<f32>(-3e38)",
    to: ["s[i] >= vec4<f32>(-3e38)"],
    proof: "a masked key weighs exp(−3e38 − next) = 0, or counts in a sum that exp(−3e38 − next) = 0 takes away once a key is seen",
  },
  {
    kernels: ["attention-prefill-matrix"],
    from: "i < 8u; i++) {",
    to: ["i <= 8u; i++) {"],
    nth: [1],
    proof: "a ninth turn writes its padding, which nobody reads",
  },
  {
    kernels: ["attention-prefill-matrix"],
    from: "if (pass_ == 0u) {",
    to: ["if (true) {"],
    nth: [1],
    proof: "after the second pass m and l are not used any more",
  },
  ...[32, 48, 64, 80, 96, 112].map((from) => ({
    kernels: ["attention-prefill-matrix"],
    from: `HEAD > ${from}u`,
    to: [`HEAD > ${from + 1}u`, ...(from % 32 === 0 && from < 96 ? [] : [`HEAD >= ${from}u`])],
    proof: "HEAD is 32, 64 or 128",
  })),
  {
    kernels: ["attention-decode"],
    from: "i < KEYS; i += 16u)",
    to: ["i + 1u < KEYS; i += 16u)"],
    proof: "i is even, and so is KEYS",
  },
  {
    kernels: ["attention-decode"],
    from: "if (HEADS == 2u) {",
    to: ["if (true) {"],
    whole: true,
    nth: [0],
    proof: "without a second head nobody reads its sums",
  },
  {
    kernels: ["awq-rows16-f16-matrix"],
    from: "min(step, STEPS - 1u)",
    to: ["min(step, STEPS)", "min(step, STEPS + 1u)"],
    proof: "steps past K have scale 0, and the activations that they read are finite",
  },
  {
    kernels: ["awq-rows16-f16-matrix"],
    from: "min((wg.y + 1u) * EACH, TURNS)",
    to: ["min((wg.y - 1u) * EACH, TURNS)"],
    proof: "the first piece takes all turns and the others none: they have the same sum",
  },
  {
    kernels: ["awq-rows16-f16-matrix"],
    from: "min(turn + 1u, TURNS - 1u)",
    to: ["min(turn + 1u, TURNS)", "min(turn + 1u, TURNS + 1u)"],
    proof: lastLoad,
  },
  {
    kernels: ["awq-rows16-f16-matrix"],
    from: "j < 8u; j += 2u",
    to: ["j + 1u < 8u; j += 2u"],
    proof: "j is even",
  },
  {
    kernels: ["awq-rows16-f16-matrix", "awq-prefill-f16-matrix"],
    from: "0x64006400u + (size.z - 1u)",
    to: ["0x64006400u - (size.z - 1u)"],
    proof: "size.z is 1",
  },
  {
    kernels: ["awq-rows16-f16-matrix"],
    from: "workgroupBarrier();",
    to: [""],
    proof: "a workgroup is one subgroup, which stages and reads as one; WGSL has no barrier for a subgroup alone",
  },
  {
    kernels: ["attention-decode"],
    from: "d += THREADS",
    to: ["d += 2u * (THREADS)"],
    proof: "THREADS is 256 and HEAD at most that: there is one turn",
  },
  {
    kernels: ["attention-decode"],
    from: "p < PARTS;",
    to: ["p <= PARTS;"],
    proof: zeroPadding,
  },
  { kernels: ["attention-combine"], from: "i < 256u; i += 16u) { m", to: ["i <= 256u; i += 16u) { m"], proof: clamped },
  {
    kernels: ["attention-combine"],
    from: "factor[splits + tid]",
    to: ["factor[splits]"],
    proof: startsAsZero,
  },
  // ---- fixed16 and matrices
  {
    kernels: ["awq-prefill-f16-matrix"],
    from: "if (k + 1u < K / 64u)",
    to: ["if (true)", "if (k < K / 64u)", "if (k + 1u <= K / 64u)", "if (k + 1u < K * 64u)"],
    proof: lastLoad,
  },
  {
    kernels: summed,
    from: "i < TEAM / 4u;",
    to: ["i <= TEAM / 4u;"],
    proof: "the word after a row's sums is padding, never written and 0",
  },
  {
    kernels: decode,
    from: "BLOCKS - 1u",
    to: ["BLOCKS + 1u", "BLOCKS"],
    proof: "only lanes past the last block read further on, and `b < BLOCKS` keeps what they compute out of the sums",
  },
  {
    kernels: decode,
    from: "if (step + 1u < QUADS * STEPS)",
    to: ["if (true)", "if (step < QUADS * STEPS)", "if (step + 1u <= QUADS * STEPS)"],
    proof: lastLoad,
  },
  {
    kernels: decode,
    from: "if (STEPS > 1u && step > 0u)",
    to: ["if (true)", "if (STEPS >= 1u && step > 0u)", "if (STEPS > 1u || step > 0u)", "if (STEPS > 1u && step >= 0u)"],
    proof: "reads the digits that are there once more",
  },
  {
    kernels: ["head-f16"],
    from: "OCTETS - 1u",
    to: ["OCTETS + 1u", "OCTETS"],
    proof: "only lanes past the last eight read further on, and `o < OCTETS` keeps what they compute out of the sums",
  },
  { kernels: ["head-f16"], from: "V - 1u", to: ["V + 1u", "V"], proof: "only rows past the last read elsewhere, and they are not stored" },
  {
    kernels: ["head-f16"],
    from: "if (step + 1u < 8u * STEPS)",
    to: ["if (true)", "if (step < 8u * STEPS)", "if (step + 1u <= 8u * STEPS)", "if (step + 1u < 9u * STEPS)"],
    proof: lastLoad,
  },
  {
    kernels: ["head-f16"],
    from: "step < 8u * STEPS;",
    to: ["step <= 8u * STEPS;"],
    proof: quadMore,
  },
  {
    kernels: ["awq-gate-up-fixed16"],
    from: "step < QUADS * STEPS;",
    to: ["step <= QUADS * STEPS;"],
    proof: quadMore,
  },
  {
    kernels: ["awq-gate-up-fixed16", "head-f16"],
    from: "4u * (TEAM + 4u)",
    to: ["4u * (TEAM + 5u)"],
    on: "let base",
    proof: "the second half of the partial sums begins four words later, and still ends before the array does",
  },
  {
    kernels: ["awq-add-fixed16"],
    from: "= 0u;",
    to: ["= 1u;"],
    on: "var largest =",
    proof: leastExponent,
  },
  { kernels: ["awq-add-fixed16"], from: "i < 8u;", to: ["i <= 8u;"], on: "largest = max(", proof: clamped },
  { kernels: ["awq-add-fixed16"], from: "if (tid == 0u) {", to: ["if (true) {", "if (tid == 1u) {"], proof: sameWords },
  {
    kernels: ["embed-fixed16"],
    from: "K / 4u - 1u",
    to: ["K * 4u - 1u", "K / 4u + 1u", "K / 4u"],
    on: "let i = min(",
    proof: "only invocations past the row read elsewhere: whole blocks of eight, which `alive` keeps from writing",
  },
  {
    kernels: ["prefill-norm-f16"],
    from: "i < row + K / 4u;",
    to: ["i + 1u < row + K / 4u;"],
    proof: "K / 4 is even and i too: i + 1 lies in the row where i does",
  },
  {
    kernels: ["prefill-norm-f16"],
    from: "if (PIECES > 0u)",
    to: ["if (true)", "if (PIECES >= 0u)"],
    proof: sameWords,
  },
  {
    kernels: ["prefill-digits"],
    from: "- vec4<i32>(0x4b400000)",
    to: ["+ vec4<i32>(0x4b400000)"],
    proof: "a multiple of 2^16 either way, and the digits are the low 16 bits",
  },
  {
    kernels: ["prefill-digits"],
    from: "var most = 0u;",
    to: ["var most = 1u;"],
    proof: leastExponent,
  },
  { kernels: ["prefill-digits"], from: "if (!write)", to: ["if (false)"], proof: sameWords },
  { kernels: ["prefill-digits"], from: "if (part == 0u)", to: ["if (true)", "if (part == 1u)"], proof: sameWords },
  { kernels: ["prefill-digits"], from: "block < K / 128u", to: ["block <= K / 128u", "block < K * 128u"], proof: sameWords },
  {
    kernels: ["prefill-digits"],
    from: "K / 128u - 1u",
    to: ["K * 128u - 1u", "K / 128u + 1u", "K / 128u"],
    on: "min(block",
    proof: "only invocations past the row read elsewhere: whole blocks of eight, which do not write",
  },
  {
    kernels: ["awq-prefill-fixed16-matrix"],
    from: "if (k + 1u < K / 128u)",
    to: ["if (true)", "if (k < K / 128u)", "if (k + 1u <= K / 128u)", "if (k + 1u < K * 128u)"],
    proof: lastLoad,
  },
  {
    kernels: ["embed-fixed16"],
    from: "var big = 0u;",
    to: ["var big = 1u;"],
    proof: leastExponent,
  },
];

/** Whether a mutant is what a rule describes. */
export const matches = ({ kernels, from, to, on, whole, nth }: Rule, { kernel, before, after, nth: which }: Mutant): boolean =>
  kernels.includes(kernel) &&
  (nth === undefined || nth.includes(which)) &&
  (whole ? before === from : before.includes(on ?? from)) &&
  before.split(from).some((_, i, parts) => {
    const [head, tail] = [parts.slice(0, i + 1).join(from), parts.slice(i + 1).join(from)];
    return i + 1 < parts.length && to.some((other) => head + other + tail === after);
  });

/** The proof that a mutant computes the same as its kernel, if there is one. */
export const proofOf = (m: Mutant): string | undefined => rules.find((rule) => matches(rule, m))?.proof;
