/**
 * What the kernels of `exact` take over a whole row: its largest word, a sum, its norm, its digits. A row lies in a workgroup's registers, QUADS words of four
 * neighbours per lane, word i · LANES + lane of the row in register i; QUADS is a line that the shape emits. LANES is a power of two, at most 1024.
 */

/** Words of four that each of so many lanes holds of a row of D. */
export const quadsOf = (D: number, lanes: number): number => Math.ceil(D / 4 / lanes);

/** row_max(lane, mine): the largest of all lanes' u32, in three rounds. */
export const exactRowMax = /* wgsl */ `
var<workgroup> tops: array<u32, LANES>;
var<workgroup> top_of: u32;
fn row_max(lane: u32, mine: u32) -> u32 {
  let width = min(LANES, select(16u, 32u, LANES > 256u));
  tops[lane] = mine;
  workgroupBarrier();
  if (lane < width) {
    var top = mine;
    for (var i = lane + width; i < LANES; i += width) { top = max(top, tops[i]); }
    tops[lane] = top;
  }
  workgroupBarrier();
  if (lane == 0u) {
    var top = tops[0];
    for (var i = 1u; i < width; i++) { top = max(top, tops[i]); }
    top_of = top;
  }
  workgroupBarrier();
  return top_of;
}
`;
/** Bytes of workgroup memory that row_max takes, and row_sum. */
export const rowMaxBytes = (lanes: number): number => 4 * lanes + 16;
export const rowSumBytes = (lanes: number): number => 16 * lanes + 16;

/** row_sum(lane, mine): the sum of all lanes' 64 bits, by limbs of 22 bits, of which 1024 fit u32. Wants exactIntegers. */
export const exactRowSum = /* wgsl */ `
var<workgroup> sums_of: array<vec3<u32>, LANES>;
var<workgroup> sum_of: vec2<u32>;
fn row_sum(lane: u32, mine: vec2<u32>) -> vec2<u32> {
  let width = min(LANES, select(16u, 32u, LANES > 256u));
  sums_of[lane] = vec3<u32>(mine.x & 0x3fffffu, (mine.x >> 22u) | ((mine.y & 0xfffu) << 10u), mine.y >> 12u);
  workgroupBarrier();
  if (lane < width) {
    var sum = sums_of[lane];
    for (var i = lane + width; i < LANES; i += width) { sum += sums_of[i]; }
    sums_of[lane] = sum;
  }
  workgroupBarrier();
  if (lane == 0u) {
    var sum = sums_of[0];
    for (var i = 1u; i < width; i++) { sum += sums_of[i]; }
    sum_of = add64(vec2<u32>(sum.x, sum.z << 12u), vec2<u32>(sum.y << 22u, sum.y >> 10u));
  }
  workgroupBarrier();
  return sum_of;
}
`;

/**
 * What leave_norm(lane, t) leaves in sums[t].x where NORMS: of each 128 neighbours of a row of fixed numbers of 24 bits Σ ⌈|v| / 2^12⌉², of these sums the largest, over 2^12 and one more: an upper bound
 * of Σ v² in units of 2^36, at most 2^17 + 1. A barrier between clear_squares and add_squares; LANES % 32 = 0. Wants exactRowMax, sums.
 */
export const exactNorms = /* wgsl */ `
override NORMS: bool = false;
override SQUARES: u32 = 1u;
var<workgroup> squares: array<atomic<u32>, SQUARES>;
fn clear_squares(lane: u32) { if (!NORMS) { return; } for (var i = lane; i < SQUARES; i += LANES) { atomicStore(&squares[i], 0u); } }
fn add_squares(word: u32, v: vec4<i32>) {
  if (!NORMS) { return; }
  let a = (bitcast<vec4<u32>>(abs(v)) + vec4<u32>(4095u)) >> vec4<u32>(12u);
  atomicAdd(&squares[word / 32u], dot(a, a));
}
fn leave_norm(lane: u32, t: u32) {
  if (!NORMS) { return; }
  workgroupBarrier();
  var most = 0u;
  for (var i = lane; i < SQUARES; i += LANES) { most = max(most, atomicLoad(&squares[i])); }
  most = row_max(lane, most);
  if (lane == 0u) { sums[t] = vec4<i32>(i32((most >> 12u) + 1u), 0, 0, 0); }
}
`;
/** Its overrides, and bytes of workgroup memory. */
export const normsOf = (D: number, lanes: number, norms: boolean): { NORMS: boolean; SQUARES: number } => ({
  NORMS: norms,
  SQUARES: norms ? (quadsOf(D, lanes) * lanes) / 32 : 1,
});
export const normBytes = (D: number, lanes: number, norms: boolean): number => 16 * Math.ceil(normsOf(D, lanes, norms).SQUARES / 4);

/** largest_of(row): the largest magnitude that a lane holds of a row. Wants QUADS. */
export const exactHeldRow = /* wgsl */ `
fn largest_of(row: array<vec4<u32>, QUADS>) -> u32 {
  var top = vec4<u32>(0u);
  for (var i = 0u; i < QUADS; i++) { top = max(top, row[i] & vec4<u32>(0x7fffffffu)); }
  return max(max(top.x, top.y), max(top.z, top.w));
}
`;

