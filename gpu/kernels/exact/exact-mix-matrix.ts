/**
 * exact-mix.ts by subgroup matrices of i8, for many rows: the same buffers and result. Hd % 16 = 0, Hd ≤ 128. A workgroup of four subgroups makes 16 rows of a
 * head, a subgroup 32 components of them, the rows that see most first; positions by 32 through workgroup memory, loaded during the products of those before,
 * p̂ as four digits of eight bits, 0 where a row does not see the position.
 * Products of digits add up in six columns of eight bits, i32 for 43,690 positions, which go through workgroup memory to the invocation that folds them
 * into 96 bits. start + T ≤ 32,768. Matrices lie at multiples of 16 bytes, which their loads need: an array of vec4.
 * stage: p̂ [4 digits][16 rows][8 words and 4], v [3 digits][32 positions][32 words and 4]; later sums [2][6][16 · 16]:
 * outputs come sixteen components of two subgroups at a time, four of a row by a lane. VECTORS: of a value. sees: the last position of a row.
 * Workgroup memory: 16.5 KiB. Limited by latency.
 */
import { type Card, makeCard } from "../../pipeline/kernel.ts";
import { exact96, exactIntegers, exactNumbers } from "../../wgsl/exact.ts";
import { exactColumns64, exactHeads, exactSeen } from "../../wgsl/exact-attention.ts";
import { exactWordOf } from "../../wgsl/exact-row.ts";
import { each } from "../../wgsl/repeat.ts";
import { stepWgsl } from "../../wgsl/step.ts";
import { i8Matrices, i8MatrixNeeds, matrixExtensions } from "../../wgsl/subgroup-matrix.ts";
import { exactCacheBytes } from "./exact-rope.ts";
import { attentionOverrides, type ExactAttentionPart, rowsOf } from "./exact-scores.ts";

/** Positions for which the columns hold. */
export const MIX_POSITIONS = 32768;

/** What a lane holds of the next positions: values, of heads of 128. */
const HELD = 6;
/** Four positions of a row from s0 on, and the values of 32, on their way to workgroup memory. */
const load = (from: string): string => `{
    let s0 = ${from};
    let r = tid / 8u;
    let sees = lowest + r;
    let from_row = select(0u, sees + 1u - min(sees + 1u, WINDOW), WINDOW <= sees);
    let s = vec4<u32>(s0 + tid % 8u * 4u) + vec4<u32>(0u, 1u, 2u, 3u);
    let at = ((r0 + min(r, rows - 1u)) * H + h) * STRIDE + min(s, vec4<u32>(last));
    four = vec4<i32>(scores[at.x], scores[at.y], scores[at.z], scores[at.w]);
    four = select(vec4<i32>(0), four, (s <= vec4<u32>(sees)) & (s >= vec4<u32>(from_row)) & vec4<bool>(r < rows));
    ${each(HELD, (i) => `if (tid + ${128 * i}u < 24u * WORDS) { let i = tid + ${128 * i}u; v${i} = values[(min(s0 + i / VECTORS, last) * G + g) * VECTORS + i % VECTORS]; }`, "\n    ")}
  }`;

