/**
 * exact-awq.ts for many rows: y[t, n] = rn(Σ_g S_gn Σ_{k in g} v_k (q_kn − z_gn), e_t − 24), then + bias; out[t, n] = y, or add(out, y). digits, exponents
 * as exact-digits.ts leaves them with unit 1; weights, groups [rows/4, K/G, 4] (awq-repack.ts); bases (exact-scale-bases.ts). K % 32 = 0, G % 32 = 0.
 * A workgroup of 256 makes 64 rows × 64 columns, an invocation 4 × 4 of them, rows and columns 16 apart; K by 32 through workgroup memory, q − z as i8 with
 * the sign of the scale, products by dot4I8Packed; the blocks of a unit are joined with their scales at once (exact-join.ts). For all devices.
 * Workgroup memory: 8.3 or 10.3 KiB. Limited by dot4I8Packed.
 */
import { type Card, makeCard } from "../../pipeline/kernel.ts";
import { joinRow } from "../../wgsl/exact-join.ts";
import { type ExactTileBuffers, type ExactTileShape, exactTileOverrides, exactTileSizes, exactTileWgsl } from "../../wgsl/exact-tile.ts";
import { each } from "../../wgsl/repeat.ts";

const row = (r: number): string => `{
          ${each(3, (p) => `let x${p} = stage[${128 * p}u + 64u * h + r0 + ${16 * r}u];`)}
          ${each(3, (p) => `d${r}_${p} += dots(x${p}, w0, w1, w2, w3);`)}
          if (P == 4u) { d${r}_3 += dots(stage[384u + 64u * h + r0 + ${16 * r}u], w0, w1, w2, w3); }
        }`;

export const exactAwqTile: Card<ExactTileBuffers, ExactTileShape> = makeCard({
  name: "exact-awq-tile",
  wgsl: /* wgsl */ `
${exactTileWgsl}
var<workgroup> stage: array<vec4<u32>, 128u * (P + 1u)>; // [digits, then weights][half a block][64 rows]
var<workgroup> scales: array<u32, 64>;
fn dot(a: vec4<u32>, b: vec4<u32>) -> i32 {
  return dot4I8Packed(a.x, b.x) + dot4I8Packed(a.y, b.y) + dot4I8Packed(a.z, b.z) + dot4I8Packed(a.w, b.w);
}
fn dots(x: vec4<u32>, a: vec4<u32>, b: vec4<u32>, c: vec4<u32>, d: vec4<u32>) -> vec4<i32> {
  return vec4<i32>(dot(x, a), dot(x, b), dot(x, c), dot(x, d));
}
@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) wg: vec3<u32>, @builtin(local_invocation_index) tid: u32) {
  let row0 = wg.x * 64u;
  let col0 = wg.y * 64u;
  let r0 = tid / 16u;
  let n0 = tid % 16u;
  let own = tid % 64u;
  let column = FIRST_ROW + min(col0 + own, N - 1u);
  let base = bases[column] & 255u;
  let low = vec4<u32>(0xffffu);
  let sixteen = vec4<u32>(16u);
  var totals = array<vec3<u32>, 16>();
  for (var window = 0u; window < WINDOWS; window++) {
    ${each(4, (r) => each(2, (c) => `var c${r}_${c} = vec4<u32>(0u);`), "\n    ")}
    ${each(4, (r) => each(4, (p) => `var d${r}_${p} = vec4<i32>(0);`), "\n    ")}
    for (var b = 0u; b < BLOCKS; b++) {
      workgroupBarrier();
      for (var i = tid; i < 128u * P; i += 256u) {
        let t = min(row0 + i % 64u, step.T - 1u);
        stage[i] = digits[(t * 2u * P + i / 64u) * BLOCKS + b];
      }
      if (tid < 64u) {
        let group = group_of(column, b);
        let w = block_of(column, b);
        let by = signed_by(group);
        stage[128u * P + own] = vec4<u32>(bytes(w.x, by), bytes(w.x >> 4u, by), bytes(w.y, by), bytes(w.y >> 4u, by));
        stage[128u * P + 64u + own] = vec4<u32>(bytes(w.z, by), bytes(w.z >> 4u, by), bytes(w.w, by), bytes(w.w >> 4u, by));
        scales[own] = scale_window(group, base, window);
      }
      workgroupBarrier();
      for (var h = 0u; h < 2u; h++) {
        ${each(4, (j) => `let w${j} = stage[128u * P + 64u * h + n0 + ${16 * j}u];`)}
        ${each(4, row, "\n        ")}
      }
      if (b % UNIT == UNIT - 1u) {
        let s = vec4<u32>(${each(4, (j) => `scales[n0 + ${16 * j}u]`, ", ")});
        ${each(4, (r) => joinRow(r, `bitcast<vec4<u32>>(256 * d${r}_1 + d${r}_0)`, `bitcast<vec4<u32>>(256 * d${r}_3 + d${r}_2)`), "\n        ")}
        ${each(4, (r) => each(4, (p) => `d${r}_${p} = vec4<i32>(0);`), "\n        ")}
      }
    }
    ${each(
      4,
      (r) => `for (var j = 0u; j < 4u; j++) {
      var sum = joined(c${r}_0[j], c${r}_1[j]);
      if (WINDOWS > 1u) {
        sum = add96(totals[${4 * r}u + j], shl96(sum, window * WINDOW_BITS));
        totals[${4 * r}u + j] = sum;
      }
      if (window + 1u == WINDOWS) { finish(row0 + r0 + ${16 * r}u, col0 + n0 + 16u * j, sum); }
    }`,
      "\n    ",
    )}
  }
}
`,
  workgroupBytes: ({ P }) => 2048 * (P + 1) + 256,
  call: (shape) => ({ overrides: exactTileOverrides(shape), workgroups: (T) => [Math.ceil(T / 64), Math.ceil(shape.N / 64), 1] }),
  sizes: exactTileSizes,
});