/** norm_factor(lane, row): what RMS norm multiplies a row by. Wants exactRoot, exactRows, exactRowMax, exactRowSum, exactHeldRow. */
export const exactNormFactor = /* wgsl */ `
var<workgroup> factor_of: u32;
fn norm_factor(lane: u32, row: array<vec4<u32>, QUADS>, inverse: u32, eps: u32) -> u32 {
  let largest = row_max(lane, largest_of(row));
  let biased = row_biased(largest);
  // Squares of 24 bits, by halves of 12: sums of 256 fit u32.
  var h = 0u; var m = 0u; var l = 0u;
  for (var i = 0u; i < QUADS; i++) {
    let v = abs(vec4<i32>(fix24(row[i].x, biased), fix24(row[i].y, biased), fix24(row[i].z, biased), fix24(row[i].w, biased)));
    let a = bitcast<vec4<u32>>(v) >> vec4<u32>(12u);
    let b = bitcast<vec4<u32>>(v) & vec4<u32>(4095u);
    h += dot(a, a); m += dot(a, b); l += dot(b, b);
  }
  let sum = row_sum(lane, add64(vec2<u32>(l, 0u), add64(vec2<u32>(m << 13u, m >> 19u), vec2<u32>(h << 24u, h >> 8u))));
  if (lane == 0u) { factor_of = rsqrtf(addf(mulf(rn64u(false, sum, 2 * row_exponent(largest)), inverse), eps)); }
  workgroupBarrier();
  return factor_of;
}
`;

/**
 * word_of: digits of four neighbours, each a byte of the digit's word, and the sum of each digit. v + Σ 128 · 256^p = Σ (d_p + 128) · 256^p, whose bytes, the
 * highest bit of each turned, are the digits; then bytes change places with words.
 */
export const exactWordOf = /* wgsl */ `
struct Word { digits: vec4<u32>, sum: vec4<i32> }
fn word_of(a: i32, b: i32, c: i32, d: i32) -> Word { // of four neighbours
  let half = vec4<u32>(0x80808080u);
  let v = (bitcast<vec4<u32>>(vec4<i32>(a, b, c, d)) + half) ^ half;
  let even = 0x00ff00ffu;
  let e = (v.xz & vec2<u32>(even)) | ((v.yw & vec2<u32>(even)) << vec2<u32>(8u)); // digits 0 and 2 of a, b; of c, d
  let o = ((v.xz >> vec2<u32>(8u)) & vec2<u32>(even)) | (v.yw & vec2<u32>(0xff00ff00u));
  let words = vec4<u32>((e.x & 0xffffu) | (e.y << 16u), (o.x & 0xffffu) | (o.y << 16u), (e.x >> 16u) | (e.y & 0xffff0000u), (o.x >> 16u) | (o.y & 0xffff0000u));
  let ones = 0x01010101u;
  return Word(words, vec4<i32>(dot4I8Packed(words.x, ones), dot4I8Packed(words.y, ones), dot4I8Packed(words.z, ones), dot4I8Packed(words.w, ones)));
}
`;

/**
 * Words of four digits, and where they go: word j of a row, eight words a block, which lies as UNIT says (awq-repack.ts). With STEP, for exact-columns.ts, so many
 * blocks of 64 rows lie together: [rows/64][blocks/STEP][P][64][STEP] blocks of 32 bytes. Wants exactWordOf, digits.
 */
export const exactDigitWords = /* wgsl */ `
override UNIT: u32 = 1u;
override STEP: u32 = 0u;
override BLOCKS_OF_STEP: u32 = max(STEP, 1u);
fn slot_of(b: u32, blocks: u32) -> u32 { return b % UNIT * (blocks / UNIT) + b / UNIT; }
fn put_digits(word: vec4<u32>, row: u32, P: u32, at: u32, blocks: u32) {
  let b = at / 8u;
  let j = at % 8u;
  let slot = slot_of(b, blocks);
  if (b < blocks) {
    for (var p = 0u; p < P; p++) {
      let tile = ((row / 64u * (blocks / BLOCKS_OF_STEP) + slot / BLOCKS_OF_STEP) * P + p) * 64u + row % 64u;
      let plain = (((row * P + p) * 2u + j / 4u) * blocks + slot) * 4u + (j & 3u);
      digits[select(plain, (tile * BLOCKS_OF_STEP + slot % BLOCKS_OF_STEP) * 8u + j, STEP > 0u)] = word[p];
    }
  }
}
`;

/** The same with the sums of a block's digits, none without SUMS. Eight neighbours must call put_word together. Wants exactDigitWords, LANES, sums. */
export const exactWords = /* wgsl */ `
override SUMS: bool = true;
var<workgroup> word_sums: array<vec4<i32>, LANES>;
fn put_word(word: Word, row: u32, P: u32, at: u32, lane: u32, blocks: u32) {
  put_digits(word.digits, row, P, at, blocks);
  if (SUMS) {
    word_sums[lane] = word.sum;
    workgroupBarrier();
    if (at % 8u == 0u && at / 8u < blocks) {
      var total = vec4<i32>(0);
      for (var i = 0u; i < 8u; i++) { total += word_sums[lane + i]; }
      sums[row * blocks + slot_of(at / 8u, blocks)] = total;
    }
    workgroupBarrier();
  }
}
`;
