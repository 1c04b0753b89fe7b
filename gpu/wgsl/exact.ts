/**
 * The arithmetic `exact` (docs/exact.md, core/exact) as WGSL functions on u32 and i32 alone: no f32 is declared, loaded or made. A value is the
 * word of a binary32 number; integers of 64 and 96 bits are vec2 and vec3, low word first, two's complement. No i32 operation overflows;
 * what wraps is u32. Each part says what it wants in scope.
 */

/** Integers of 64 bits. */
export const exactIntegers = /* wgsl */ `
fn mul64(a: u32, b: u32) -> vec2<u32> {
  let al = a & 0xffffu; let ah = a >> 16u; let bl = b & 0xffffu; let bh = b >> 16u;
  let m = ah * bl + ((al * bl) >> 16u);
  let n = al * bh + (m & 0xffffu);
  return vec2<u32>(a * b, ah * bh + (m >> 16u) + (n >> 16u));
}
fn add64(a: vec2<u32>, b: vec2<u32>) -> vec2<u32> {
  let low = a.x + b.x;
  return vec2<u32>(low, a.y + b.y + select(0u, 1u, low < b.x));
}
fn neg64(a: vec2<u32>) -> vec2<u32> { return add64(~a, vec2<u32>(1u, 0u)); }
fn wide64(a: i32) -> vec2<u32> { return vec2<u32>(bitcast<u32>(a), bitcast<u32>(a >> 31u)); }
fn shl64(a: vec2<u32>, n: u32) -> vec2<u32> { return vec2<u32>(a.x << n, (a.y << n) | ((a.x >> 1u) >> (31u - n))); } // n < 32
`;

/** Integers of 96 bits, and their rn. Wants exactNumbers. */
export const exact96 = /* wgsl */ `
fn add96(a: vec3<u32>, b: vec3<u32>) -> vec3<u32> {
  let low = add64(a.xy, b.xy);
  return vec3<u32>(low, a.z + b.z + select(0u, 1u, low.y < b.y || (low.y == b.y && low.x < b.x)));
}
fn neg96(a: vec3<u32>) -> vec3<u32> { return add96(~a, vec3<u32>(1u, 0u, 0u)); }
fn wide96(a: i32) -> vec3<u32> { let s = bitcast<u32>(a >> 31u); return vec3<u32>(bitcast<u32>(a), s, s); }
fn byte_up(a: vec3<u32>) -> vec3<u32> { return vec3<u32>(a.x << 8u, (a.y << 8u) | (a.x >> 24u), (a.z << 8u) | (a.y >> 24u)); }
fn rn96(a: vec3<u32>, e: i32) -> u32 {
  let negative = (a.z >> 31u) == 1u;
  let m = select(a, neg96(a), negative);
  if (m.z == 0u) { return rn64u(negative, m.xy, e); }
  let n = countLeadingZeros(m.z);
  let high = (m.z << n) | ((m.y >> 1u) >> (31u - n));
  return rn32(negative, high | select(0u, 1u, ((m.y << n) | m.x) != 0u), e + 64 - i32(n));
}
`;

/**
 * rn of integers of 32 and 64 bits, mul and add of values; the lowest bit of what rn32 rounds may stand for "and something below" where m has more than 25.
 * mulf: the product of two significands, 47 or 48 bits, byte by byte: its highest 31 or 32 bits, the lowest set where there is something below; r, 2^23 … 2^24,
 * has its hidden bit, or carry, added to the exponents, which are 128 too much. Wants exactIntegers.
 */
