/**
 * The arithmetic of `fixed16` (core/quant/fixed16.ts) as WGSL functions, spliced into the kernels that quantize or
 * multiply. Powers of two are made from exponent bits, never by division; every product in `quantize` is exact. Adding
 * 1.5 · 2^23 rounds to an integer, ties to even, and leaves it in the low bits: round() and i32() run at an eighth of
 * this rate on one NVIDIA H200. WGSL lets a sum round to either neighbour, so this is a trait of devices and no promise:
 * gpu/device/self-check.ts asks for it when a device is opened. In integers it would cost six operations instead of two.
 */

/**
 * block_inverse(bits of the block's largest |x|) = 2^−e, block_scale(…) = 2^e, and the integers v = rne(x · 2^−e). For
 * NaN or an infinity the scale is NaN, and v, any integers, counts for nothing.
 */
export const fixed16Quantize = /* wgsl */ `
fn block_exponent(largest: u32) -> u32 { return max(39u, (largest + 0x1ffffu) >> 23u); }
fn block_inverse(largest: u32) -> f32 { return bitcast<f32>((268u - block_exponent(largest)) << 23u); }
fn block_scale(largest: u32) -> u32 {
  return select((block_exponent(largest) - 14u) << 23u, 0x7fc00000u, largest >= 0x7f800000u);
}
fn abs_bits(x: vec4<f32>) -> u32 {
  let b = bitcast<vec4<u32>>(x) & vec4<u32>(0x7fffffffu);
  return max(max(b.x, b.y), max(b.z, b.w));
}
fn quantize(x: vec4<f32>, largest: u32) -> vec4<i32> {
  return bitcast<vec4<i32>>(x * block_inverse(largest) + 12582912.0) - vec4<i32>(0x4b400000);
}
fn pack_bytes(v: vec4<i32>) -> u32 {
  let b = bitcast<vec4<u32>>(v) & vec4<u32>(255u);
  return b.x | (b.y << 8u) | (b.z << 16u) | (b.w << 24u);
}
`;

/**
 * load_block(b): 32 k of a vector of f32 in planes: k at element 4 ((k % 32 / 4) · K/32 + k / 32) + k % 4, so that a
 * thread reads eight vec4s and its neighbours read beside it. K is rounded up to whole blocks, the rest of the last is 0.
 */
export const blockOf = (x: string): string => /* wgsl */ `
struct Block { a: vec4<f32>, b: vec4<f32>, c: vec4<f32>, d: vec4<f32>, e: vec4<f32>, f: vec4<f32>, g: vec4<f32>, h: vec4<f32> }
fn load_block(b: u32) -> Block {
  return Block(${x}[b], ${x}[BLOCKS + b], ${x}[2u * BLOCKS + b], ${x}[3u * BLOCKS + b],
               ${x}[4u * BLOCKS + b], ${x}[5u * BLOCKS + b], ${x}[6u * BLOCKS + b], ${x}[7u * BLOCKS + b]);
}
`;

/** digits_of: a thread's own block of 32, quantized in the thread, no word to any other. */
export const fixed16FromValues = /* wgsl */ `
fn digits_of(x: Block) -> Digits {
  let largest = max(max(max(abs_bits(x.a), abs_bits(x.b)), max(abs_bits(x.c), abs_bits(x.d))),
                    max(max(abs_bits(x.e), abs_bits(x.f)), max(abs_bits(x.g), abs_bits(x.h))));
  let a = quantize(x.a, largest); let b = quantize(x.b, largest); let c = quantize(x.c, largest); let d = quantize(x.d, largest);
  let e = quantize(x.e, largest); let f = quantize(x.f, largest); let g = quantize(x.g, largest); let h = quantize(x.h, largest);
  let s = ((a + b) + (c + d)) + ((e + f) + (g + h));
  let eight = vec4<u32>(8u);
  return Digits(vec4<u32>(pack_bytes(a >> eight), pack_bytes(b >> eight), pack_bytes(c >> eight), pack_bytes(d >> eight)),
                vec4<u32>(pack_bytes(e >> eight), pack_bytes(f >> eight), pack_bytes(g >> eight), pack_bytes(h >> eight)),
                vec4<u32>(pack_bytes(a), pack_bytes(b), pack_bytes(c), pack_bytes(d)),
                vec4<u32>(pack_bytes(e), pack_bytes(f), pack_bytes(g), pack_bytes(h)),
                bitcast<f32>(block_scale(largest)), (s.x + s.y) + (s.z + s.w));
}
`;

/**
 * load_digits: a block as awq-add-fixed16.ts left it. digits: four planes of [K/32] vec4<u32>, hi words 0..3, 4..7, lo
 * words 0..3, 4..7; blocks [K/32]: scale bits, Σ v, bits of Σ residual², 0. put_square, then a barrier, then
 * mean_square: mean residual² of the row.
 */
