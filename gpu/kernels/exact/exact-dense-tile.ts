/**
 * exact-dense.ts for many rows: y[t, n] = rn(Σ_k v_k w_nk, e_t + f_n), then + bias; out[t, n] = y, or add(out, y). digits [T, 2 P, B], weights [N, 6, B]
 * vec4<u32> (exact-digits.ts, unit 1); exponents [T], rowExponents [N]; out [T, ALL] words from column FIRST. A workgroup of 256 makes 64 rows ×
 * 64 columns, an invocation 4 × 4 of them, rows and columns 16 apart; K by 32 through workgroup memory. Products of digits by dot4I8Packed in columns of eight
 * bits, at most three of 2^14 per k: i32 for 32,768 k, after which they are folded into 96 bits. Workgroup memory: 12 or 14 KiB. Limited by dot4I8Packed.
 */
import { type Card, makeCard } from "../../pipeline/kernel.ts";
import {
  type ExactDenseBuffers,
  type ExactDenseRows,
  exactDenseOverrides,
  exactDenseSizes,
  exactDenseWgsl,
} from "../../wgsl/exact-dense.ts";
import { each } from "../../wgsl/repeat.ts";

const COLUMNS = 6;
/** Digit p of row r times digit q of the four columns. */
const product = (r: number, p: number, q: number): string => `c${r}_${p + q} += dots(x${p}, w${q}_0, w${q}_1, w${q}_2, w${q}_3);`;
const row = (r: number): string => `{
          ${each(3, (p) => `let x${p} = stage[${128 * p}u + 64u * h + r0 + ${16 * r}u];`)}
          ${each(3, (p) => each(3, (q) => product(r, p, q)), "\n          ")}
          if (P == 4u) {
            let x3 = stage[384u + 64u * h + r0 + ${16 * r}u];
            ${each(3, (q) => product(r, 3, q))}
          }
        }`;

export const exactDenseTile: Card<ExactDenseBuffers, ExactDenseRows> = makeCard({
  name: "exact-dense-tile",
  wgsl: /* wgsl */ `
${exactDenseWgsl}const MOST = 1024u; // blocks before a fold
var<workgroup> stage: array<vec4<u32>, 128u * (P + 3u)>; // [digits of x, then of w][half a block][64 rows]
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
  var totals = array<vec3<u32>, 16>();
  for (var first = 0u; first < BLOCKS; first += MOST) {
    ${each(4, (r) => each(COLUMNS, (c) => `var c${r}_${c} = vec4<i32>(0);`), "\n    ")}
    let end = min(first + MOST, BLOCKS);
    for (var b = first; b < end; b++) {
      // 1. A block of both operands; who waits here has read the one before.
      workgroupBarrier();
      for (var i = tid; i < 128u * P; i += 256u) {
        let t = min(row0 + i % 64u, step.T - 1u);
        stage[i] = digits[(t * 2u * P + i / 64u) * BLOCKS + b];
      }
      for (var i = tid; i < 384u; i += 256u) {
        let n = min(col0 + i % 64u, N - 1u);
        stage[128u * P + i] = weights[(n * 6u + i / 64u) * BLOCKS + b];
      }
      workgroupBarrier();
      // 2. Products of digits.
      for (var h = 0u; h < 2u; h++) {
        ${each(3, (q) => each(4, (j) => `let w${q}_${j} = stage[128u * P + ${128 * q}u + 64u * h + n0 + ${16 * j}u];`), "\n        ")}
        ${each(4, row, "\n        ")}
      }
    }
    // 3. Columns folded, and each output once.
    ${each(
      4,
      (r) => `for (var j = 0u; j < 4u; j++) {
      var sum = wide96(c${r}_${COLUMNS - 1}[j]);
      ${each(COLUMNS - 1, (c) => `sum = add96(byte_up(sum), wide96(c${r}_${COLUMNS - 2 - c}[j]));`, "\n      ")}
      if (BLOCKS > MOST) {
        sum = add96(totals[${4 * r}u + j], sum);
        totals[${4 * r}u + j] = sum;
      }
      if (end == BLOCKS) { finish(row0 + r0 + ${16 * r}u, col0 + n0 + 16u * j, step.T, sum); }
    }`,
      "\n    ",
    )}
  }
}
`,
  workgroupBytes: ({ P }) => 2048 * (P + 3),
  call: (shape) => ({
    overrides: exactDenseOverrides(shape),
    workgroups: (T) => [Math.ceil(T / 64), Math.ceil(shape.N / 64), 1],
  }),
  sizes: exactDenseSizes,
});
