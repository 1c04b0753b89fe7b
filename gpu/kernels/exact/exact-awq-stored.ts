/**
 * exact-awq.ts for every shape, from the checkpoint's own layout: qweight [K, N/8], qzeros [K/G, N/8], scales [K/G, N] f16, any K and G, groups of
 * no whole block too. An invocation per output, groups ascending: hi and lo of v times q − z in i32 over 64 k, then 64 bits, times S in 96 bits.
 * Portable and slow; limited by integer instructions.
 */
import { type Card, makeCard } from "../../pipeline/kernel.ts";
import { exact96, exactIntegers, exactNumbers } from "../../wgsl/exact.ts";
import { stepWgsl } from "../../wgsl/step.ts";
import type { ExactLinearShape } from "./exact-awq.ts";
import { digitBytes } from "./exact-digits.ts";

/** N columns from `firstColumn` of `columns` in all. */
export type ExactAwqStoredShape = ExactLinearShape & Readonly<{ groupSize: number; firstColumn: number; columns: number }>;

export const exactAwqStored: Card<"step" | "digits" | "exponents" | "qweight" | "qzeros" | "scales" | "bias" | "out", ExactAwqStoredShape> =
  makeCard({
    name: "exact-awq-stored",
    wgsl: /* wgsl */ `
${stepWgsl}
override K: u32 = 4096u;
override N: u32 = 4096u; // columns here
override FIRST: u32 = 0u; // the first of them among ALL
override ALL: u32 = N;
override GROUP: u32 = 128u;
override P: u32 = 3u;
override HAS_BIAS: bool = false;
override ADDS: bool = false;
override BLOCKS: u32 = (K + 31u) / 32u;
@group(0) @binding(0) var<uniform> step: Step;
@group(0) @binding(1) var<storage, read> digits: array<u32>;
@group(0) @binding(2) var<storage, read> exponents: array<i32>;
@group(0) @binding(3) var<storage, read> qweight: array<u32>;
@group(0) @binding(4) var<storage, read> qzeros: array<u32>;
@group(0) @binding(5) var<storage, read> scales: array<u32>;
@group(0) @binding(6) var<storage, read> bias: array<u32>;
@group(0) @binding(7) var<storage, read_write> out: array<u32>;
${exactIntegers}${exactNumbers}${exact96}
fn digit(t: u32, p: u32, k: u32) -> i32 {
  let j = (k % 32u) / 4u;
  let word = digits[(((t * P + p) * 2u + j / 4u) * BLOCKS + k / 32u) * 4u + (j & 3u)];
  return bitcast<i32>(word << (24u - 8u * (k & 3u))) >> 24u;
}
@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) wg: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let n = wg.x * 64u + lane;
  let t = wg.y;
  if (n >= N || t >= step.T) { return; }
  let shift = 4u * (((n & 1u) << 2u) | ((n & 7u) >> 1u)); // AutoAWQ's order of columns
  var sum = vec3<u32>(0u);
  for (var g = 0u; g < K / GROUP; g++) {
    let zero = i32((qzeros[(g * N + n) >> 3u] >> shift) & 15u);
    var I = vec2<u32>(0u);
    var high = 0; // of 2^16
    var low = 0;
    for (var k = g * GROUP; k < (g + 1u) * GROUP; k++) {
      let w = i32((qweight[(k * N + n) >> 3u] >> shift) & 15u) - zero;
      low += w * (digit(t, 0u, k) + 256 * digit(t, 1u, k));
      var top = digit(t, 2u, k);
      if (P == 4u) { top += 256 * digit(t, 3u, k); }
      high += w * top;
      if ((k & 63u) == 63u || k + 1u == (g + 1u) * GROUP) {
        I = add64(I, add64(wide64(low), shl64(wide64(high), 16u)));
        low = 0;
        high = 0;
      }
    }
    let half = (scales[(g * N + n) >> 1u] >> (16u * (n & 1u))) & 0xffffu;
    let E = (half >> 10u) & 31u;
    let m = (half & 1023u) | select(0u, 1024u, E > 0u);
    let up = max(E, 1u) - 1u;
    let negative = (I.y >> 31u) == 1u;
    let a = select(I, neg64(I), negative);
    let l = mul64(a.x, m);
    let p = add64(mul64(a.y, m), vec2<u32>(l.y, 0u)); // words 1 and 2 of the product
    let term = vec3<u32>(l.x << up, (p.x << up) | ((l.x >> 1u) >> (31u - up)), (p.y << up) | ((p.x >> 1u) >> (31u - up)));
    sum = add96(sum, select(term, neg96(term), negative != ((half >> 15u) == 1u)));
  }
  var y = rn96(sum, exponents[t] - 24);
  let at = t * ALL + FIRST + n;
  if (HAS_BIAS) { y = addf(y, bias[FIRST + n]); }
  if (ADDS) { y = addf(out[at], y); }
  out[at] = y;
}
`,
    call: ({ K, N, P, hasBias, adds, groupSize, firstColumn, columns }) => ({
      overrides: { K, N, GROUP: groupSize, FIRST: firstColumn, ALL: columns, P, HAS_BIAS: hasBias, ADDS: adds },
      workgroups: (T) => [Math.ceil(N / 64), T, 1],
    }),
    sizes: ({ K, N, P, hasBias, groupSize, columns }, T) => {
      const { digits, exponents } = digitBytes(K, P, T);
      const groups = K / groupSize;
      const bias = hasBias ? 4 * columns : 0;
      return { digits, exponents, qweight: (K * N) / 2, qzeros: (groups * N) / 2, scales: 2 * groups * N, bias, out: 4 * T * columns };
    },
  });