export const exactNumbers = /* wgsl */ `
fn rn32(negative: bool, m: u32, e: i32) -> u32 {
  if (m == 0u) { return 0u; }
  let n = countLeadingZeros(m);
  let s = m << n;
  let q = s >> 8u;
  let rest = s & 0xffu;
  let r = q + select(0u, 1u, rest > 0x80u || (rest == 0x80u && (q & 1u) == 1u)); // 2^23 … 2^24
  let E = e - i32(n) + 158 + i32(r >> 24u);
  if (E < 1) { return 0u; }
  let sign = select(0u, 0x80000000u, negative);
  if (E > 254) { return sign | 0x7f7fffffu; }
  return sign | (u32(E) << 23u) | (r & 0x7fffffu);
}
fn rn64u(negative: bool, m: vec2<u32>, e: i32) -> u32 {
  if (m.y == 0u) { return rn32(negative, m.x, e); }
  let n = countLeadingZeros(m.y);
  let s = shl64(m, n);
  return rn32(negative, s.y | select(0u, 1u, s.x != 0u), e + 32 - i32(n));
}
fn rn64(a: vec2<u32>, e: i32) -> u32 {
  let negative = (a.y >> 31u) == 1u;
  return rn64u(negative, select(a, neg64(a), negative), e);
}
fn exponent_of(x: u32) -> i32 { return i32((x >> 23u) & 0xffu); }
fn significand(x: u32) -> u32 { return select(0u, (x & 0x7fffffu) | 0x800000u, (x & 0x7f800000u) != 0u); }
fn mulf(a: u32, b: u32) -> u32 {
  let s = (a & 0x7fffffu) | 0x800000u; let t = (b & 0x7fffffu) | 0x800000u;
  let low = (s & 255u) * t;
  let middle = ((s >> 8u) & 255u) * t + (low >> 8u);
  let top = (s >> 16u) * t + (middle >> 8u);
  let m = top | min((low | middle) & 255u, 1u);
  let high = top >> 31u;
  let n = 7u + high;
  let r = (m + 63u + (high << 6u) + ((m >> n) & 1u)) >> n;
  let p = a & 0x7f800000u; let q = b & 0x7f800000u;
  let w = p + q + (high << 23u) + r;
  return select(((a ^ b) & 0x80000000u) | min(w - 0x40000000u, 0x7f7fffffu), 0u, (w < 0x40800000u) | (min(p, q) == 0u));
}
fn negf(a: u32) -> u32 { return select(a ^ 0x80000000u, 0u, significand(a) == 0u); }
fn addf(p: u32, q: u32) -> u32 {
  let swap = (p & 0x7fffffffu) < (q & 0x7fffffffu);
  let a = select(p, q, swap);
  let b = select(q, p, swap);
  let d = u32(exponent_of(a) - exponent_of(b));
  let t = significand(b) << 6u;
  var small = select(0u, 1u, t != 0u);
  if (d < 31u) { small = (t >> d) | select(0u, 1u, ((t >> d) << d) != t); }
  let large = significand(a) << 6u;
  return rn32((a >> 31u) == 1u, select(large - small, large + small, ((a ^ b) >> 31u) == 0u), exponent_of(a) - 156);
}
`;

/** Rows of 32 bits. Wants exactRows. */
export const exactRows32 = /* wgsl */ `
fn fix32(x: u32, biased: i32) -> i32 {
  let e = (x >> 23u) & 255u;
  let n = u32(biased) - e; // 31 bits move down by it
  let s = ((x & 0x7fffffu) | 0x800000u) << 7u;
  let k = min(n, 31u);
  let v = i32(select((s + max((1u << k) >> 1u, 1u) - 1u + ((s >> k) & 1u)) >> k, 0u, (n > 31u) | (e == 0u)));
  return select(v, -v, (x >> 31u) == 1u);
}
`;

/** Fixed rows of 24 bits: largest: the word of the row's largest |x|. Wants exactNumbers. */
export const exactRows = /* wgsl */ `
fn row_biased(largest: u32) -> i32 { return max(1, i32((largest + 0x1ffffu) >> 23u)); }
fn row_exponent(largest: u32) -> i32 { return row_biased(largest) - 149; } // of 24 bits; of 32, eight less
fn rounded_shift(s: u32, n: u32) -> i32 { return i32((s + (1u << (n - 1u)) - 1u + ((s >> n) & 1u)) >> n); } // 1 ≤ n ≤ 24
fn fix24(x: u32, biased: i32) -> i32 {
  let n = u32(biased - exponent_of(x) + 1);
  if (n > 24u) { return 0; }
  let v = rounded_shift(significand(x), n);
  return select(v, -v, (x >> 31u) == 1u);
}
`;

