/**
 * f16 rows of activations for the matrix products of prefill: each eight values in the order 0 2 4 6 1 3 5 7, the order in which the
 * nibbles of a packed word come out by mask and shift (awq-prefill-f16-matrix.ts). One rounding a value, by pack2x16float.
 */
export const eightsWgsl = /* wgsl */ `fn eight(a: vec4<f32>, b: vec4<f32>) -> vec4<u32> {
  return vec4<u32>(pack2x16float(a.xz), pack2x16float(b.xz), pack2x16float(a.yw), pack2x16float(b.yw));
}`;
