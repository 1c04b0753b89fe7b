/**
 * What a change of an op's output means for its inputs: for y = f(x) and a loss L, dx = (∂y/∂x)ᵀ dy, where dx stands for
 * ∂L/∂x. One function for each op of core/ops that a layer has; sums in f64, one rounding.
 */
import type { RopeTables } from "../../ops/rope.ts";
import { type Floats, type Numbers, turned } from "./numbers.ts";

/** Of y = x Wᵀ (+ bias): dx = dy W; x [T, K], W [N, K], dy [T, N]. */
export const linearInputs = (numbers: Numbers, dy: Floats, W: Floats, T: number, N: number, K: number): Floats =>
  numbers.product(dy, turned(numbers, W, N, K), T, K, N);

/** Of the same: dW = dyᵀ x, [N, K]. */
export const linearWeights = (numbers: Numbers, dy: Floats, x: Floats, T: number, N: number, K: number): Floats =>
  numbers.product(turned(numbers, dy, T, N), turned(numbers, x, T, K), N, K, T);

/**
 * Of y = x · r · w, r = 1 / √(mean x² + eps), rows [T, D]: dx = r (w dy − x r² mean(x w dy)), dw = Σ_t dy x r. `dx` may be
 * `dy`; `dw` is added to.
 */
export function rmsNormBackward(dx: Floats, dw: Floats, dy: Floats, x: Floats, w: Floats, eps: number, T: number): void {
  const D = w.length;
  for (let t = 0; t < T; t++) {
    const row = t * D;
    let squares = 0;
    let along = 0;
    for (let d = 0; d < D; d++) {
      squares += x[row + d]! * x[row + d]!;
      along += x[row + d]! * w[d]! * dy[row + d]!;
    }
    const r = 1 / Math.sqrt(squares / D + eps);
    const back = (r * r * along) / D;
    for (let d = 0; d < D; d++) {
      const dyd = dy[row + d]!;
      dw[d] = dw[d]! + dyd * x[row + d]! * r;
      dx[row + d] = r * (w[d]! * dyd - x[row + d]! * back);
    }
  }
}

/** Of a rotation: the rotation back; [T, heads, Hd] at positions 0 … T − 1, in place. */
export function ropeBackward(dy: Floats, { halfDim, cos, sin }: RopeTables, T: number, heads: number): void {
  for (let t = 0; t < T; t++)
    for (let h = 0; h < heads; h++) {
      const first = (t * heads + h) * 2 * halfDim;
      for (let i = 0; i < halfDim; i++) {
        const c = cos[t * halfDim + i]!;
        const s = sin[t * halfDim + i]!;
        const a = dy[first + i]!;
        const b = dy[first + halfDim + i]!;
        dy[first + i] = a * c + b * s;
        dy[first + halfDim + i] = b * c - a * s;
      }
    }
}

/** Of y = g σ(g) u: dg = dy u σ(g) (1 + g (1 − σ(g))), du = dy g σ(g). */
export function siluMulBackward(dg: Floats, du: Floats, dy: Floats, gate: Floats, up: Floats): void {
  for (let i = 0; i < dy.length; i++) {
    const g = gate[i]!;
    const sigma = 1 / (1 + Math.exp(-g));
    const d = dy[i]!;
    dg[i] = d * up[i]! * sigma * (1 + g * (1 - sigma));
    du[i] = d * g * sigma;
  }
}

/** Of Σ_t KL(p_t ‖ softmax(z_t)), p = softmax(base): softmax(z) − p, put into z; the sum. Rows [T, V]. */
export function distil(z: Floats, base: Floats, T: number, V: number): number {
  let total = 0;
  const p = new Float64Array(V);
  const q = new Float64Array(V);
  const normalize = (out: Float64Array, x: Floats, row: number): number => {
    let largest = -Infinity;
    for (let i = 0; i < V; i++) largest = Math.max(largest, x[row + i]!);
    let sum = 0;
    for (let i = 0; i < V; i++) sum += out[i] = Math.exp(x[row + i]! - largest);
    for (let i = 0; i < V; i++) out[i] = out[i]! / sum;
    return largest + Math.log(sum);
  };
  for (let t = 0; t < T; t++) {
    const row = t * V;
    const logP = normalize(p, base, row);
    const logQ = normalize(q, z, row);
    for (let i = 0; i < V; i++) {
      if (p[i]! > 0) total += p[i]! * (base[row + i]! - logP - (z[row + i]! - logQ));
      z[row + i] = q[i]! - p[i]!;
    }
  }
  return total;
}