/** A number of a fixed row of P digits, three or four. Wants exactRows, exactRows32 and P. */
export const exactFixed = /* wgsl */ `fn fixed(x: u32, biased: i32) -> i32 {
  if (P == 3u) { return fix24(x, biased); }
  return fix32(x, biased);
}`;

/**
 * ⌊2^61 / y⌋ and 1/x. Wants exactNumbers. A long division of 2^31 by y, ten bits at a time: z ≤ 2^46/y, by less than 1.6 · 2^−13 of it (held for every Y), so that a
 * digit's estimate is what it should be or one less; the remainder is then below 2 y ≤ 2^32 and known by its low word.
 */
export const exactReciprocal = /* wgsl */ `
fn quotient(y: u32) -> u32 { // ⌊2^61 / y⌋, 2^30 ≤ y ≤ 2^31
  let Y = (y >> 16u) + 1u;
  var z = 92521u - ((Y * 61681u) >> 15u); // 2^15 (48 − 32 Y / 2^15) / 17, and two of Newton's steps
  z += bitcast<u32>((bitcast<i32>(z) * (bitcast<i32>(0x40000000u - z * Y) >> 12u)) >> 18u);
  z += bitcast<u32>((bitcast<i32>(z) * (bitcast<i32>(0x40000000u - z * Y) >> 7u)) >> 23u);
  z -= 2u;
  var q = 1u;
  var rest = 0x80000000u - y;
  for (var i = 0u; i < 3u; i++) {
    let digit = ((rest >> 15u) * z) >> 21u;
    rest = (rest << 10u) - digit * y;
    let more = rest >= y;
    rest -= select(0u, y, more);
    q = (q << 10u) + digit + select(0u, 1u, more);
  }
  return q;
}
fn recipf(x: u32) -> u32 { return rn32(false, quotient(significand(x) << 7u), 96 - exponent_of(x)); }
`;

/**
 * 1/√x. Wants exactReciprocal. Far from a tie an estimate of what is rounded decides, else one division and one square. Short, since it runs once, on one
 * lane, where a kernel makes a norm: what an instruction costs there is that it has to be fetched. First y ≈ 2^15 / √v: a parabola in the significand, off by
 * less than 0.37 %, then 2^16 / √v by a step of Newton's; then z ≈ q = ⌊2^61 / s⌋, by one more: − 3 ≤ z − q ≤ 4 for every x (held by a program for all 2^24
 * significands and parities); then what is rounded: whether q reaches the least t that goes up, ⌊√(M · 2^36)⌋ ≤ ⌊2^61 / t⌋.
 */
export const exactRoot = /* wgsl */ `
fn beyond(a: u32, b: u32, high: u32) -> bool { // whether a b > high · 2^32
  let p = mul64(a, b);
  return p.y > high || (p.y == high && p.x > 0u);
}
fn rsqrtf(x: u32) -> u32 {
  let s = significand(x);
  if (s == 0u) { return 0x7f7fffffu; }
  let k = exponent_of(x) - 151;
  let odd = u32(k & 1);
  let m = s << (7u + odd); // v = M / 2^24, 1 ≤ v < 4, in units of 2^−30
  let w = s >> 8u;
  var y = ((51566u - ((w * (23666u - ((w * 4750u) >> 15u))) >> 15u)) * select(65536u, 46341u, odd == 1u)) >> 16u;
  let d = -bitcast<i32>((m >> 11u) * ((y * y) >> 12u)); // 1 − v y², in units of 2^−37
  y = min(2u * y + bitcast<u32>((i32(y) * ((d + 16384) >> 15u) + 2097152) >> 22u), 65535u);
  let p = mul64(m, y * y);
  let e = -bitcast<i32>((p.y << 6u) | (p.x >> 26u)); // in units of 2^−36
  let z = (y << 15u) + bitcast<u32>((i32(y) * ((e + 64) >> 7u) + 16384) >> 15u) + 2u;
  let below = z >> 7u;
  let t = (below << 7u) + 64u + ((below + 1u) & 1u);
  var up = z >= t;
  if (z + 4u - t < 8u) {
    let root = quotient(t) + 1u;
    up = beyond(root, root, m >> 2u);
  }
  return (u32(113 - (k >> 1u)) << 23u) + below + select(0u, 1u, up);
}
`;

