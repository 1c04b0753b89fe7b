/**
 * RMS norm of `exact`: mul(mul(x_d, r), weight_d), r ≈ 1/√(mean x² + eps), the sum of squares exact over the row's integers, rounded once.
 */
import { inverseRoot } from "./functions.ts";
import { add, mul, nearest, nearestInteger } from "./numbers.ts";
import { fixedRow } from "./rows.ts";

/** Squares of 46 bits that f64 adds exactly. */
const AT_ONCE = 64;

/** Σ v². */
function squares(v: Float64Array): bigint {
  let total = 0n;
  for (let from = 0; from < v.length; from += AT_ONCE) {
    let part = 0;
    for (let i = from; i < Math.min(v.length, from + AT_ONCE); i++) part += v[i]! * v[i]!;
    total += BigInt(part);
  }
  return total;
}

/** x and out [rows, D], weight [D], eps a number as in numbers.ts; `out` may be `x`. */
export function rmsNorm(out: Float32Array, x: Float32Array, weight: Float32Array, eps: number, rows: number): void {
  const D = weight.length;
  const inverse = nearest(1 / D);
  for (let t = 0; t < rows; t++) {
    const { values, exponent } = fixedRow(x, t * D, D, 24);
    const sum = nearestInteger(squares(values), 2 * exponent);
    const r = inverseRoot(add(mul(sum, inverse), eps));
    for (let d = 0; d < D; d++) out[t * D + d] = mul(mul(x[t * D + d]!, r), weight[d]!);
  }
}
