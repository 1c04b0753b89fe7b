/**
 * exact-scores.ts by subgroup matrices of i8, for many rows: the same buffers and scores. Hd % 32 = 0. A workgroup of four subgroups makes 32 rows × 64 keys of a
 * head, none where these rows see no such key, components by 32 through workgroup memory, loaded during the products of those before; a subgroup 16 × 32.
 * Products of digits add up in five columns of eight bits (i32: 3 · 2^14 · 256 at most), which go through workgroup memory, sixteen keys of two subgroups at a
 * time, to the invocation that folds four of a row into 64 bits and rounds. stage: [digit][32 queries, then 64 keys][8 words and 4]; later sums
 * [2 subgroups][5 columns][16 · 16]. Matrices lie at multiples of 16 bytes, which their loads need: an array of vec4. Workgroup memory: 14 KiB. Limited by
 * integer instructions.
 */
import { type Card, makeCard } from "../../pipeline/kernel.ts";
import { exactIntegers, exactNumbers } from "../../wgsl/exact.ts";
import { exactColumns64, exactHeads, exactScoring, exactSeen } from "../../wgsl/exact-attention.ts";
import { each } from "../../wgsl/repeat.ts";
import { stepWgsl } from "../../wgsl/step.ts";
import { i8Matrices, i8MatrixNeeds, matrixExtensions } from "../../wgsl/subgroup-matrix.ts";
import { exactCacheBytes, queryBytes } from "./exact-rope.ts";
import { attentionOverrides, type ExactAttentionPart, rowsOf } from "./exact-scores.ts";

/** A lane's digits of the next 32 components, on their way to workgroup memory: queries, then keys. */
const load = (k: string): string => `{
    let k = ${k};
    ${each(2, (j) => `if (tid + ${128 * j}u < 192u) { let i = tid + ${128 * j}u; let at = ((FIRST + r0 + min(i / 6u, rows - 1u)) * H + h) * (3u * WORDS + 1u) + i / 2u % 3u * WORDS + 8u * k + i % 2u * 4u; q${j} = vec4<u32>(queries[at], queries[at + 1u], queries[at + 2u], queries[at + 3u]); }`, "\n    ")}
    ${each(3, (j) => `{ let i = tid + ${128 * j}u; let s = min(s0 + i % 64u, last); let at = ((s / 32u * G + g) * 3u * WORDS + i / 128u * WORDS + 8u * k + i / 64u % 2u * 4u) * 32u + s % 32u; k${j} = vec4<u32>(keys[at], keys[at + 32u], keys[at + 64u], keys[at + 96u]); }`, "\n    ")}
  }`;

/** Rows of a tile. A part of the rows that is not the last one has whole tiles: scores of a tile's rows are written as far as T. */
export const SCORE_TILE = 32;