export const exactMixMatrix: Card<"step" | "scores" | "stats" | "values" | "out", ExactAttentionPart> = makeCard({
  name: "exact-mix-matrix",
  ...i8MatrixNeeds,
  wgsl: /* wgsl */ `
${matrixExtensions}
${stepWgsl}
${exactHeads}
override WORDS: u32 = HD / 4u;
override VECTORS: u32 = 3u * WORDS / 4u;
${exactSeen}
@group(0) @binding(0) var<uniform> step: Step;
@group(0) @binding(1) var<storage, read> scores: array<i32>;
@group(0) @binding(2) var<storage, read> stats: array<vec2<u32>>;
@group(0) @binding(3) var<storage, read> values: array<vec4<u32>>;
@group(0) @binding(4) var<storage, read_write> out: array<u32>;
${i8Matrices}
const V = 192u;
var<workgroup> stage: array<vec4<u32>, 1056>;
${exactIntegers}${exactNumbers}${exact96}${exactWordOf}${exactColumns64}
@compute @workgroup_size(128)
fn main(@builtin(workgroup_id) wg: vec3<u32>, @builtin(num_workgroups) count: vec3<u32>, @builtin(local_invocation_index) tid: u32, @builtin(subgroup_id) sg: u32) {
  let h = wg.x;
  let g = h * G / H;
  let r0 = (count.y - 1u - wg.y) * 16u;
  let rows = min(step.T - min(step.T, FIRST + r0), 16u);
  if (rows == 0u) { return; }
  let lowest = step.start + FIRST + r0;
  let last = lowest + rows - 1u;
  let first = select(0u, lowest + 1u - min(lowest + 1u, WINDOW), WINDOW <= lowest);
  ${each(6, (c) => each(2, (j) => `var c${c}${j} = Sum(0i);`))}
  var four = vec4<i32>(0);
  ${each(HELD, (i) => `var v${i} = vec4<u32>(0u);`)}
  ${load("first")}
  for (var s0 = first; s0 <= last; s0 += 32u) {
    workgroupBarrier();
    {
      let words = word_of(four.x, four.y, four.z, four.w).digits;
      for (var p = 0u; p < 4u; p++) { stage[p * 48u + tid / 8u * 3u + tid / 4u % 2u][tid % 4u] = words[p]; }
    }
    ${each(HELD, (i) => `if (tid + ${128 * i}u < 24u * WORDS) { let i = tid + ${128 * i}u; let w = i % VECTORS; stage[V + (w / (WORDS / 4u) * 32u + i / VECTORS) * 9u + w % (WORDS / 4u)] = v${i}; }`, "\n    ")}
    workgroupBarrier();
    if (s0 + 32u <= last) ${load("s0 + 32u")}
    if (32u * sg < HD) {
      ${each(4, (p) => `let p${p} = subgroupMatrixLoad<Left, row_major>(&stage, ${48 * p}u, 3u);`)}
      ${each(
        3,
        (q) => `{
        ${each(2, (j) => `let v${j} = subgroupMatrixLoad<Right, row_major>(&stage, V + ${288 * q + j}u + 2u * sg, 9u);`)}
        ${each(4, (p) => each(2, (j) => `c${p + q}${j} = subgroupMatrixMultiplyAccumulate(p${p}, v${j}, c${p + q}${j});`), "\n        ")}
      }`,
        "\n      ",
      )}
    }
  }
  for (var phase = 0u; phase < 4u; phase++) {
    workgroupBarrier();
    if (sg / 2u == phase / 2u) {
      if (phase % 2u == 0u) { ${each(6, (c) => `subgroupMatrixStore<row_major>(&stage, sg % 2u * 384u + ${64 * c}u, c${c}0, 4u);`)} }
      else { ${each(6, (c) => `subgroupMatrixStore<row_major>(&stage, sg % 2u * 384u + ${64 * c}u, c${c}1, 4u);`)} }
    }
    workgroupBarrier();
    let r = tid % 64u / 4u;
    let d = (phase / 2u * 2u + tid / 64u) * 32u + phase % 2u * 16u + tid % 4u * 4u;
    let at = tid / 64u * 384u + tid % 64u;
    if (r < rows && d < HD) {
      let stat = stats[(r0 + r) * H + h];
      for (var c = 0u; c < 4u; c++) {
        let low = columns64(${each(4, (i) => `bitcast<i32>(stage[at + ${64 * i}u][c])`, ", ")});
        let high = columns64(bitcast<i32>(stage[at + 256u][c]), bitcast<i32>(stage[at + 320u][c]), 0, 0);
        let y = low.y + high.x;
        let sum = vec3<u32>(low.x, y, high.y + bitcast<u32>(bitcast<i32>(low.y) >> 31u) + select(0u, 1u, y < low.y));
        out[((FIRST + r0 + r) * H + h) * HD + d + c] = mulf(rn96(sum, bitcast<i32>(stat.x)), stat.y);
      }
    }
  }
}
`,
  workgroupBytes: 16896,
  limits: { maxComputeWorkgroupStorageSize: 16896 },
  call: (part) => ({ overrides: attentionOverrides(part), workgroups: (T) => [part.H, Math.ceil(rowsOf(part, T) / 16), 1] }),
  sizes: (part, T, start) => ({
    scores: 4 * rowsOf(part, T) * part.H * part.stride,
    stats: 8 * rowsOf(part, T) * part.H,
    values: exactCacheBytes(part, start + T).values,
    out: 4 * T * part.H * part.Hd,
  }),
});