export const fixed16Load = /* wgsl */ `
fn load_digits(b: u32) -> Digits {
  let block = blocks[b];
  return Digits(digits[b], digits[BLOCKS + b], digits[2u * BLOCKS + b], digits[3u * BLOCKS + b], bitcast<f32>(block.x), bitcast<i32>(block.y));
}
`;

/**
 * block_sum: Σ v (q − z) over 32 k of one row, exact: |Σ| < 2^24. join: times the scales, into f32, for four rows at
 * once. Wants `weights`, `groups` (vec4<u32>: the four rows of a quad), BLOCKS, GROUPS, BLOCKS_PER_GROUP in scope.
 */
export const fixed16Rows = /* wgsl */ `
struct Digits { h0: vec4<u32>, h1: vec4<u32>, l0: vec4<u32>, l1: vec4<u32>, scale: f32, sum: i32 }
struct Rows { a: vec4<u32>, b: vec4<u32>, c: vec4<u32>, d: vec4<u32>, g: vec4<u32> }
fn load_rows(row: u32, b: u32) -> Rows {
  let i = row * BLOCKS + 4u * b;
  return Rows(weights[i], weights[i + 1u], weights[i + 2u], weights[i + 3u],
              groups[(row >> 2u) * GROUPS + b / BLOCKS_PER_GROUP]);
}
fn block_sum(w: vec4<u32>, zero: i32, x: Digits) -> i32 {
  let e = w & vec4<u32>(0x0f0f0f0fu);
  let o = (w >> vec4<u32>(4u)) & vec4<u32>(0x0f0f0f0fu);
  let hi = dot4I8Packed(e.x, x.h0.x) + dot4I8Packed(o.x, x.h0.y) + dot4I8Packed(e.y, x.h0.z) + dot4I8Packed(o.y, x.h0.w)
         + dot4I8Packed(e.z, x.h1.x) + dot4I8Packed(o.z, x.h1.y) + dot4I8Packed(e.w, x.h1.z) + dot4I8Packed(o.w, x.h1.w);
  let lo = dot4U8Packed(e.x, x.l0.x) + dot4U8Packed(o.x, x.l0.y) + dot4U8Packed(e.y, x.l0.z) + dot4U8Packed(o.y, x.l0.w)
         + dot4U8Packed(e.z, x.l1.x) + dot4U8Packed(o.z, x.l1.y) + dot4U8Packed(e.w, x.l1.z) + dot4U8Packed(o.w, x.l1.w);
  return 256 * hi + i32(lo) - zero * x.sum;
}
fn join(r: Rows, x: Digits) -> vec4<f32> {
  let z = vec4<i32>(r.g >> vec4<u32>(16u));
  let s = vec4<f32>(unpack2x16float(r.g.x).x, unpack2x16float(r.g.y).x, unpack2x16float(r.g.z).x, unpack2x16float(r.g.w).x);
  return vec4<f32>(vec4<i32>(block_sum(r.a, z.x, x), block_sum(r.b, z.y, x), block_sum(r.c, z.z, x), block_sum(r.d, z.w, x))) * (x.scale * s);
}
`;

/** Σ residual² of the whole row from `blocks`: put_square, a barrier, mean_square. */
export const fixed16MeanSquare = /* wgsl */ `
var<workgroup> sixteenths: array<f32, 16>;
fn put_square(tid: u32) {
  if (tid < 16u) {
    var t = 0.0;
    for (var b = tid; b < BLOCKS; b += 16u) { t += bitcast<f32>(blocks[b].z); }
    sixteenths[tid] = t;
  }
}
fn mean_square() -> f32 {
  var t = 0.0;
  for (var i = 0u; i < 16u; i++) { t += sixteenths[i]; }
  return t / f32(K);
}
`;

/** Blocks that hold K elements. */
export const blocksOf = (K: number): number => Math.ceil(K / 32);
/** Bytes of K activations as digits, of their blocks, and of K numbers in planes. */
export const digitBytes = (K: number): number => 64 * blocksOf(K);
export const blockBytes = (K: number): number => 16 * blocksOf(K);
export const planeBytes = (K: number): number => 128 * blocksOf(K);

/** Where element k of a vector of K lies in planes. */
export const plane = (k: number, K: number): number => 4 * (((k % 32) >> 2) * blocksOf(K) + (k >> 5)) + (k & 3);

export function inPlanes(values: Float32Array): Float32Array<ArrayBuffer> {
  const out = new Float32Array(planeBytes(values.length) / 4);
  for (let k = 0; k < values.length; k++) out[plane(k, values.length)] = values[k]!;
  return out;
}
