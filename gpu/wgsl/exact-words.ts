/**
 * How a workgroup makes the digits of a row of words for itself: of x as it is, or behind a norm of mul(mul(x[k], r),
 * scale[k]), r as exact-norm.ts has it. A lane takes eight neighbours an item.
 */

/** Bytes of workgroup memory for a row of K. */
export const wordsBytes = (K: number, P: number, unit: number): number => P * K + (K / unit / 32) * 16 + 64 + 96 + 16;

/** Declarations with numbers; wants K, P, UNITS. HELD, items that a lane holds, is a line that the shape emits. */
export const exactWordsSizes = /* wgsl */ `
override ITEMS: u32 = K / 8u;
override OPERAND: u32 = P * K / 16u;
override SUMS: u32 = 4u * UNITS;
`;

/**
 * begin(tid); then x_of(half, i, unit), the half of digit p at 2 p + half, of block i of a unit, sum_of(unit), and
 * row_scale(), the exponent. A lane takes its words four at a time in loops that no compiler unrolls, since a uniform has
 * their length, and its registers change places: what is made of a row once costs the fetching of its instructions. Wants
 * bindings x and scale, and params held (words of four that a lane holds), norm, inverse, eps; LANES; exactIntegers,
 * exactNumbers, exactRows, exactRows32, exactReciprocal, exactRoot, exactWordOf.
 */
