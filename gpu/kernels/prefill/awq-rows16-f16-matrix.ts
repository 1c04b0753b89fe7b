/**
 * awq-prefill-f16-matrix.ts for at most 16 rows: y[FIRST + 16 p + t, n] = Σ_{k in part p} x[t, k] · W[n, k], the same
 * operands, layouts and rounding, f32 sums in another order. The pieces p < PIECES of a row are joined by the kernels
 * that read them (prefill-rope-f16.ts, prefill-norm-f16.ts). x has room for 16 rows, y for FIRST + 16 PIECES; rows
 * after T come out of whatever x holds there. N % 32 = 0, K % 64 = 0, G % 32 = 0. Work: a workgroup of one subgroup
 * owns 32 columns and a part of K, in turns of four steps of 64; a step's operands go through workgroup memory, the
 * next turn's are on their way in registers. Eight lanes read a cache line of weights: 4 columns × 2 blocks. Workgroup
 * memory 6.75 KiB. Weights by wgsl/eights.ts. Steps past K have scale and zero point 0. Limited by latency: a
 * multiprocessor of one NVIDIA H100 gives workgroups 48 KiB in all, seven of these.
 */
import { type Card, makeCard, type Span } from "../../pipeline/kernel.ts";
import { packedSizes } from "../../wgsl/awq.ts";
import { eightWeightsWgsl } from "../../wgsl/eights.ts";
import type { ProductShape } from "../../wgsl/matrix-tile.ts";
import { f16Matrices, f16MatrixNeeds, matrixExtensions } from "../../wgsl/subgroup-matrix.ts";

/** Rows of its tile; the numbers of rows that it takes, and those left to awq-prefill-f16-matrix.ts. */
export const ROWS16 = 16;
export const atMost16: Span = { from: 1, to: ROWS16 + 1 };
export const above16: Span = { from: ROWS16 + 1, to: Infinity };

/** The products of one step; `piece` is replaced by the same step of the next turn. */
const step = (piece: string, u: number): string => /* wgsl */ `    workgroupBarrier();
    put(to_right, to_left, ${piece}, thousand);
    ${piece} = load_step(n, lane, next + ${u}u);
    workgroupBarrier();
    for (var j = 0u; j < 8u; j += 2u) {
      let p = subgroupMatrixLoad<Left, row_major>(&staged, 288u + j, 9u);
      c0 = subgroupMatrixMultiplyAccumulate(p, subgroupMatrixLoad<Right, col_major>(&staged, j, 9u), c0);
      c1 = subgroupMatrixMultiplyAccumulate(p, subgroupMatrixLoad<Right, col_major>(&staged, 144u + j, 9u), c1);
    }
`;

/**
 * Workgroups that the cards it was measured on run at once: 132 multiprocessors, workgroup memory for seven on each.
 */
const AT_ONCE = 924;
/** So many fit behind the rows of a tile of 128. */
const MOST_PIECES = 7;
const LEAST_TURNS = 4;

/**
 * Parts of K: as many as run at once, of some turns each, and of those that take as few turns the fewest. The search
 * behind it: docs/benchmarks.md.
 */
export function rows16Pieces(K: number, N: number): number {
  const turns = Math.ceil(K / 256);
  const most = Math.max(1, Math.min(MOST_PIECES, Math.floor(turns / LEAST_TURNS), Math.floor(AT_ONCE / (N / 32))));
  return Math.ceil(turns / Math.ceil(turns / most));
}

/** What a subgroup's 32 columns are of the weights, and what becomes of their products c0 and c1. */
interface Rows16End {
  readonly bindings: readonly string[];
  readonly overrides: string;
  readonly wgsl: string;
  /** Rows of the weights from one workgroup's first to the next one's, and from its first 16 to the other 16. */
  readonly columns: number;
  readonly second: string;
  readonly end: string;
}
export const rows16Memory: number = 432 * 16;

