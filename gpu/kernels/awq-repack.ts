/**
 * q[n, k] moves from the AWQ GEMM layout to rows contiguous along K, without loss; and back.
 * qweight [K, N/8], qzeros [K/G, N/8], scales [K/G, N] f16 (checkpoint) → weights [N, K/32] vec4<u32>, groups [N/4, K/G, 4] u32.
 * Word j of a block's vec4 holds k = 32b + 8j + {0..3} in the low nibbles of its four bytes and {4..7} in the high ones, so that
 * `w & 0x0f0f0f0f` and `(w >> 4) & 0x0f0f0f0f` are the byte vectors that dot4I8Packed wants. groups: f16 scale bits | zero << 16.
 * Work: one thread a block of 32 k of one row; neighbours take neighbouring rows, so eight of them share each word read.
 * Limit: memory, once at load; reads are re-used eightfold through the cache. Several matrices may share one target (ROW_OFFSET).
 */

/** The permutation of AWQ's GEMM packing: column c of eight lies at nibble (0x73625140 >> 4c) & 7. */
export const awqRepackWgsl = /* wgsl */ `
override K: u32;
override N: u32;
override GROUP: u32 = 128u;
override ROW_OFFSET: u32 = 0u;

@group(0) @binding(0) var<storage, read> qweight: array<u32>;
@group(0) @binding(1) var<storage, read> qzeros: array<u32>;
@group(0) @binding(2) var<storage, read> scales: array<u32>;
@group(0) @binding(3) var<storage, read_write> weights: array<vec4<u32>>;
@group(0) @binding(4) var<storage, read_write> groups: array<u32>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) wg: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let n = wg.x * 64u + lane;
  let b = wg.y;
  if (n >= N) { return; }
  let shift = 4u * ((0x73625140u >> (4u * (n & 7u))) & 7u);
  let column = n >> 3u;
  var packed = vec4<u32>(0u);
  for (var j = 0u; j < 4u; j++) {
    var word = 0u;
    for (var i = 0u; i < 8u; i++) {
      let q = (qweight[(32u * b + 8u * j + i) * (N / 8u) + column] >> shift) & 15u;
      word |= q << (8u * (i & 3u) + 4u * (i >> 2u));
    }
    packed[j] = word;
  }
  let row = ROW_OFFSET + n;
  weights[row * (K / 32u) + b] = packed;
  if (b % (GROUP / 32u) == 0u) {
    let g = b / (GROUP / 32u);
    let zero = (qzeros[g * (N / 8u) + column] >> shift) & 15u;
    let scale = (scales[(g * N + n) >> 1u] >> (16u * (n & 1u))) & 0xffffu;
    groups[((row >> 2u) * (K / GROUP) + g) * 4u + (row & 3u)] = scale | (zero << 16u);
  }
}
`;

/** The inverse of awqRepackWgsl: one thread a word of qweight; the thread of a group's first k writes qzeros and four words of scales. */
export const awqUnpackWgsl = /* wgsl */ `
override K: u32;
override N: u32;
override GROUP: u32 = 128u;
override ROW_OFFSET: u32 = 0u;

@group(0) @binding(0) var<storage, read> weights: array<u32>;
@group(0) @binding(1) var<storage, read> groups: array<u32>;
@group(0) @binding(2) var<storage, read_write> qweight: array<u32>;
@group(0) @binding(3) var<storage, read_write> qzeros: array<u32>;
@group(0) @binding(4) var<storage, read_write> scales: array<u32>;

fn group_at(row: u32, g: u32) -> u32 { return groups[((row >> 2u) * (K / GROUP) + g) * 4u + (row & 3u)]; }
@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) wg: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let column = wg.x * 64u + lane;
  let k = wg.y;
  if (column >= N / 8u) { return; }
  let g = k / GROUP;
  var word = 0u;
  var zeros = 0u;
  for (var c = 0u; c < 8u; c++) {
    let row = ROW_OFFSET + 8u * column + c;
    let nibble = 4u * ((0x73625140u >> (4u * c)) & 7u);
    let i = k & 7u;
    let w = weights[(row * K + k) >> 3u];
    word |= ((w >> (8u * (i & 3u) + 4u * (i >> 2u))) & 15u) << nibble;
    zeros |= ((group_at(row, g) >> 16u) & 15u) << nibble;
  }
  qweight[k * (N / 8u) + column] = word;
  if (k % GROUP == 0u) {
    qzeros[g * (N / 8u) + column] = zeros;
    for (var c = 0u; c < 4u; c++) {
      let row = ROW_OFFSET + 8u * column + 2u * c;
      let low = group_at(row, g) & 0xffffu;
      let high = group_at(row + 1u, g) & 0xffffu;
      scales[(g * N) / 2u + 4u * column + c] = low | (high << 16u);
    }
  }
}
`;
