/** What the dense linears of `exact` share, whether of few rows or by tiles: shape, bindings, and what is done with a sum. */
import type { ExactLinearShape } from "../kernels/exact/exact-awq.ts";
import { digitBytes } from "../kernels/exact/exact-digits.ts";
import type { Sized } from "../pipeline/kernel.ts";
import { exact96, exactIntegers, exactNumbers } from "./exact.ts";
import { stepWgsl } from "./step.ts";

/** N rows of weights from `firstColumn` of `columns` in all. */
export type ExactDenseRows = Omit<ExactLinearShape, "tile"> & Readonly<{ firstColumn: number; columns: number }>;
export type ExactDenseBuffers = "step" | "digits" | "exponents" | "weights" | "rowExponents" | "bias" | "out";

/** Sizes of what so many rows reach. */
export function exactDenseSizes({ K, N, P, hasBias, columns }: ExactDenseRows, rows: number): Record<Sized<ExactDenseBuffers>, number> {
  const { digits, exponents } = digitBytes(K, P, rows);
  const weights = digitBytes(K, 3, N);
  const bias = hasBias ? 4 * columns : 0;
  return { digits, exponents, weights: weights.digits, rowExponents: weights.exponents, bias, out: 4 * rows * columns };
}
export const exactDenseOverrides = ({
  K,
  N,
  P,
  hasBias,
  adds,
  firstColumn,
  columns,
}: ExactDenseRows): Record<string, number | boolean> => ({
  K,
  N,
  FIRST: firstColumn,
  ALL: columns,
  P,
  HAS_BIAS: hasBias,
  ADDS: adds,
});

export const exactDenseWgsl: string = /* wgsl */ `${stepWgsl}
override K: u32 = 4096u;
override N: u32 = 4096u; // rows of weights here
override FIRST: u32 = 0u; // the first of them among ALL
override ALL: u32 = N;
override P: u32 = 3u;
override HAS_BIAS: bool = false;
override ADDS: bool = false;
override BLOCKS: u32 = (K + 31u) / 32u;
@group(0) @binding(0) var<uniform> step: Step;
@group(0) @binding(1) var<storage, read> digits: array<vec4<u32>>;
@group(0) @binding(2) var<storage, read> exponents: array<i32>;
@group(0) @binding(3) var<storage, read> weights: array<vec4<u32>>;
@group(0) @binding(4) var<storage, read> rowExponents: array<i32>;
@group(0) @binding(5) var<storage, read> bias: array<u32>;
@group(0) @binding(6) var<storage, read_write> out: array<u32>;
${exactIntegers}${exactNumbers}${exact96}
fn finish(t: u32, n: u32, T: u32, sum: vec3<u32>) {
  if (t >= T || n >= N) { return; }
  var y = rn96(sum, exponents[t] + rowExponents[n]);
  let at = t * ALL + FIRST + n;
  if (HAS_BIAS) { y = addf(y, bias[FIRST + n]); }
  if (ADDS) { y = addf(out[at], y); }
  out[at] = y;
}
`;
