/**
 * AWQ's packing as WGSL: column 8c + j of word c sits at bit 4 · [0, 4, 1, 5, 2, 6, 3, 7][j]. Source: AutoAWQ
 * `awq/utils/packing_utils.py`; docs/formats.md.
 */
export const awqWgsl = /* wgsl */ `fn low(word: u32) -> vec4<i32> { // columns 0 to 3
  return vec4<i32>((vec4(word) >> vec4(0u, 16u, 4u, 20u)) & vec4(15u));
}
fn high(word: u32) -> vec4<i32> { // columns 4 to 7
  return vec4<i32>((vec4(word) >> vec4(8u, 24u, 12u, 28u)) & vec4(15u));
}`;

/** Bytes of an AWQ matrix in GEMM layout. */
export const gemmSizes = (K: number, N: number, groupSize: number): Record<"qweight" | "qzeros" | "scales", number> => ({
  qweight: (K * N) / 2,
  qzeros: ((K / groupSize) * N) / 2,
  scales: (K / groupSize) * N * 2,
});

/**
 * Bytes of a repacked matrix of N rows: 4 bits per weight in whole blocks of 32, a word per group
 * (gpu/kernels/layout/awq-repack.ts).
 */
export const packedSizes = (K: number, N: number, groupSize: number): Record<"weights" | "groups", number> => ({
  weights: 16 * Math.ceil(K / 32) * N,
  groups: (K / groupSize) * N * 4,
});
