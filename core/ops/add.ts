/** The residual addition. */
import { checkLength } from "../tensor.ts";

/**
 * out[i] = a[i] + b[i] for i < length; one rounding to f32. `out` may be `a` or `b`.
 * @throws GureumError "shape"
 */
export function add(out: Float32Array, a: Float32Array, b: Float32Array, length: number): void {
  checkLength("add", "a", a, length);
  checkLength("add", "b", b, length);
  checkLength("add", "out", out, length);
  for (let i = 0; i < length; i++) out[i] = a[i]! + b[i]!;
}