export const exactWordsRow = /* wgsl */ `
var<workgroup> operand: array<vec4<u32>, OPERAND>; // [digits][2 halves][UNIT][UNITS]
var<workgroup> unit_sums: array<atomic<i32>, SUMS>; // [UNITS][4 digits]
var<workgroup> tops: array<atomic<u32>, 16>; // the largest of x, of its norm: eight of each, so that neighbours meet less
var<workgroup> squares: array<atomic<u32>, 24>; // eight sums by limbs of 22 bits
var<workgroup> factor: u32;
var<private> biased: i32;
fn magnitude(a: vec4<u32>) -> u32 {
  let b = a & vec4<u32>(0x7fffffffu);
  return max(max(b.x, b.y), max(b.z, b.w));
}
fn largest(first: u32) -> u32 {
  var top = 0u;
  for (var i = 0u; i < 8u; i++) { top = max(top, atomicLoad(&tops[first + i])); }
  return top;
}
// |fix24| of the row's numbers, and its sign; no branch, since every lane takes eight numbers or more this way.
fn magnitude24(x: u32) -> u32 {
  let n = u32(biased - exponent_of(x) + 1);
  let v = bitcast<u32>(rounded_shift((x & 0x7fffffu) | 0x800000u, n));
  return select(v, 0u, n > 24u || (x << 1u) == 0u);
}
fn fixed(x: u32) -> i32 {
  if (P == 4u) { return fix32(x, biased); }
  let v = bitcast<i32>(magnitude24(x));
  return select(v, -v, (x >> 31u) == 1u);
}
fn digits_of(four: vec4<u32>) -> Word { return word_of(fixed(four.x), fixed(four.y), fixed(four.z), fixed(four.w)); }
// A significand, 24 bits or 2^24, times a word's, eight bits at a time: the highest 31 or 32 bits. The lowest is set where there is something below them, and
// where what is rounded ends odd, so that a tie goes to even.
fn product_of(a: u32, b: u32) -> u32 {
  let p = a * (b & 0xffu);
  let q = a * ((b >> 8u) & 0xffu) + (p >> 8u);
  let m = a * (((b >> 16u) & 0x7fu) | 0x80u) + (q >> 8u);
  return m | select((m >> (7u + (m >> 31u))) & 1u, 1u, ((p | q) & 0xffu) != 0u);
}
fn rounded_product(m: u32) -> u32 { return (m + (m >> 31u) * 64u + 63u) >> (7u + (m >> 31u)); } // 2^23 … 2^24
// mul(mul(x, r), w) without packing what lies between. 0 < r, and |x| r < 2^74: r is 1.01/rms at most, but where the mean
// square is cut off, at 0 (|x| < 2^−54, r < 2^128) or at the largest number (r < 2^−55).
fn normed(x: u32, r: u32, w: u32) -> u32 {
  let m = product_of((x & 0x7fffffu) | 0x800000u, r);
  let s = rounded_product(m);
  let E = exponent_of(x) + exponent_of(r) + i32(m >> 31u) - 128; // the hidden bit, or carry, is added to it
  let n = product_of(s, w);
  let t = rounded_product(n);
  let F = E + 1 + exponent_of(w) + i32(n >> 31u) - 128;
  let sum = F + i32(t >> 24u);
  if (min(E + i32(s >> 24u), sum) < 0 || (x << 1u) == 0u || (w << 1u) == 0u) { return 0u; }
  return ((x ^ w) & 0x80000000u) | select((bitcast<u32>(F) << 23u) + t, 0x7f7fffffu, sum > 253);
}
// Items go around by units, whose digits lie side by side, so that lanes side by side write and add to banks of their own.
fn item_of(i: u32) -> u32 { return (i / 4u % UNITS * UNIT + i / 4u / UNITS) * 4u + i % 4u; }
fn begin(tid: u32) {
  // 1. The row.
  if (tid < 16u) { atomicStore(&tops[tid], 0u); }
  if (tid < 24u) { atomicStore(&squares[tid], 0u); }
  for (var i = tid; i < SUMS; i += LANES) { atomicStore(&unit_sums[i], 0); }
  var row: array<vec4<u32>, 2u * HELD>;
  var by: array<vec4<u32>, 2u * HELD>;
  var top = 0u;
  for (var i = 0u; i < 2u * HELD; i++) {
    let item = tid + i / 2u * LANES;
    let at = 2u * item_of(min(item, ITEMS - 1u)) + i % 2u;
    row[i] = select(vec4<u32>(0u), x[at], item < ITEMS);
    if (params.norm == 1u) { by[i] = scale[at]; }
    top = max(top, magnitude(row[i]));
  }
  workgroupBarrier();
  atomicMax(&tops[tid % 8u], top);
  workgroupBarrier();
  var most = largest(0u);
  if (params.norm == 1u) {
    // 2. Its norm. Squares of 24 bits, by halves of 12: sums of 256 fit u32.
    biased = row_biased(most);
    var h = 0u; var m = 0u; var l = 0u;
    for (var i = 0u; i < params.held; i++) {
      let x = row[0];
      for (var j = 1u; j < 2u * HELD; j++) { row[j - 1u] = row[j]; }
      row[2u * HELD - 1u] = x;
      let v = vec4<u32>(magnitude24(x.x), magnitude24(x.y), magnitude24(x.z), magnitude24(x.w));
      let a = v >> vec4<u32>(12u);
      let b = v & vec4<u32>(4095u);
      h += dot(a, a); m += dot(a, b); l += dot(b, b);
    }
    let sum = add64(vec2<u32>(l, 0u), add64(vec2<u32>(m << 13u, m >> 19u), vec2<u32>(h << 24u, h >> 8u)));
    let to = tid % 8u * 3u;
    atomicAdd(&squares[to], sum.x & 0x3fffffu);
    atomicAdd(&squares[to + 1u], (sum.x >> 22u) | ((sum.y & 0xfffu) << 10u));
    atomicAdd(&squares[to + 2u], sum.y >> 12u);
    workgroupBarrier();
    if (tid == 0u) {
      var all = vec3<u32>(0u);
      for (var i = 0u; i < 8u; i++) {
        all += vec3<u32>(atomicLoad(&squares[3u * i]), atomicLoad(&squares[3u * i + 1u]), atomicLoad(&squares[3u * i + 2u]));
      }
      let mean = rn64u(false, add64(vec2<u32>(all.x, all.z << 12u), vec2<u32>(all.y << 22u, all.y >> 10u)), 2 * row_exponent(most));
      factor = rsqrtf(addf(mulf(mean, params.inverse), params.eps));
    }
    workgroupBarrier();
    let r = factor;
    top = 0u;
    for (var i = 0u; i < params.held; i++) {
      let x = row[0];
      let w = by[0];
      for (var j = 1u; j < 2u * HELD; j++) { row[j - 1u] = row[j]; by[j - 1u] = by[j]; }
      let y = vec4<u32>(normed(x.x, r, w.x), normed(x.y, r, w.y), normed(x.z, r, w.z), normed(x.w, r, w.w));
      row[2u * HELD - 1u] = y;
      top = max(top, magnitude(y));
    }
    atomicMax(&tops[8u + tid % 8u], top);
    workgroupBarrier();
    most = largest(8u);
  }
  biased = row_biased(most);
  // 3. Digits, and their sums over a unit, an item's at once.
  var sum = vec4<i32>(0);
  for (var i = 0u; i < params.held; i++) {
    let item = tid + i / 2u * LANES;
    let part = item % 2u * 2u + i % 2u; // of half a block
    let word = digits_of(row[0]);
    for (var j = 1u; j < 2u * HELD; j++) { row[j - 1u] = row[j]; }
    if (item < ITEMS) {
      let slot = item / 2u % 2u * BLOCKS + item / 4u;
      operand[slot][part] = word.digits.x;
      operand[2u * BLOCKS + slot][part] = word.digits.y;
      operand[4u * BLOCKS + slot][part] = word.digits.z;
      if (P == 4u) { operand[6u * BLOCKS + slot][part] = word.digits.w; }
      sum += word.sum;
      if (i % 2u == 1u) {
        for (var p = 0u; p < P; p++) { atomicAdd(&unit_sums[4u * (item / 4u % UNITS) + p], sum[p]); }
        sum = vec4<i32>(0);
      }
    }
  }
  workgroupBarrier();
}
fn x_of(half: u32, i: u32, unit: u32) -> vec4<u32> { return operand[half * BLOCKS + i * UNITS + unit]; }
fn sum_of(unit: u32) -> vec4<i32> {
  return vec4<i32>(
    atomicLoad(&unit_sums[4u * unit]), atomicLoad(&unit_sums[4u * unit + 1u]), atomicLoad(&unit_sums[4u * unit + 2u]), atomicLoad(&unit_sums[4u * unit + 3u]));
}
fn row_scale() -> i32 { return biased - 149 - select(8, 0, P == 3u); }
`;
