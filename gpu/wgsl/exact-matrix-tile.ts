/**
 * int4 linears of `exact` by subgroup matrices of i8: the text that exact-awq-matrix and exact-awq-matrix-4 share. The same buffers and results as
 * exact-awq-tile.ts, but that digits of x lie by STEP blocks (exact-row.ts). K % 128 = 0, G % 128 = 0. A workgroup of SR × SC subgroups makes 16·MF·SR × 16·NF·SC outputs, K by 128 through workgroup memory, rows 9 words
 * of 16 bytes apart: weights less their zero points, and digits of x one at a time, the highest first, so that more workgroups share a multiprocessor.
 * Elements of a matrix are out of reach, so a step's sums go through workgroup memory, where the operands were, to the invocation that joins
 * them with their scales (exact-join.ts): the sums of the high digits, then those of the low two. A digit is loaded during the products of the one before,
 * the next step's first during the join. Weights are stored in an order in which eight lanes meet no bank twice (weight_block). settle: four outputs at the end of a
 * window, by way of workgroup memory, since a loop cannot index registers.
 */
import { digitBytes } from "../kernels/exact/exact-digits.ts";
import type { Card } from "../pipeline/kernel.ts";
import { joinOne, joinRow } from "./exact-join.ts";
import {
  type ExactTileBuffers,
  type ExactTileCut,
  type ExactTileShape,
  exactMatrixWgsl,
  exactTileCard,
  exactTileSizes,
} from "./exact-tile.ts";
import { each, range } from "./repeat.ts";

/** Blocks of a step, whose digits lie together. */
export const MATRIX_STEP = 4;

/**
 * is_wide: whether a sum over 128 k may leave i32, of these rows and columns: |Σ x w| ≤ √(Σ x² Σ w²), by what largest_norm (exact-row.ts) leaves of x in `sums` and
 * exact-scale-bases.ts of w. Where it may not, one sum goes through workgroup memory instead of two.
 */