/**
 * x / (1 + e^−x). quotient() is in [2^30, 2^31], power() in [2^29, 2^30]: what rounds them knows where they begin.
 * Before them |x| times rn(log₂ e), as mulf has it; what is too small or large for a value is too near or far for a distance. Wants exactPower, exactReciprocal.
 */
export const exactSilu = /* wgsl */ `
fn siluf(x: u32) -> u32 {
  let s = (x & 0x7fffffu) | 0x800000u;
  let low = (s & 255u) * 0xb8aa3bu;
  let middle = ((s >> 8u) & 255u) * 0xb8aa3bu + (low >> 8u);
  let top = (s >> 16u) * 0xb8aa3bu + (middle >> 8u);
  let m = top | min((low | middle) & 255u, 1u);
  let high = top >> 31u;
  let k = 7u + high;
  let D = distance((x & 0x7f800000u) + (high << 23u) + ((m + 63u + (high << 6u) + ((m >> k) & 1u)) >> k) - 0x800000u);
  let n = D >> 24u;
  let W = power(D & 0xffffffu);
  let q = quotient(0x40000000u + (W >> min(n, 31u)));
  let sigma = 0x3e800000u + ((q + 63u + ((q >> 7u) & 1u)) >> 7u);
  let w = ((125u - n) << 23u) + ((W + 31u + ((W >> 6u) & 1u)) >> 6u);
  let negative = (x >> 31u) == 1u;
  return select(mulf(x, select(sigma, mulf(sigma, w), negative)), 0u, negative & (D == 0x3fffffffu));
}
`;

/** Words in an order that u32 comparison respects. */
export const exactOrder = /* wgsl */ `
fn ordered(x: u32) -> u32 { return select(x | 0x80000000u, ~x, (x >> 31u) == 1u); }
fn unordered(o: u32) -> u32 { return select(~o, o & 0x7fffffffu, (o >> 31u) == 1u); }
`;

/** exp2n and fixed distances. Wants exactNumbers. */
export const exactPower = /* wgsl */ `
fn mulhi24(f: u32, y: u32) -> u32 { // ⌊f y / 2^24⌋, both below 2^24: byte by byte, rounding down each time
  return ((f >> 16u) * y + ((((f >> 8u) & 255u) * y + (((f & 255u) * y) >> 8u)) >> 8u)) >> 8u;
}
fn mulhi_of(h: u32, l: u32, y: u32) -> u32 { // ⌊f y / 2^24⌋, f = 2^12 h + l
  let a = y >> 16u; let b = y & 0xffffu;
  return 16u * h * a + ((l * a + ((h * b + ((l * b) >> 12u)) >> 4u)) >> 8u);
}
fn power(f: u32) -> u32 { // 2^30 · 2^(−f / 2^24)
  let h = f >> 12u; let l = f & 4095u;
  var y = 5547538u - ((h * 493577u + ((l * 493577u) >> 12u)) >> 12u);
  y = 41218952u - mulhi24(f, y);
  y = 238367376u - mulhi_of(h, l, y);
  y = 1031763206u - mulhi_of(h, l, y);
  y = 2977044447u - mulhi_of(h, l, y);
  return 0x40000000u - ((mulhi_of(h, l, y) + 2u) >> 2u);
}
fn distance(d: u32) -> u32 { // d ≥ 0 in units of 2^−24, below 2^30
  let E = d >> 23u;
  let n = min(132u - E, 31u);
  return select(((((d & 0x7fffffu) | 0x800000u) << 6u) + ((1u << n) >> 1u)) >> n, 0x3fffffffu, E > 132u);
}
`;

