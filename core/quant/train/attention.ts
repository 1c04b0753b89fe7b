/**
 * Attention over one sequence, there and back: q, dq, dy, out [T, H, Hd], k, v, dk, dv [T, G, Hd], all arrays one
 * sequence's. Sums in f64, one rounding. core/ops/attention.ts is the same with a cache, of which training has none.
 */
import type { AttentionShape } from "../../ops/attention.ts";
import type { Floats } from "./numbers.ts";

/**
 * For each head h and position t: P[s] = softmax over s of q[t, h] · k[s] / √Hd for the keys first ≤ s ≤ t; then
 * `visit`, with the places of the query and of key 0 of its group.
 */
function weigh(
  q: Floats,
  k: Floats,
  T: number,
  { H, G, Hd, window }: AttentionShape,
  visit: (P: Float64Array, query: number, keys: number, first: number, t: number) => void,
): void {
  const scale = 1 / Math.sqrt(Hd);
  const P = new Float64Array(T);
  for (let h = 0; h < H; h++) {
    const keys = Math.floor((h * G) / H) * Hd;
    for (let t = 0; t < T; t++) {
      const query = (t * H + h) * Hd;
      const first = window === null ? 0 : Math.max(0, t - window + 1);
      let largest = -Infinity;
      for (let s = first; s <= t; s++) {
        const key = s * G * Hd + keys;
        let dot = 0;
        for (let i = 0; i < Hd; i++) dot += q[query + i]! * k[key + i]!;
        P[s] = dot * scale;
        largest = Math.max(largest, P[s]!);
      }
      let sum = 0;
      for (let s = first; s <= t; s++) {
        P[s] = Math.exp(P[s]! - largest);
        sum += P[s]!;
      }
      for (let s = first; s <= t; s++) P[s] = P[s]! / sum;
      visit(P, query, keys, first, t);
    }
  }
}

/** out = P v */
export function attend(out: Floats, q: Floats, k: Floats, v: Floats, T: number, shape: AttentionShape): void {
  const { G, Hd } = shape;
  const sums = new Float64Array(Hd);
  weigh(q, k, T, shape, (P, query, keys, first, t) => {
    sums.fill(0);
    for (let s = first; s <= t; s++) {
      const value = s * G * Hd + keys;
      for (let i = 0; i < Hd; i++) sums[i] = sums[i]! + P[s]! * v[value + i]!;
    }
    out.set(sums, query);
  });
}

/** dv = Pᵀ dy, dP = dy vᵀ, dS = P ∘ (dP − Σ_s P dP) / √Hd, dq = dS k, dk = dSᵀ q; dq, dk and dv are added to. */
export function attentionBackward(
  dq: Floats,
  dk: Floats,
  dv: Floats,
  dy: Floats,
  q: Floats,
  k: Floats,
  v: Floats,
  T: number,
  shape: AttentionShape,
): void {
  const { G, Hd } = shape;
  const scale = 1 / Math.sqrt(Hd);
  const dP = new Float64Array(T);
  weigh(q, k, T, shape, (P, query, keys, first, t) => {
    let mean = 0;
    for (let s = first; s <= t; s++) {
      const value = s * G * Hd + keys;
      let asked = 0;
      for (let i = 0; i < Hd; i++) asked += dy[query + i]! * v[value + i]!;
      dP[s] = asked;
      mean += P[s]! * asked;
    }
    for (let s = first; s <= t; s++) {
      const key = s * G * Hd + keys;
      const p = P[s]!;
      const dS = p * (dP[s]! - mean) * scale;
      for (let i = 0; i < Hd; i++) {
        dq[query + i] = dq[query + i]! + dS * k[key + i]!;
        dk[key + i] = dk[key + i]! + dS * q[query + i]!;
        dv[key + i] = dv[key + i]! + p * dy[query + i]!;
      }
    }
  });
}
