/**
 * f16 rows of activations for the matrix products of prefill: each eight values in the order 0 2 4 6 1 3 5 7, the order in which the
 * nibbles of a packed word come out by mask and shift (awq-prefill-f16-matrix.ts). One rounding a value, by pack2x16float; magnitudes
 * beyond 65504 are clamped to it, since WGSL leaves their conversion open and infinity would become NaN in the product.
 */
export const eightsWgsl = /* wgsl */ `fn eight(x: vec4<f32>, y: vec4<f32>) -> vec4<u32> {
  let a = clamp(x, vec4(-65504.0), vec4(65504.0));
  let b = clamp(y, vec4(-65504.0), vec4(65504.0));
  return vec4<u32>(pack2x16float(a.xz), pack2x16float(b.xz), pack2x16float(a.yw), pack2x16float(b.yw));
}`;
