/**
 * awq-prefill-f16-matrix.ts for at most 16 rows: y[t, n] (+)= Σ_k x[t, k] · W[n, k], the same operands, layouts and rounding, sums in f32 in
 * another order. x and y have room for 16 rows; rows after T of y come out of whatever x holds there. N % 32 = 0, K % 32 = 0, G % 32 = 0.
 * Work: a workgroup of 16 subgroups owns 32 columns; subgroup s takes blocks s, s + 16, … of 32 along K, so that together they read 256 bytes
 * of each column, the next two turns' weights on their way; partial sums are joined in fixed order. Workgroup memory 40 KB.
 * Limited by memory (N · K / 2 bytes) and by what each workgroup reads of x (16 · K · 2 bytes, from the cache).
 */
import type { Kernel } from "../kernel.ts";
import { type BufferArg, type Recorder, record, type Workgroups } from "../recorder.ts";

/** Rows of its tile. */
export const ROWS16 = 16;

export const awqRows16F16Matrix: Kernel<"x" | "weights" | "groups" | "y", never> = {
  name: "awq-rows16-f16-matrix",
  bindings: { x: "read", weights: "read", groups: "read", y: "readWrite" },
  params: {},
  overrides: { K: "u32", N: "u32", ADD: "bool", GROUP: "u32", BLOCKS: "u32", GROUPS: "u32" },
  features: ["shader-f16", "subgroups", "chromium-experimental-subgroup-matrix"],
  limits: { maxComputeWorkgroupStorageSize: 40960, maxComputeInvocationsPerWorkgroup: 512, maxComputeWorkgroupSizeX: 512 },
  wgsl: /* wgsl */ `
enable f16;
enable subgroups;
enable chromium_experimental_subgroup_matrix;
diagnostic(off, chromium.subgroup_matrix_uniformity);

override K: u32 = 4096u;
override N: u32 = 4096u;
override ADD: bool = false;
override GROUP: u32 = 128u;
override BLOCKS: u32 = K / 32u;
override GROUPS: u32 = K / GROUP;

@group(0) @binding(0) var<storage, read> x: array<vec4<u32>>;
@group(0) @binding(1) var<storage, read> weights: array<vec4<u32>>;
@group(0) @binding(2) var<storage, read> groups: array<u32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;
alias Left = subgroup_matrix_left<f16, 16, 16>;
alias Right = subgroup_matrix_right<f16, 16, 16>;
alias Sum = subgroup_matrix_result<f32, 16, 16>;
// A subgroup's 32 columns of 32 weights, 5 words of 16 bytes apart; at the end its 16 x 32 sums.
var<workgroup> staged: array<vec4<u32>, 16 * 160>;

fn two(w: u32, zero: vec2<f16>, scale: vec2<f16>) -> u32 {
  return bitcast<u32>((bitcast<vec2<f16>>((w & 0x000f000fu) | 0x64006400u) - zero) * scale);
}
fn eight(w: u32, group: u32) -> vec4<u32> {
  let scale = vec2<f16>(bitcast<vec2<f16>>(group & 0xffffu).x);
  let zero = vec2<f16>(f16(1024u + (group >> 16u)));
  return vec4<u32>(two(w, zero, scale), two(w >> 4u, zero, scale), two(w >> 8u, zero, scale), two(w >> 12u, zero, scale));
}
struct Block { w: vec4<u32>, g: u32 }
fn load_block(n: u32, b: u32) -> Block {
  if (b >= BLOCKS) { return Block(vec4<u32>(0u), 0u); }
  return Block(weights[n * BLOCKS + b], groups[((n >> 2u) * GROUPS + (32u * b) / GROUP) * 4u + (n & 3u)]);
}
@compute @workgroup_size(512)
fn main(@builtin(workgroup_id) wg: vec3<u32>, @builtin(local_invocation_index) tid: u32, @builtin(subgroup_id) sg: u32) {
  let n = wg.x * 32u + (tid & 31u);
  let part = tid >> 5u;
  let to_staged = part * 160u + (tid & 31u) * 5u;
  let from_ = sg * 160u;
  var c0 = Sum(0.0);
  var c1 = Sum(0.0);
  var one = load_block(n, part);
  var two_ = load_block(n, part + 16u);
  for (var first = 0u; first < BLOCKS; first += 16u) {
    let now = one;
    one = two_;
    two_ = load_block(n, first + part + 32u);
    workgroupBarrier();
    for (var j = 0u; j < 4u; j++) { staged[to_staged + j] = eight(now.w[j], now.g); }
    workgroupBarrier();
    let at = 4u * min(first + sg, BLOCKS - 1u);
    let a0 = subgroupMatrixLoad<Left, row_major>(&x, at, K / 8u);
    let a1 = subgroupMatrixLoad<Left, row_major>(&x, at + 2u, K / 8u);
    c0 = subgroupMatrixMultiplyAccumulate(a0, subgroupMatrixLoad<Right, col_major>(&staged, from_, 5u), c0);
    c1 = subgroupMatrixMultiplyAccumulate(a0, subgroupMatrixLoad<Right, col_major>(&staged, from_ + 80u, 5u), c1);
    c0 = subgroupMatrixMultiplyAccumulate(a1, subgroupMatrixLoad<Right, col_major>(&staged, from_ + 2u, 5u), c0);
    c1 = subgroupMatrixMultiplyAccumulate(a1, subgroupMatrixLoad<Right, col_major>(&staged, from_ + 82u, 5u), c1);
  }
  workgroupBarrier();
  subgroupMatrixStore<row_major>(&staged, from_, c0, 8u);
  subgroupMatrixStore<row_major>(&staged, from_ + 4u, c1, 8u);
  workgroupBarrier();
  var sum = 0.0;
  for (var p = 0u; p < 16u; p++) { sum += bitcast<f32>(staged[p * 160u + (tid >> 2u)][tid & 3u]); }
  let out = (tid >> 5u) * N + n;
  if (ADD) { sum += y[out]; }
  y[out] = sum;
}
`,
};

/** For up to 16 rows; more are skipped, so that it can be recorded beside awq-prefill-f16-matrix. Its configuration is needed here too. */
export function recordAwqRows16F16Matrix(
  recorder: Recorder,
  buffers: { x: BufferArg; weights: BufferArg; groups: BufferArg; y: BufferArg },
  { K, N, group, add }: { readonly K: number; readonly N: number; readonly group: number; readonly add: boolean },
  label: string = awqRows16F16Matrix.name,
): void {
  const overrides = { K, N, GROUP: group, ADD: add };
  const workgroups = (T: number): Workgroups => (T <= ROWS16 ? [N / 32, 1, 1] : [0, 0, 0]);
  record(recorder, { kernel: awqRows16F16Matrix, buffers, params: {}, overrides, workgroups, label });
}
