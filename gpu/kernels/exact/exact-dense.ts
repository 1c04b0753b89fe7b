/**
 * y[t, n] = rn(Σ_k v_k w_nk, e_t + f_n), then + bias: dense × `exact`, both as digits (exact-digits.ts); out[t, n] = y, or add(out, y).
 * digits [T, 2 P, B], weights [N, 6, B] vec4<u32>; exponents [T], rowExponents [N]; out [T, ALL] words from column FIRST.
 * Four teams of 64 lanes, two rows each, blocks strided over the lanes: products of digits by dot4I8Packed in columns of eight bits, i32 for
 * every K of the definition. A lane folds its columns into 96 bits, a tree adds lanes, one rounding. Rows of T go by TILE. Workgroup memory: 6 KiB.
 * Decode is limited by memory (3 bytes a weight), more rows by dot4I8Packed.
 */
import { type Card, makeCard } from "../../pipeline/kernel.ts";
import {
  type ExactDenseBuffers,
  type ExactDenseRows,
  exactDenseOverrides,
  exactDenseSizes,
  exactDenseWgsl,
} from "../../wgsl/exact-dense.ts";

/** `tile`: rows that share a reading of the weights, at most 4; `oneRow`: of one row of digits, however large T is. */
export type ExactDenseShape = ExactDenseRows & Readonly<{ tile: number; oneRow?: boolean }>;

export const exactDense: Card<ExactDenseBuffers, ExactDenseShape> = makeCard({
  name: "exact-dense",
  wgsl: /* wgsl */ `
${exactDenseWgsl}override ONE_ROW: bool = false; // whatever T is
override TILE: u32 = 1u; // at most 4
const TEAM = 64u;
const COLUMNS = 6u;
var<workgroup> parts: array<vec3<u32>, 512>; // [2 rows][4 teams][64 lanes]
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
    if (lane < 2u) { finish(first + i, row + lane, T, parts[lane * 256u + team * TEAM]); }
    workgroupBarrier();
  }
}
`,
  workgroupBytes: 8192,
  call: ({ tile, oneRow = false, ...shape }) => ({
    overrides: { ...exactDenseOverrides(shape), ONE_ROW: oneRow, TILE: tile },
    workgroups: (T) => [Math.ceil(shape.N / 8), oneRow ? 1 : Math.ceil(T / tile), 1],
  }),
  sizes: ({ oneRow = false, ...shape }, T) => exactDenseSizes(shape, oneRow ? 1 : T),
});