export const exactScoresMatrix: Card<"step" | "queries" | "keys" | "exponents" | "scores", ExactAttentionPart> = makeCard({
  name: "exact-scores-matrix",
  ...i8MatrixNeeds,
  wgsl: /* wgsl */ `
${matrixExtensions}
${stepWgsl}
${exactHeads}
override WORDS: u32 = HD / 4u;
${exactSeen}
@group(0) @binding(0) var<uniform> step: Step;
@group(0) @binding(1) var<storage, read> queries: array<u32>;
@group(0) @binding(2) var<storage, read> keys: array<u32>;
@group(0) @binding(3) var<storage, read> exponents: array<i32>;
@group(0) @binding(4) var<storage, read_write> scores: array<u32>;
${i8Matrices}
var<workgroup> stage: array<vec4<u32>, 864>;
${exactIntegers}${exactNumbers}${exactColumns64}${exactScoring}
@compute @workgroup_size(128)
fn main(@builtin(workgroup_id) wg: vec3<u32>, @builtin(local_invocation_index) tid: u32, @builtin(subgroup_id) sg: u32) {
  let s0 = wg.x * 64u;
  let h = wg.y;
  let r0 = wg.z * ${SCORE_TILE}u;
  let g = h * G / H;
  let rows = min(step.T - min(step.T, FIRST + r0), 32u);
  let last = step.start + FIRST + r0 + max(rows, 1u) - 1u;
  let first = step.start + FIRST + r0;
  if (rows == 0u || s0 > last || (s0 + 63u < first && first - (s0 + 63u) >= WINDOW)) { return; }
  ${each(5, (c) => each(2, (j) => `var c${c}${j} = Sum(0i);`))}
  ${each(2, (j) => `var q${j} = vec4<u32>(0u);`)} ${each(3, (j) => `var k${j} = vec4<u32>(0u);`)}
  ${load("0u")}
  for (var k = 0u; k < HD / 32u; k++) {
    workgroupBarrier();
    ${each(2, (j) => `if (tid + ${128 * j}u < 192u) { let i = tid + ${128 * j}u; stage[i / 2u % 3u * 288u + i / 6u * 3u + i % 2u] = q${j}; }`, "\n    ")}
    ${each(3, (j) => `{ let i = tid + ${128 * j}u; stage[i / 128u * 288u + (32u + i % 64u) * 3u + i / 64u % 2u] = k${j}; }`, "\n    ")}
    workgroupBarrier();
    if (k + 1u < HD / 32u) ${load("k + 1u")}
    let l = sg / 2u * 48u;
    let r = 96u + sg % 2u * 96u;
    ${each(3, (q) => each(2, (j) => `let b${q}${j} = subgroupMatrixLoad<Right, col_major>(&stage, r + ${288 * q + 48 * j}u, 3u);`), "\n    ")}
    ${each(
      3,
      (p) => `let a${p} = subgroupMatrixLoad<Left, row_major>(&stage, l + ${288 * p}u, 3u);
    ${each(3, (q) => each(2, (j) => `c${p + q}${j} = subgroupMatrixMultiplyAccumulate(a${p}, b${q}${j}, c${p + q}${j});`), "\n    ")}`,
      "\n    ",
    )}
  }
  for (var phase = 0u; phase < 4u; phase++) {
    workgroupBarrier();
    if (sg / 2u == phase / 2u) {
      if (phase % 2u == 0u) { ${each(5, (c) => `subgroupMatrixStore<row_major>(&stage, sg % 2u * 320u + ${64 * c}u, c${c}0, 4u);`)} }
      else { ${each(5, (c) => `subgroupMatrixStore<row_major>(&stage, sg % 2u * 320u + ${64 * c}u, c${c}1, 4u);`)} }
    }
    workgroupBarrier();
    let row = r0 + phase / 2u * 16u + tid % 64u / 4u;
    let t = FIRST + row;
    let at = tid / 64u * 320u + tid % 64u;
    if (t < step.T) {
      let e = bitcast<i32>(queries[(t * H + h) * (3u * WORDS + 1u) + 3u * WORDS]);
      for (var c = 0u; c < 4u; c++) {
        let s = s0 + tid / 64u * 32u + phase % 2u * 16u + tid % 4u * 4u + c;
        if (s <= step.start + t && step.start + t - s < WINDOW) {
          let sum = columns_of(
            bitcast<i32>(stage[at][c]), bitcast<i32>(stage[at + 64u][c]), bitcast<i32>(stage[at + 128u][c]), bitcast<i32>(stage[at + 192u][c]), bitcast<i32>(stage[at + 256u][c]));
          scores[(row * H + h) * STRIDE + s] = rn64(sum, e + exponents[(s * G + g) * 2u]);
        }
      }
    }
  }
}
`,
  workgroupBytes: 13824,
  call: (part) => ({
    overrides: attentionOverrides(part),
    workgroups: (T, start) => [Math.ceil((start + T) / 64), part.H, Math.ceil(rowsOf(part, T) / SCORE_TILE)],
  }),
  sizes: (part, T, start) => {
    const { keys, exponents } = exactCacheBytes(part, start + T);
    return { queries: queryBytes(part, T), keys, exponents, scores: 4 * rowsOf(part, T) * part.H * part.stride };
  },
});
