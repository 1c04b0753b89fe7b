/** What the kernels of the attention of `exact` share, whether one kernel does all of it for one row or each step has its own. */

/** Query heads, key/value heads, and their size. */
export const exactHeads = /* wgsl */ `override H: u32 = 32u;
override G: u32 = 8u;
override HD: u32 = 128u;`;

/** Positions that a row sees; words from a row of scores to the next; the first row of T that a dispatch covers. */
export const exactSeen = /* wgsl */ `override WINDOW: u32 = 0xffffffffu;
override STRIDE: u32 = 4096u;
override FIRST: u32 = 0u;`;

/** c0 + 2^8 c1 + 2^16 c2 + 2^24 c3 in 64 bits. Wants exactIntegers. */
export const exactColumns64 = /* wgsl */ `
fn columns64(c0: i32, c1: i32, c2: i32, c3: i32) -> vec2<u32> {
  let c = vec3<i32>(c1, c2, c3); let low = bitcast<vec3<u32>>(c) << vec3<u32>(8u, 16u, 24u); let high = bitcast<vec3<u32>>(c >> vec3<u32>(24u, 16u, 8u));
  return add64(add64(wide64(c0), vec2<u32>(low.x, high.x)), add64(vec2<u32>(low.y, high.y), vec2<u32>(low.z, high.z)));
}
`;

/** Products of three digits by three in five columns of eight bits (i32: 3 · 2^14 · 256 at most), four components at a time. Wants exactIntegers, exactColumns64. */
export const exactScoring = /* wgsl */ `
struct Scored { c0: i32, c1: i32, c2: i32, c3: i32, c4: i32 }
fn scored(m: Scored, a: vec3<u32>, b: vec3<u32>) -> Scored {
  return Scored(
    m.c0 + dot4I8Packed(a.x, b.x),
    m.c1 + dot4I8Packed(a.x, b.y) + dot4I8Packed(a.y, b.x),
    m.c2 + dot4I8Packed(a.x, b.z) + dot4I8Packed(a.y, b.y) + dot4I8Packed(a.z, b.x),
    m.c3 + dot4I8Packed(a.y, b.z) + dot4I8Packed(a.z, b.y),
    m.c4 + dot4I8Packed(a.z, b.z));
}
fn score_sum(m: Scored) -> vec2<u32> { return columns_of(m.c0, m.c1, m.c2, m.c3, m.c4); }
fn columns_of(c0: i32, c1: i32, c2: i32, c3: i32, c4: i32) -> vec2<u32> { return columns64(c0, c1, c2, c3) + vec2<u32>(0u, bitcast<u32>(c4)); }
`;

/** A score's weight 2^−d, d its distance from the largest: W · 2^(−30 − n), and w in units of 2^−46. Wants exactPower. */
export const exactWeighing = /* wgsl */ `
struct Weighed { W: u32, n: u32, w: vec2<u32> }
fn weighed(most: u32, score: u32) -> Weighed {
  let D = distance(addf(most, negf(score)));
  let n = D >> 24u;
  let W = power(D & 0xffffffu);
  var w = vec2<u32>(W << 16u, W >> 16u);
  if (n > 31u) { w = vec2<u32>(w.y, 0u); }
  return Weighed(W, n, vec2<u32>((w.x >> (n & 31u)) | ((w.y << 1u) << (31u - (n & 31u))), w.y >> (n & 31u)));
}
fn share_of(m: Weighed, e: i32) -> u32 { // p, with the power of two of the value's row
  return select(rn32(false, m.W, e - 30 - i32(m.n)), 0u, (m.w.x | m.w.y) == 0u);
}
`;

