/**
 * f16 rows of activations for the matrix products of prefill: each eight values in the order 0 2 4 6 1 3 5 7, the order
 * in which the nibbles of a packed word come out by mask and shift (awq-prefill-f16-matrix.ts). One rounding a value,
 * by pack2x16float; magnitudes beyond 65504 are clamped to it, since WGSL leaves their conversion open and infinity
 * would become NaN in the product.
 */
export const eightsWgsl = /* wgsl */ `fn eight(x: vec4<f32>, y: vec4<f32>) -> vec4<u32> {
  let a = clamp(x, vec4(-65504.0), vec4(65504.0));
  let b = clamp(y, vec4(-65504.0), vec4(65504.0));
  return vec4<u32>(pack2x16float(a.xz), pack2x16float(b.xz), pack2x16float(a.yw), pack2x16float(b.yw));
}`;

/**
 * Where word i, eight values, of a row of K lies in panels: 128 rows × 32 of K in one run of memory, [T/128, K/32, 128, 32], so that what a tile
 * stages in a step is read in whole lines. word_of: there with PANELS, else row by row.
 */
export const panelWgsl = /* wgsl */ `fn panel_word(row: u32, i: u32, width: u32) -> u32 {
  return ((row / 128u * (width / 32u) + i / 4u) * 128u + row % 128u) * 4u + i % 4u;
}`;
export const wordWgsl: string = /* wgsl */ `override PANELS: bool = false;
${panelWgsl}
fn word_of(row: u32, i: u32, width: u32) -> u32 {
  if (PANELS) { return panel_word(row, i, width); }
  return row * (width / 8u) + i;
}`;
/** Rows of a panel. */
export const PANEL_ROWS = 128;
/** Words of 16 bytes of T rows of K. */
export const eightsWords = (T: number, K: number, panels: boolean): number =>
  ((panels ? Math.ceil(T / PANEL_ROWS) * PANEL_ROWS : T) * K) / 8;

/**
 * (q − z) · s of the eight weights of a packed word (awq-repack.ts), in that order, `group` their scale's bits and zero
 * point, each rounded once: 1024 + q and 1024 + 16 q are bit patterns of f16, q − z is exact from both. `thousand` is
 * 0x64006400, made so that no compiler can know it (plus a dispatch's third size, less 1): one logic instruction masks
 * and joins bits, but takes one constant; of two it becomes two.
 */
export const eightWeightsWgsl = /* wgsl */ `fn both(half: u32) -> vec2<f16> { return bitcast<vec2<f16>>(half * 0x10001u); }
fn eight_weights(w: u32, group: u32, thousand: u32) -> vec4<u32> {
  let scale = both(group & 0xffffu);
  let zero = group >> 16u;
  let low = both(0x6400u | zero); // 1024 + z
  let high = both(0xd400u | (zero << 4u)); // −64 − z
  let sixteenth = vec2<f16>(0.0625h);
  let v = w >> 8u;
  return vec4<u32>(bitcast<u32>((bitcast<vec2<f16>>((w & 0x000f000fu) | thousand) - low) * scale),
                   bitcast<u32>((bitcast<vec2<f16>>((w & 0x00f000f0u) | thousand) * sixteenth + high) * scale),
                   bitcast<u32>((bitcast<vec2<f16>>((v & 0x000f000fu) | thousand) - low) * scale),
                   bitcast<u32>((bitcast<vec2<f16>>((v & 0x00f000f0u) | thousand) * sixteenth + high) * scale));
}`;
