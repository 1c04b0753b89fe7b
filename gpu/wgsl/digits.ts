/**
 * Rows of activations as the digits that the exact integer products of prefill multiply: fixed16 in blocks of 128 along
 * K, v = 256 hi + lo, both digits signed, hi = (v + 128) >> 8, as matrices of i8 want them. A block is sixteen
 * vec4<u32>: 128 bytes of hi, k ascending, then 128 of lo; its scale lies in another buffer.
 */
import { fixed16Quantize } from "./fixed16.ts";

/** Elements that share an exponent. */
export const DIGITS_BLOCK = 128;

/**
 * put_digits: sixteen values of block `at`, given by each of eight neighbours of a workgroup of 256, all of which call
 * it; `write` false past the last block. Wants `digits` (vec4<u32>) and `scales` (u32) in scope.
 */
export const digitsWgsl: string = /* wgsl */ `${fixed16Quantize}
var<workgroup> largest: array<u32, 256>;
fn put_digits(at: u32, write: bool, tid: u32, a: vec4<f32>, b: vec4<f32>, c: vec4<f32>, d: vec4<f32>) {
  largest[tid] = max(max(abs_bits(a), abs_bits(b)), max(abs_bits(c), abs_bits(d)));
  workgroupBarrier();
  var most = 0u;
  for (var i = 0u; i < 8u; i++) { most = max(most, largest[(tid & 248u) + i]); }
  if (!write) { return; }
  let e = quantize(a, most); let f = quantize(b, most); let g = quantize(c, most); let h = quantize(d, most);
  let half = vec4<i32>(128);
  let eight = vec4<u32>(8u);
  let part = tid & 7u;
  digits[16u * at + part] = vec4<u32>(pack_bytes((e + half) >> eight), pack_bytes((f + half) >> eight), pack_bytes((g + half) >> eight), pack_bytes((h + half) >> eight));
  digits[16u * at + 8u + part] = vec4<u32>(pack_bytes(e), pack_bytes(f), pack_bytes(g), pack_bytes(h));
  if (part == 0u) { scales[at] = block_scale(most); }
}
`;
