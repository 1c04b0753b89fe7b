/**
 * exact-dense.ts for many rows: y[t, n] = rn(Σ_k v_k w_nk, e_t + f_n), then + bias; out[t, n] = y, or add(out, y). digits [T, 2 P, B], weights [N, 6, B]
 * vec4<u32> (exact-digits.ts, unit 1); exponents [T], rowExponents [N]; out [T, ALL] words from column FIRST. A workgroup of 256 makes 64 rows ×
 * 64 columns, an invocation 4 × 4 of them, rows and columns 16 apart; K by 32 through workgroup memory. Products of digits by dot4I8Packed in columns of eight
 * bits, at most three of 2^14 per k: i32 for 32,768 k, after which they are folded into 96 bits. Workgroup memory: 12 or 14 KiB. Limited by dot4I8Packed.
 */
import { type Card, makeCard } from "../../pipeline/kernel.ts";
import { exact96, exactIntegers, exactNumbers } from "../../wgsl/exact.ts";
import { stepWgsl } from "../../wgsl/step.ts";
import type { ExactDenseShape } from "./exact-dense.ts";
import { digitBytes } from "./exact-digits.ts";

const range = (n: number): number[] => Array.from({ length: n }, (_, i) => i);
const each = (n: number, line: (i: number) => string, between = " "): string => range(n).map(line).join(between);
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

export const exactDenseTile: Card<
  "step" | "digits" | "exponents" | "weights" | "rowExponents" | "bias" | "out",
  Omit<ExactDenseShape, "tile" | "oneRow">
> = makeCard({
  name: "exact-dense-tile",
  wgsl: /* wgsl */ `
${stepWgsl}
override K: u32 = 4096u;
override N: u32 = 4096u; // rows of weights here
override FIRST: u32 = 0u; // the first of them among ALL
override ALL: u32 = N;
override P: u32 = 3u;
override HAS_BIAS: bool = false;
override ADDS: bool = false;
override BLOCKS: u32 = (K + 31u) / 32u;
const MOST = 1024u; // blocks before a fold
@group(0) @binding(0) var<uniform> step: Step;
@group(0) @binding(1) var<storage, read> digits: array<vec4<u32>>;
@group(0) @binding(2) var<storage, read> exponents: array<i32>;
@group(0) @binding(3) var<storage, read> weights: array<vec4<u32>>;
@group(0) @binding(4) var<storage, read> rowExponents: array<i32>;
@group(0) @binding(5) var<storage, read> bias: array<u32>;
@group(0) @binding(6) var<storage, read_write> out: array<u32>;
var<workgroup> stage: array<vec4<u32>, 128u * (P + 3u)>; // [digits of x, then of w][half a block][64 rows]
${exactIntegers}${exactNumbers}${exact96}
fn dot(a: vec4<u32>, b: vec4<u32>) -> i32 {
  return dot4I8Packed(a.x, b.x) + dot4I8Packed(a.y, b.y) + dot4I8Packed(a.z, b.z) + dot4I8Packed(a.w, b.w);
}
fn dots(x: vec4<u32>, a: vec4<u32>, b: vec4<u32>, c: vec4<u32>, d: vec4<u32>) -> vec4<i32> {
  return vec4<i32>(dot(x, a), dot(x, b), dot(x, c), dot(x, d));
}
fn finish(t: u32, n: u32, sum: vec3<u32>) {
  if (t >= step.T || n >= N) { return; }
  var y = rn96(sum, exponents[t] + rowExponents[n]);
  let at = t * ALL + FIRST + n;
  if (HAS_BIAS) { y = addf(y, bias[FIRST + n]); }
  if (ADDS) { y = addf(out[at], y); }
  out[at] = y;
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
      if (end == BLOCKS) { finish(row0 + r0 + ${16 * r}u, col0 + n0 + 16u * j, sum); }
    }`,
      "\n    ",
    )}
  }
}
`,
  workgroupBytes: ({ P }) => 2048 * (P + 3),
  call: ({ K, N, P, hasBias, adds, firstColumn, columns }) => ({
    overrides: { K, N, FIRST: firstColumn, ALL: columns, P, HAS_BIAS: hasBias, ADDS: adds },
    workgroups: (T) => [Math.ceil(T / 64), Math.ceil(N / 64), 1],
  }),
  sizes: ({ K, N, P, hasBias, columns }, T) => {
    const { digits, exponents } = digitBytes(K, P, T);
    const weights = digitBytes(K, 3, N);
    const bias = hasBias ? 4 * columns : 0;
    return { digits, exponents, weights: weights.digits, rowExponents: weights.exponents, bias, out: 4 * T * columns };
  },
});
