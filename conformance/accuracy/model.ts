/**
 * Bounds composed through a layer, to first order around the measured reference: given the errors of a step's inputs, those of
 * its result. All of them take and give componentwise bounds; docs/accuracy.md has the table.
 */

import type { RopeTables } from "../../core/ops/rope.ts";
import type { Matrix } from "../../core/tensor.ts";
import type { Arithmetic } from "./arithmetic.ts";
import { halfNumbers } from "./halves.ts";
import { denseElement, nibble } from "./linear.ts";
import { type AttentionInputs, expectAttention, visible } from "./normalized.ts";

type Errors = Float64Array;

/** |W[k, n]| of either storage. */
function magnitudeOf(weight: Matrix, k: number, n: number): number {
  if (weight.kind === "dense") return Math.abs(denseElement(weight, n, k));
  const { outFeatures: N, groupSize, qweight, qzeros, scales } = weight;
  const g = Math.floor(k / groupSize);
  return Math.abs((nibble(qweight, N, k, n) - nibble(qzeros, N, g, n)) * halfNumbers()[scales[g * N + n]!]!);
}

/** Σ_k e[t, k] · |W[k, n]| + local[t, n]. */
export function throughLinear(e: Errors, weight: Matrix, local: Errors, T: number): Errors {
  const { inFeatures: K, outFeatures: N } = weight;
  const out = Float64Array.from(local);
  for (let n = 0; n < N; n++) {
    for (let k = 0; k < K; k++) {
      const w = magnitudeOf(weight, k, n);
      for (let t = 0; t < T; t++) out[t * N + n]! += e[t * K + k]! * w;
    }
  }
  return out;
}

/** e_a + e_b + local. */
export const throughAdd = (a: Errors, b: Errors, local: Errors): Errors => local.map((l, i) => l + a[i]! + b[i]!);

/** ∂y_d/∂x_j = r·w_d·(δ_dj − x_d·x_j/(D·A)) with A = mean x² + eps. */
export function throughRmsNorm(e: Errors, x: Float32Array, weight: Float32Array, eps: number, local: Errors, T: number): Errors {
  const D = weight.length;
  const out = Float64Array.from(local);
  for (let t = 0; t < T; t++) {
    let squares = 0;
    let joint = 0;
    for (let d = 0; d < D; d++) {
      squares += x[t * D + d]! ** 2;
      joint += Math.abs(x[t * D + d]!) * e[t * D + d]!;
    }
    const A = squares / D + eps;
    for (let d = 0; d < D; d++) {
      const at = t * D + d;
      out[at]! += (Math.abs(weight[d]!) / Math.sqrt(A)) * (e[at]! + (Math.abs(x[at]!) * joint) / (D * A));
    }
  }
  return out;
}

/** e_a·|cos| + e_b·|sin| + local. */
export function throughRope(e: Errors, { halfDim, cos, sin }: RopeTables, start: number, local: Errors, T: number, heads: number): Errors {
  const out = Float64Array.from(local);
  for (let t = 0; t < T; t++)
    for (let h = 0; h < heads; h++)
      for (let i = 0; i < halfDim; i++) {
        const [low, high] = [(t * heads + h) * halfDim * 2 + i, (t * heads + h) * halfDim * 2 + halfDim + i];
        const [c, s] = [Math.abs(cos[(start + t) * halfDim + i]!), Math.abs(sin[(start + t) * halfDim + i]!)];
        out[low]! += e[low]! * c + e[high]! * s;
        out[high]! += e[high]! * c + e[low]! * s;
      }
  return out;
}

/** |silu′(g)·up|·e_g + |silu(g)|·e_up + local. */
export function throughSiluMul(eGate: Errors, eUp: Errors, gate: Float32Array, up: Float32Array, local: Errors): Errors {
  return local.map((l, i) => {
    const g = gate[i]!;
    const sigmoid = 1 / (1 + Math.exp(-g));
    const slope = sigmoid * (1 + g * (1 - sigmoid));
    return l + Math.abs(slope * up[i]!) * eGate[i]! + Math.abs(g * sigmoid) * eUp[i]!;
  });
}

/**
 * Errors of q, k and v through attention. δ of a score is at most Σ(e_q|k| + |q|e_k)/√Hd; then, to first order, y changes by
 * Σ p_s δ_s (v_s − y) + Σ p_s e_v.
 */
export function throughAttention(eQ: Errors, eK: Errors, eV: Errors, c: AttentionInputs, a: Arithmetic, rescales: number): Errors {
  const { H, G, Hd } = c.shape;
  const { value, bound } = expectAttention(c, a, rescales);
  const out = Float64Array.from(bound);
  for (let t = 0; t < c.T; t++)
    for (let h = 0; h < H; h++) {
      const [first, last] = visible(c, t);
      const group = Math.floor((h * G) / H);
      const scores: number[] = [];
      const deltas: number[] = [];
      for (let s = first; s <= last; s++) {
        let [score, delta] = [0, 0];
        for (let i = 0; i < Hd; i++) {
          const [q, k] = [(t * H + h) * Hd + i, (s * G + group) * Hd + i];
          score += c.q[q]! * c.k[k]!;
          delta += eQ[q]! * Math.abs(c.k[k]!) + Math.abs(c.q[q]!) * eK[k]!;
        }
        scores.push(score / Math.sqrt(Hd));
        deltas.push(delta / Math.sqrt(Hd));
      }
      const max = Math.max(...scores);
      const sum = scores.reduce((total, score) => total + Math.exp(score - max), 0);
      for (let i = 0; i < Hd; i++) {
        const at = (t * H + h) * Hd + i;
        for (let s = first; s <= last; s++) {
          const p = Math.exp(scores[s - first]! - max) / sum;
          const v = (s * G + group) * Hd + i;
          out[at]! += p * (deltas[s - first]! * Math.abs(c.v[v]! - value[at]!) + eV[v]!);
        }
      }
    }
  return out;
}