const exactWide = (rows: number): string => /* wgsl */ `var<workgroup> most: array<atomic<u32>, 2>;
var<workgroup> wide_of: u32;
fn is_wide(row0: u32, heavy: u32, tid: u32) -> bool {
  if (tid < 2u) { atomicStore(&most[tid], 0u); }
  workgroupBarrier();
  if (tid < ${rows}u) { atomicMax(&most[0], u32(sums[min(row0 + tid, step.T - 1u)].x)); }
  atomicMax(&most[1], heavy);
  workgroupBarrier();
  if (tid == 0u) { wide_of = select(0u, 1u, atomicLoad(&most[0]) * atomicLoad(&most[1]) > 0x3ff8000u); }
  return workgroupUniformLoad(&wide_of) == 1u;
}
`;
function matrixWgsl({ P, SR, SC, MF, NF }: ExactTileCut): { wgsl: string; bytes: number } {
  const [rows, columns, lanes] = [16 * MF * SR, 16 * NF * SC, 32 * SR * SC];
  const narrows = P === 3;
  const right = 9 * rows; // where the weights are staged
  const stride = columns / 4 + 2; // of sums: their stores meet no bank twice
  const size = Math.max(right + 9 * columns, rows * stride, 2 * lanes);
  const own = (MF * NF * 8) / 4; // rows of four outputs of an invocation
  const left = Math.ceil((rows * 8) / lanes);
  const [blocks, loadsRight] = [4 * columns, Math.ceil((4 * columns) / lanes)];
  const guard = (i: number, all: number, then: string): string =>
    (i + 1) * lanes <= all ? then : `if (tid + ${i * lanes}u < ${all}u) { ${then} }`;
  // Digit vectors of a step: [row][4 blocks][half].
  const digitsOf = (line: (i: number) => string): string => each(left, (i) => guard(i, rows * 8, line(i)));
  const loadDigits = (p: number, k: string): string =>
    digitsOf((i) => `x${i} = digits[digit_at(row0, ${p}u, ${k}) + tid + ${i * lanes}u];`);
  const load = (k: string): string => `${loadDigits(P - 1, k)}
      ${each(loadsRight, (i) =>
        guard(
          i,
          blocks,
          `{ let c = min(col0 + weight_column(tid + ${i * lanes}u), N - 1u) + FIRST_ROW; let b = 4u * ${k} + weight_block(tid + ${i * lanes}u); w${i} = block_of(c, b); g${i} = group_of(c, b); }`,
        ),
      )}
      ${guard(0, columns, `gs = group_of(column, 4u * ${k});`)}`;
  const storeDigits = digitsOf((i) => `stage[digit_to(tid + ${i * lanes}u)] = x${i};`);
  const store = `${storeDigits}
      ${each(loadsRight, (i) => guard(i, blocks, `put(${right}u + weight_column(tid + ${i * lanes}u) * 9u + 2u * weight_block(tid + ${i * lanes}u), w${i}, g${i});`))}
      ${guard(0, columns, "scales[tid] = scale_window(gs, base, window);")}`;
  const cells = range(MF).flatMap((i) => range(NF).map((j) => [i, j] as const));
  const products = (c: string): string => `
      for (var s = 0u; s < 8u; s += 2u) {
        ${each(NF, (j) => `let q${j} = subgroupMatrixLoad<Right, col_major>(&stage, right0 + ${144 * j}u + s, 9u);`)}
        ${each(
          MF,
          (i) =>
            `let p${i} = subgroupMatrixLoad<Left, row_major>(&stage, left0 + ${144 * i}u + s, 9u); ${each(NF, (j) => `${c}${i}${j} = subgroupMatrixMultiplyAccumulate(p${i}, q${j}, ${c}${i}${j});`)}`,
          " ",
        )}
      }`;
  const zero = (c: string): string => cells.map(([i, j]) => `var ${c}${i}${j} = Sum(0i);`).join(" ");
  const up = cells.map(([i, j]) => `l${i}${j} = subgroupMatrixScalarMultiply(l${i}${j}, 256i);`).join(" ");
  const apart = cells.map(([i, j]) => `let h${i}${j} = l${i}${j}; l${i}${j} = Sum(0i);`).join(" ");
  const put = (c: string): string =>
    cells
      .map(([i, j]) => `subgroupMatrixStore<row_major>(&stage, sums0 + ${16 * i * stride + 4 * j}u, ${c}${i}${j}, ${stride}u);`)
      .join(" ");
  const sumsOf = (r: number): string => `stage[own0 + ${stride * r}u]`;
  /** All of K; sums that are wide go through workgroup memory in two parts, the high digits first. */
  const steps = (wide: boolean): string => `
    for (var k = 0u; k < K / 128u; k++) {
      ${store}
      workgroupBarrier();
      let s = vec4<u32>(scales[4u * c4], scales[4u * c4 + 1u], scales[4u * c4 + 2u], scales[4u * c4 + 3u]);
      ${zero("l")}
      ${range(P)
        .reverse()
        .map((p) => {
          const staged = p === P - 1 ? "" : `workgroupBarrier();\n      ${storeDigits}\n      workgroupBarrier();`;
          const before = p === P - 1 ? "" : wide && p === 1 ? apart : up;
          return `${staged} ${p > 0 ? loadDigits(p - 1, "k") : ""} ${before}${products("l")}`;
        })
        .join("\n      ")}
      workgroupBarrier();
      ${wide ? `${put("h")}\n      workgroupBarrier();\n      ${each(own, (r) => `let b${r} = ${sumsOf(r)};`)}\n      workgroupBarrier();\n      ` : ""}${put("l")}
      workgroupBarrier();
      ${load("min(k + 1u, K / 128u - 1u)")}
      ${each(own, (r) => (wide ? joinRow(r, sumsOf(r), `b${r}`) : joinOne(r, sumsOf(r))))}
      workgroupBarrier();
    }`;
  const wgsl = /* wgsl */ `
${exactMatrixWgsl}
@group(0) @binding(8) var<storage, read> sums: array<vec4<i32>>;
${narrows ? exactWide(rows) : ""}var<workgroup> stage: array<vec4<u32>, ${size}>;
var<workgroup> scales: array<u32, ${columns}>;
fn weight_column(i: u32) -> u32 { return i / 16u * 4u + i % 4u; }
fn weight_block(i: u32) -> u32 { return i / 4u % 2u * 2u + i / 8u % 2u; }
fn digit_at(row0: u32, p: u32, k: u32) -> u32 { return ((row0 / 64u * (BLOCKS / ${MATRIX_STEP}u) + k) * ${P}u + p) * 512u + row0 % 64u * 8u; }
fn digit_to(i: u32) -> u32 { return i / 8u * 9u + i % 8u; }
fn put(at: u32, w: vec4<u32>, group: u32) {
  let by = signed_by(group);
  stage[at] = vec4<u32>(bytes(w.x, by), bytes(w.x >> 4u, by), bytes(w.y, by), bytes(w.y >> 4u, by));
  stage[at + 1u] = vec4<u32>(bytes(w.z, by), bytes(w.z >> 4u, by), bytes(w.w, by), bytes(w.w >> 4u, by));
}
var<private> totals: array<vec3<u32>, ${4 * own}>;
fn settle(at: u32, t: u32, n: u32, tid: u32, window: u32, c0: vec4<u32>, c1: vec4<u32>) {
  stage[2u * tid] = c0; stage[2u * tid + 1u] = c1;
  for (var j = 0u; j < min(4u, N - min(N, n)); j++) {
    var sum = joined(stage[2u * tid][j], stage[2u * tid + 1u][j]);
    if (WINDOWS > 1u) {
      sum = add96(totals[at + j], shl96(sum, window * WINDOW_BITS));
      totals[at + j] = sum;
    }
    if (window + 1u == WINDOWS) { finish(t, n + j, sum); }
  }
}
@compute @workgroup_size(${lanes})
fn main(@builtin(workgroup_id) wg: vec3<u32>, @builtin(local_invocation_index) tid: u32, @builtin(subgroup_id) sg: u32) {
  let row0 = wg.x * ${rows}u; let col0 = wg.y * ${columns}u;
  let left0 = sg / ${SC}u * ${9 * 16 * MF}u;
  let right0 = ${right}u + sg % ${SC}u * ${9 * 16 * NF}u;
  let sums0 = sg / ${SC}u * ${16 * MF * stride}u + sg % ${SC}u * ${4 * NF}u;
  let c4 = tid % ${columns / 4}u;
  let r0 = tid / ${columns / 4}u * ${own}u;
  let own0 = r0 * ${stride}u + c4;
  let column = FIRST_ROW + min(col0 + tid % ${columns}u, N - 1u);
  let base = bases[column] & 255u; ${narrows ? "let wide = is_wide(row0, bases[column] >> 8u, tid);" : ""}
  let low = vec4<u32>(0xffffu); let sixteen = vec4<u32>(16u);
  for (var window = 0u; window < WINDOWS; window++) {
    ${each(own, (r) => each(2, (c) => `var c${r}_${c} = vec4<u32>(0u);`))}
    ${each(left, (i) => `var x${i} = vec4<u32>(0u);`)} ${each(loadsRight, (i) => `var w${i} = vec4<u32>(0u); var g${i} = 0u;`)} var gs = 0u;
    ${load("0u")}
    ${narrows ? `if (wide) {${steps(true)}} else {${steps(false)}}` : steps(true)}
    ${each(own, (r) => `settle(${4 * r}u, row0 + r0 + ${r}u, col0 + 4u * c4, tid, window, c${r}_0, c${r}_1);`)}
    workgroupBarrier();
  }
}
`;
  return { wgsl, bytes: 16 * size + 4 * columns + (narrows ? 32 : 0) };
}

export const exactMatrixTile = (name: string, tile: ExactTileCut): Card<ExactTileBuffers | "sums", ExactTileShape> =>
  exactTileCard(name, tile, matrixWgsl(tile), (shape, T) => ({
    ...exactTileSizes(shape, T),
    digits: digitBytes(shape.K, shape.P, T, MATRIX_STEP).digits,
    sums: shape.P === 3 ? 16 * T : 16,
  }));
