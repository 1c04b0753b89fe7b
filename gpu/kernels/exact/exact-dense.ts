/**
 * y[t, n] = rn(Σ_k v_k w_nk, e_t + f_n), then + bias: dense × `exact`, both as digits (exact-digits.ts); out[t, n] = y, or add(out, y).
 * digits [T, 2 P, B], weights [N, 6, B] vec4<u32>; exponents [T], rowExponents [N]; out [T, ALL] words from column FIRST.
 * Four teams of 64 lanes, two rows each, blocks strided over the lanes: products of digits by dot4I8Packed in columns of eight bits, i32 for
 * every K of the definition. A lane folds its columns into 96 bits, a tree adds lanes, one rounding. Rows of T go by TILE. Workgroup memory: 6 KiB.
 * Decode is limited by memory (3 bytes a weight), more rows by dot4I8Packed.
 */
import { type Card, makeCard } from "../../pipeline/kernel.ts";
import { exact96, exactIntegers, exactNumbers } from "../../wgsl/exact.ts";
import { stepWgsl } from "../../wgsl/step.ts";
import type { ExactLinearShape } from "./exact-awq.ts";
import { digitBytes } from "./exact-digits.ts";

/** N rows of weights from `firstColumn` of `columns` in all; `oneRow`: of one row of digits, however large T is. */
export type ExactDenseShape = ExactLinearShape & Readonly<{ firstColumn: number; columns: number; oneRow?: boolean }>;

export const exactDense: Card<"step" | "digits" | "exponents" | "weights" | "rowExponents" | "bias" | "out", ExactDenseShape> = makeCard({
  name: "exact-dense",
  wgsl: /* wgsl */ `
${stepWgsl}
override K: u32 = 4096u;
override N: u32 = 4096u; // rows of weights here
override FIRST: u32 = 0u; // the first of them among ALL
override ALL: u32 = N;
override P: u32 = 3u;
override HAS_BIAS: bool = false;
override ADDS: bool = false;
override ONE_ROW: bool = false; // whatever T is
override BLOCKS: u32 = (K + 31u) / 32u;
override TILE: u32 = 1u; // at most 4
const TEAM = 64u;
const COLUMNS = 6u;
@group(0) @binding(0) var<uniform> step: Step;
@group(0) @binding(1) var<storage, read> digits: array<vec4<u32>>;
@group(0) @binding(2) var<storage, read> exponents: array<i32>;
@group(0) @binding(3) var<storage, read> weights: array<vec4<u32>>;
@group(0) @binding(4) var<storage, read> rowExponents: array<i32>;
@group(0) @binding(5) var<storage, read> bias: array<u32>;
@group(0) @binding(6) var<storage, read_write> out: array<u32>;
var<workgroup> parts: array<vec3<u32>, 512>; // [2 rows][4 teams][64 lanes]
${exactIntegers}${exactNumbers}${exact96}
fn dot8(a: vec4<u32>, b: vec4<u32>, c: vec4<u32>, d: vec4<u32>) -> i32 {
  return dot4I8Packed(a.x, c.x) + dot4I8Packed(a.y, c.y) + dot4I8Packed(a.z, c.z) + dot4I8Packed(a.w, c.w)
       + dot4I8Packed(b.x, d.x) + dot4I8Packed(b.y, d.y) + dot4I8Packed(b.z, d.z) + dot4I8Packed(b.w, d.w);
}
@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) wg: vec3<u32>, @builtin(local_invocation_index) tid: u32) {
  let lane = tid % TEAM;
  let team = tid / TEAM;
  let row = (wg.x * 4u + team) * 2u;
  let first = wg.y * TILE;
  let T = select(step.T, 1u, ONE_ROW);
  var c: array<i32, 4u * 2u * COLUMNS>;
  for (var b = lane; b < BLOCKS; b += TEAM) {
    for (var r = 0u; r < 2u; r++) {
      let n = min(row + r, N - 1u);
      for (var q = 0u; q < 3u; q++) {
        let w = weights[(n * 6u + 2u * q) * BLOCKS + b];
        let v = weights[(n * 6u + 2u * q + 1u) * BLOCKS + b];
        for (var i = 0u; i < TILE; i++) {
          let t = min(first + i, T - 1u);
          for (var p = 0u; p < P; p++) {
            let at = (t * P + p) * 2u * BLOCKS + b;
            c[(i * 2u + r) * COLUMNS + p + q] += dot8(w, v, digits[at], digits[at + BLOCKS]);
          }
        }
      }
    }
  }
  for (var i = 0u; i < TILE; i++) {
    for (var r = 0u; r < 2u; r++) {
      var mine = vec3<u32>(0u);
      for (var k = COLUMNS; k > 0u; k--) { mine = add96(byte_up(mine), wide96(c[(i * 2u + r) * COLUMNS + k - 1u])); }
      parts[r * 256u + tid] = mine;
    }
    for (var h = TEAM / 2u; h > 0u; h = h >> 1u) {
      workgroupBarrier();
      if (lane < h) {
        for (var r = 0u; r < 2u; r++) { parts[r * 256u + tid] = add96(parts[r * 256u + tid], parts[r * 256u + tid + h]); }
      }
    }
    workgroupBarrier();
    let t = first + i;
    let n = row + lane;
    if (lane < 2u && n < N && t < T) {
      var y = rn96(parts[lane * 256u + team * TEAM], exponents[t] + rowExponents[n]);
      let at = t * ALL + FIRST + n;
      if (HAS_BIAS) { y = addf(y, bias[FIRST + n]); }
      if (ADDS) { y = addf(out[at], y); }
      out[at] = y;
    }
    workgroupBarrier();
  }
}
`,
  workgroupBytes: 8192,
  call: ({ K, N, P, hasBias, adds, tile, firstColumn, columns, oneRow = false }) => ({
    overrides: { K, N, FIRST: firstColumn, ALL: columns, P, HAS_BIAS: hasBias, ADDS: adds, ONE_ROW: oneRow, TILE: tile },
    workgroups: (T) => [Math.ceil(N / 8), oneRow ? 1 : Math.ceil(T / tile), 1],
  }),
  sizes: ({ K, N, P, hasBias, columns, oneRow = false }, T) => {
    const rows = oneRow ? 1 : T;
    const { digits, exponents } = digitBytes(K, P, rows);
    const weights = digitBytes(K, 3, N);
    const bias = hasBias ? 4 * columns : 0;
    return { digits, exponents, weights: weights.digits, rowExponents: weights.exponents, bias, out: 4 * rows * columns };
  },
});