export const rows16Wgsl = ({ bindings, overrides, wgsl, columns, second, end }: Rows16End): string => /* wgsl */ `
enable f16;
${matrixExtensions}

override K: u32 = 4096u;
override N: u32 = 4096u;
override GROUP: u32 = 128u;
override FIRST: u32 = 0u;
override PIECES: u32 = 1u;
override BLOCKS: u32 = K / 32u;
override GROUPS: u32 = K / GROUP;
override STEPS: u32 = K / 64u;
override TURNS: u32 = (K / 64u + 3u) / 4u;
override EACH: u32 = (TURNS + PIECES - 1u) / PIECES; // turns of a part
${overrides}
@group(0) @binding(0) var<storage, read> x: array<vec4<u32>>;
@group(0) @binding(1) var<storage, read> weights: array<vec4<u32>>;
@group(0) @binding(2) var<storage, read> groups: array<u32>;
${bindings.map((line, i) => `@group(0) @binding(${i + 3}) ${line}`).join("\n")}
${f16Matrices}
// 32 columns of 64 weights, then 16 rows of 64 activations, 9 words of 16 bytes apart.
var<workgroup> staged: array<vec4<u32>, 432>;

${eightWeightsWgsl}${wgsl}
struct Operands { w0: vec4<u32>, w1: vec4<u32>, g0: u32, g1: u32, x0: vec4<u32>, x1: vec4<u32>, x2: vec4<u32>, x3: vec4<u32> }
fn load_step(n: u32, lane: u32, step: u32) -> Operands {
  let s = min(step, STEPS - 1u);
  let alive = STEPS % 4u == 0u || step < STEPS;
  let w = ((n >> 2u) * BLOCKS + 2u * s + (lane >> 2u) % 2u) * 4u + n % 4u;
  let g = ((n >> 2u) * GROUPS + (64u * s + 32u * ((lane >> 2u) % 2u)) / GROUP) * 4u + n % 4u;
  let at = (lane >> 3u) * (K / 8u) + 8u * s + lane % 8u;
  return Operands(weights[w], weights[w + ${second} * BLOCKS], select(0u, groups[g], alive), select(0u, groups[g + ${second} * GROUPS], alive),
               x[at], x[at + K / 2u], x[at + K], x[at + K / 2u * 3u]);
}
fn put(to_right: u32, to_left: u32, p: Operands, thousand: u32) {
  for (var j = 0u; j < 4u; j++) {
    staged[to_right + j] = eight_weights(p.w0[j], p.g0, thousand);
    staged[to_right + 144u + j] = eight_weights(p.w1[j], p.g1, thousand);
  }
  staged[to_left] = p.x0; staged[to_left + 36u] = p.x1; staged[to_left + 72u] = p.x2; staged[to_left + 108u] = p.x3;
}
@compute @workgroup_size(32)
fn main(@builtin(num_workgroups) size: vec3<u32>, @builtin(workgroup_id) wg: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let thousand = 0x64006400u + (size.z - 1u);
  let column = (lane >> 3u) * 4u + lane % 4u;
  let n = wg.x * ${columns}u + column;
  let to_right = column * 9u + (lane >> 2u) % 2u * 4u;
  let to_left = 288u + (lane >> 3u) * 9u + lane % 8u;
  let end = min((wg.y + 1u) * EACH, TURNS);
  var c0 = Sum(0.0);
  var c1 = Sum(0.0);
  var a = load_step(n, lane, 4u * wg.y * EACH);
  var b = load_step(n, lane, 4u * wg.y * EACH + 1u);
  var c = load_step(n, lane, 4u * wg.y * EACH + 2u);
  var d = load_step(n, lane, 4u * wg.y * EACH + 3u);
  for (var turn = wg.y * EACH; turn < end; turn++) {
    let next = 4u * min(turn + 1u, TURNS - 1u);
${["a", "b", "c", "d"].map(step).join("")}  }
  ${end}
}
`;

/** Pieces begin behind the rows of y where the products are to be added to it (`add`), else at its first row. */
export type Rows16Shape = ProductShape & Readonly<{ pieces: number }>;

export const awqRows16F16Matrix: Card<"x" | "weights" | "groups" | "y", Rows16Shape> = makeCard({
  name: "awq-rows16-f16-matrix",
  ...f16MatrixNeeds,
  wgsl: rows16Wgsl({
    bindings: ["var<storage, read_write> y: array<f32>;"],
    overrides: "",
    wgsl: "",
    columns: 32,
    second: "16u",
    end: `let at = (FIRST + 16u * wg.y) * N + wg.x * 32u;
  subgroupMatrixStore<row_major>(&y, at, c0, N);
  subgroupMatrixStore<row_major>(&y, at + 16u, c1, N);`,
  }),
  workgroupBytes: rows16Memory,
  call: ({ K, N, group, add, pieces }) => ({
    overrides: { K, N, GROUP: group, FIRST: add ? ROWS16 : 0, PIECES: pieces },
    workgroups: () => [N / 32, pieces, 1],
  }),
  sizes: ({ K, N, group, add, pieces }) => ({
    x: 2 * ROWS16 * K,
    ...packedSizes(K, N, group),
    y: 4 * ROWS16 * (pieces + (add ? 1 : 0)) * N,
  }),
});