/** stored(word, odd): an element of a dense matrix as a value, from the word that holds it. Wants exactNumbers, the override DTYPE. */
export const exactStored = /* wgsl */ `
override DTYPE: u32 = 0u; // 0: f32, 1: f16, 2: bf16
override PER_WORD: u32 = select(2u, 1u, DTYPE == 0u);
fn clean(x: u32) -> u32 {
  let E = x & 0x7f800000u;
  if (E == 0x7f800000u) { return select((x & 0x80000000u) | 0x7f7fffffu, 0u, (x & 0x7fffffu) != 0u); }
  return select(x, 0u, E == 0u);
}
fn widened(h: u32) -> u32 {
  let sign = (h & 0x8000u) << 16u;
  let E = (h >> 10u) & 31u;
  let f = h & 1023u;
  if (E == 31u) { return select(sign | 0x7f7fffffu, 0u, f != 0u); }
  if (E > 0u) { return sign | ((E + 112u) << 23u) | (f << 13u); }
  if (f == 0u) { return 0u; }
  let n = countLeadingZeros(f) - 21u; // f · 2^−24, its first bit moved to the place of the hidden one
  return sign | ((113u - n) << 23u) | (((f << n) & 1023u) << 13u);
}
fn stored(word: u32, odd: bool) -> u32 {
  if (DTYPE == 0u) { return clean(word); }
  let half = select(word & 0xffffu, word >> 16u, odd);
  if (DTYPE == 1u) { return widened(half); }
  return clean(half << 16u);
}
`;

/** The scale of a group as awq-repack.ts leaves it: ± significand · 2^shift in units of 2^−24. */
export const exactScale = /* wgsl */ `
fn scale_shift(group: u32) -> u32 { return max((group >> 10u) & 31u, 1u) - 1u; }
fn scale_significand(group: u32) -> u32 { return (group & 1023u) | select(0u, 1024u, (group & 0x7c00u) != 0u); }
`;

/** A window of a scale, and the two words of a join as 96 bits (exact-join.ts). Wants exact96, exactScale. */
export const exactJoin = /* wgsl */ `
override WINDOW_BITS: u32 = 16u;
override WINDOWS: u32 = 1u;
fn scale_window(group: u32, base: u32, window: u32) -> u32 {
  let m = scale_significand(group);
  if (m == 0u) { return 0u; }
  let up = scale_shift(group) - base;
  let bottom = window * WINDOW_BITS;
  return select((m >> 1u) >> min(bottom - up - 1u, 31u), m << min(up - bottom, 31u), up >= bottom) & ((1u << WINDOW_BITS) - 1u);
}
fn joined(c0: u32, c1: u32) -> vec3<u32> { return vec3<u32>(c0, c1, bitcast<u32>(bitcast<i32>(c1) >> 31u)); }
fn shl96(a: vec3<u32>, n: u32) -> vec3<u32> { // n < 64
  let b = select(a, vec3<u32>(0u, a.xy), n > 31u);
  let k = n & 31u;
  return vec3<u32>(b.x << k, (b.y << k) | ((b.x >> 1u) >> (31u - k)), (b.z << k) | ((b.y >> 1u) >> (31u - k)));
}
`;

/** Workgroups of so many rows: y and z, since a dimension holds 65,535 at most. In WGSL: row_of(wg). */
export const ROWS_PER_Z = 32768;
export const rowGrid = (x: number, rows: number): [number, number, number] => [x, Math.min(rows, ROWS_PER_Z), Math.ceil(rows / ROWS_PER_Z)];
export const exactRowOf = /* wgsl */ `fn row_of(wg: vec3<u32>) -> u32 { return wg.z * 32768u + wg.y; }
`;
