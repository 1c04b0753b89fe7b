/**
 * exact-dense-tile.ts by subgroup matrices of i8: the same buffers and results. K ≤ MOST_COLUMN_INPUTS. A workgroup of four subgroups makes 64 rows × 64 columns, a subgroup
 * 32 × 32; K by 32 through workgroup memory, the next step on its way during the products of one. Products of digits add up over all of K in columns of eight
 * bits, in the matrices' own i32: at most three products of 2^14 for each k. At the end columns go through workgroup memory to the invocation that folds them
 * into 96 bits. Matrices lie at multiples of 16 bytes, which their loads need: an array of vec4. Workgroup memory: 18 or 21 KiB.
 * Limited by loads.
 */
import { type Card, makeCard } from "../../pipeline/kernel.ts";
import {
  type ExactDenseBuffers,
  type ExactDenseRows,
  exactDenseOverrides,
  exactDenseSizes,
  exactDenseWgsl,
} from "../../wgsl/exact-dense.ts";
import { each, range } from "../../wgsl/repeat.ts";
import { i8Matrices, i8MatrixNeeds, matrixExtensions } from "../../wgsl/subgroup-matrix.ts";

const LANES = 128;
/** Digits of a weight. */
const R = 3;
/** Columns of an output: of three digits of x one less. */
const C = 6;
/** Words of 16 bytes from a staged row to the next: two and one that spreads them over the banks. */
const STRIDE = 3;
const cells = range(2).flatMap((i) => range(2).map((j) => `${i}${j}`));
const ofFour = (text: string): string => `if (P == 4u) { ${text} }`;
const ofDigit = (p: number, text: string): string => (p < 3 ? text : ofFour(text));

const load = (b: string): string => `
      ${each(4, (p) => ofDigit(p, `x${p} = digits[fromX + ${2 * p}u * BLOCKS + ${b}];`))}
      ${each(R, (r) => `w${r} = weights[fromW + ${2 * r}u * BLOCKS + ${b}];`)}`;

const products = (i: number, p: number): string =>
  ofDigit(
    p,
    `let x = subgroupMatrixLoad<Left, row_major>(&stage, left0 + ${(64 * p + 16 * i) * STRIDE}u, ${STRIDE}u);
        ${each(2, (j) => each(R, (r) => `c${p + r}_${i}${j} = subgroupMatrixMultiplyAccumulate(x, w${r}_${j}, c${p + r}_${i}${j});`))}`,
  );

export const exactDenseMatrix: Card<ExactDenseBuffers, ExactDenseRows> = makeCard({
  name: "exact-dense-matrix",
  ...i8MatrixNeeds,
  limits: { maxComputeWorkgroupStorageSize: 16 * 64 * 7 * STRIDE },
  wgsl: /* wgsl */ `${matrixExtensions}
${exactDenseWgsl}${i8Matrices}
var<workgroup> stage: array<vec4<u32>, ${64 * STRIDE}u * (P + ${R}u)>; // [digits of x, then of w][64 rows][2 and 1]
@compute @workgroup_size(${LANES})
fn main(@builtin(workgroup_id) wg: vec3<u32>, @builtin(local_invocation_index) tid: u32, @builtin(subgroup_id) sg: u32, @builtin(subgroup_invocation_id) lane: u32) {
  let row0 = wg.x * 64u;
  let col0 = wg.y * 64u;
  // 1. What a lane stages in each step: half a row's block of every digit.
  let half = tid % 2u;
  let fromX = (min(row0 + tid / 2u, step.T - 1u) * 2u * P + half) * BLOCKS;
  let fromW = (min(col0 + tid / 2u, N - 1u) * ${2 * R}u + half) * BLOCKS;
  let to = tid / 2u * ${STRIDE}u + half;
  let left0 = sg / 2u * ${32 * STRIDE}u;
  let right0 = ${64 * STRIDE}u * P + sg % 2u * ${32 * STRIDE}u;
  ${each(4, (p) => `var x${p} = vec4<u32>(0u);`)}
  ${each(R, (r) => `var w${r} = vec4<u32>(0u);`)}
  ${cells.map((cell) => each(C, (c) => `var c${c}_${cell} = Sum(0i);`)).join("\n  ")}
  // 2. The products.
  ${load("0u")}
  for (var b = 0u; b < BLOCKS; b++) {
      ${each(4, (p) => ofDigit(p, `stage[to + ${64 * STRIDE * p}u] = x${p};`))}
      ${each(R, (r) => `stage[to + ${64 * STRIDE}u * (P + ${r}u)] = w${r};`)}
      workgroupBarrier();
      if (b + 1u < BLOCKS) {${load("b + 1u")}
      }
      ${each(2, (j) => each(R, (r) => `let w${r}_${j} = subgroupMatrixLoad<Right, col_major>(&stage, right0 + ${(64 * r + 16 * j) * STRIDE}u, ${STRIDE}u);`), "\n      ")}
      ${range(2)
        .flatMap((i) => range(4).map((p) => `{ ${products(i, p)} }`))
        .join("\n      ")}
      workgroupBarrier();
  }
  // 3. A matrix of each subgroup at a time, of two subgroups at once: its columns through workgroup memory, an output per lane.
  for (var n = 0u; n < 8u; n++) {
    let cell = n / 2u;
    let mine = sg / 2u == n % 2u;
    let room = sg % 2u * ${64 * C}u;
    if (mine) {
      switch cell {
        ${cells.map((cell, n) => `${n + 1 < cells.length ? `case ${n}u` : "default"}: { ${each(C, (c) => ofDigit(c < C - 1 ? 0 : 3, `subgroupMatrixStore<row_major>(&stage, room + ${64 * c}u, c${c}_${cell}, 4u);`))} }`).join("\n        ")}
      }
    }
    workgroupBarrier();
    if (mine) {
      for (var e = lane; e < 256u; e += 32u) {
        let at = room + e / 4u;
        var sum = vec3<u32>(0u);
        ${ofFour(`sum = wide96(bitcast<i32>(stage[at + ${64 * (C - 1)}u][e & 3u]));`)}
        ${range(C - 1)
          .reverse()
          .map((c) => `sum = add96(byte_up(sum), wide96(bitcast<i32>(stage[at + ${64 * c}u][e & 3u])));`)
          .join("\n        ")}
        finish(row0 + sg / 2u * 32u + cell / 2u * 16u + e / 16u, col0 + sg % 2u * 32u + cell % 2u * 16u + e % 16u, step.T, sum);
      }
    }
    workgroupBarrier();
  }
}
`,
  workgroupBytes: ({ P }) => 16 * 64 * STRIDE * (P + R),
  call: (shape) => ({
    overrides: exactDenseOverrides(shape),
    workgroups: (T) => [Math.ceil(T / 64), Math.ceil(shape.N / 64), 1],
  }),
  sizes: exactDenseSizes,
});