/** Word j of a position in the caches, of each of its three digits (exact-rope.ts). Wants keys, values, G, WORDS. */
export const exactCacheWords = /* wgsl */ `
fn key_words(s: u32, g: u32, j: u32) -> vec3<u32> {
  let at = (s / 32u * G + g) * 3u * WORDS * 32u + s % 32u;
  return vec3<u32>(keys[at + 32u * j], keys[at + 32u * (WORDS + j)], keys[at + 32u * (2u * WORDS + j)]);
}
fn value_words(s: u32, g: u32, j: u32) -> vec3<u32> {
  let at = (s * G + g) * 3u * WORDS + j;
  return vec3<u32>(values[at], values[at + WORDS], values[at + 2u * WORDS]);
}
`;

/**
 * Σ p̂ v̂ of four components: halves of p̂ (32 bits) times digits of v in columns of eight bits, two products a column at most: i32 for MIXED_AT_ONCE = 64
 * positions (64 · 2 · 65,535 · 128 < 2^31). put_mixed, after clear_mixed by 256 lanes and a barrier, adds these to the limbs of 16 bits that a workgroup shares, in any order: 2^15 times at most.
 * Wants exact96, COLUMN: words of a head, a power of two.
 */
export const exactMixing = /* wgsl */ `
const MIXED_AT_ONCE = 64u;
override TOTALS: u32 = 16u * COLUMN;
var<workgroup> totals: array<atomic<i32>, TOTALS>; // [4 limbs][4 components of a word][COLUMN words]
fn clear_mixed(lane: u32) { for (var i = lane; i < TOTALS; i += 256u) { atomicStore(&totals[i], 0); } }
struct Mixed { c0: vec4<i32>, c1: vec4<i32>, c2: vec4<i32>, c3: vec4<i32>, c4: vec4<i32> }
fn bytes(w: u32) -> vec4<i32> { return bitcast<vec4<i32>>(vec4<u32>(w << 24u, w << 16u, w << 8u, w)) >> vec4<u32>(24u); }
fn mixed(m: Mixed, p: i32, digits: vec3<u32>) -> Mixed {
  let low = p & 0xffff;
  let high = p >> 16u;
  let a = bytes(digits.x);
  let b = bytes(digits.y);
  let c = bytes(digits.z);
  return Mixed(m.c0 + a * low, m.c1 + b * low, m.c2 + c * low + a * high, m.c3 + b * high, m.c4 + c * high);
}
fn put_mixed(c: Mixed, j: u32) {
  let eight = vec4<u32>(8u);
  let byte = vec4<i32>(255);
  let v1 = c.c1 + (c.c0 >> eight);
  let v2 = c.c2 + (v1 >> eight);
  let v3 = c.c3 + (v2 >> eight);
  let v4 = c.c4 + (v3 >> eight);
  let l0 = (c.c0 & byte) | ((v1 & byte) << eight);
  let l1 = (v2 & byte) | ((v3 & byte) << eight);
  let l2 = v4 & vec4<i32>(0xffff);
  let l3 = v4 >> vec4<u32>(16u);
  for (var n = 0u; n < 4u; n++) {
    atomicAdd(&totals[n * COLUMN + j], l0[n]);
    atomicAdd(&totals[(4u + n) * COLUMN + j], l1[n]);
    atomicAdd(&totals[(8u + n) * COLUMN + j], l2[n]);
    atomicAdd(&totals[(12u + n) * COLUMN + j], l3[n]);
  }
}
fn mixed_total(i: u32) -> vec3<u32> { // of component i
  let at = i % 4u * COLUMN + i / 4u;
  let l1 = bitcast<u32>(atomicLoad(&totals[at + 4u * COLUMN]));
  let l3 = atomicLoad(&totals[at + 12u * COLUMN]);
  let sum = vec3<u32>(bitcast<u32>(atomicLoad(&totals[at])), bitcast<u32>(atomicLoad(&totals[at + 8u * COLUMN])), 0u);
  return add96(add96(sum, vec3<u32>(l1 << 16u, l1 >> 16u, 0u)), vec3<u32>(0u, bitcast<u32>(l3) << 16u, bitcast<u32>(l3 >> 16u)));
}
`;
