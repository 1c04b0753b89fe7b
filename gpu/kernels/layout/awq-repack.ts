/**
 * Moves an AWQ matrix from the checkpoint's GEMM layout to quads of rows, without loss; awq-unpack.ts is the way back.
 * qweight [K, N/8], qzeros [K/G, N/8], scales [K/G, N] f16 → weights [rows/4, K/32, 4] of vec4<u32>, groups [rows/4,
 * K/G, 4] of u32, row n at firstRow + n: several matrices may share one target. Word j of a block's vec4 holds k = 32b
 * + 8j + {0..3} in the low nibbles of its four bytes and + {4..7} in the high ones, so that w & 0x0f0f0f0f and (w >> 4)
 * & 0x0f0f0f0f are what dot4I8Packed wants. Two blocks of four rows fill a cache line of 128 bytes. groups: scale bits
 * | zero << 16. `unit` u: block b lies at b % u · K/32/u + b / u, so that lanes that take
 * u blocks of a group each read side by side. One invocation per block of 32 k of one row; eight neighbours share each word read. Runs once, at load;
 * limited by memory.
 */
import { type Card, makeCard } from "../../pipeline/kernel.ts";
import { gemmSizes, packedSizes } from "../../wgsl/awq.ts";

/** K, N of the matrix in GEMM layout; where it goes, and by which unit (1 where absent). groupSize is a multiple of 32, or K, whose last block is then filled up with zero points; N of 8, firstRow of 4. */
export type RepackShape = Readonly<{ K: number; N: number; groupSize: number; firstRow: number; unit?: number }>;

/** Blocks of a group that a lane of the kernels of `exact` takes together. */
export const unitOf = (groupSize: number): number => [4, 2].find((unit) => groupSize % (32 * unit) === 0) ?? 1;

/** Sizes of both layouts. */
export const repackSizes = ({
  K,
  N,
  groupSize,
  firstRow,
}: RepackShape): Record<"qweight" | "qzeros" | "scales" | "weights" | "groups", number> => ({
  ...gemmSizes(K, N, groupSize),
  ...packedSizes(K, firstRow + N, groupSize),
});

export const awqRepack: Card<"qweight" | "qzeros" | "scales" | "weights" | "groups", RepackShape> = makeCard({
  name: "awq-repack",
  wgsl: /* wgsl */ `
struct Params { K: u32, N: u32, groupSize: u32, firstRow: u32, unit: u32 }
@group(0) @binding(0) var<storage, read> qweight: array<u32>;
@group(0) @binding(1) var<storage, read> qzeros: array<u32>;
@group(0) @binding(2) var<storage, read> scales: array<u32>; // two f16 a word
@group(0) @binding(3) var<storage, read_write> weights: array<vec4<u32>>;
@group(0) @binding(4) var<storage, read_write> groups: array<u32>;
@group(0) @binding(5) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let n = workgroup.x * 64u + lane;
  let b = workgroup.y;
  if (n >= params.N) { return; }
  let words = params.N / 8u;
  let column = n / 8u;
  // Column 8c + j lies at nibble [0, 4, 1, 5, 2, 6, 3, 7][j].
  let shift = 4u * ((0x73625140u >> (4u * (n % 8u))) & 7u);
  let blocks = (params.K + 31u) / 32u;
  let g = 32u * b / params.groupSize;
  let zero = (qzeros[g * words + column] >> shift) & 15u;
  var packed = vec4(0u);
  for (var j = 0u; j < 4u; j++) {
    var word = 0u;
    for (var i = 0u; i < 8u; i++) {
      let k = 32u * b + 8u * j + i;
      var q = zero;
      if (k < params.K) { q = (qweight[k * words + column] >> shift) & 15u; }
      word |= q << (8u * (i % 4u) + 4u * (i / 4u));
    }
    packed[j] = word;
  }
  let row = params.firstRow + n;
  let slot = b % params.unit * (blocks / params.unit) + b / params.unit;
  weights[(row / 4u * blocks + slot) * 4u + row % 4u] = packed;
  if (32u * b % params.groupSize == 0u) {
    let scale = (scales[(g * params.N + n) / 2u] >> (16u * (n % 2u))) & 0xffffu;
    groups[(row / 4u * (params.K / params.groupSize) + g) * 4u + row % 4u] = scale | (zero << 16u);
  }
}
`,
  call: ({ K, N, groupSize, firstRow, unit = 1 }) => ({
    params: { K, N, groupSize, firstRow, unit },
    workgroups: () => [Math.ceil(N / 64), Math.ceil(K / 32), 1],
  }),
  sizes: repackSizes,
});
