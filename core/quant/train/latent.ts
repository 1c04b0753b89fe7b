/**
 * int4 weights that can be trained: each weight has a latent u, in steps of its group's grid, and stands for
 * ŵ = s (clamp(round u) − z). Rounding is passed straight through on the way back: du = s dŵ, where u is within the grid or
 * would go back into it; ds = Σ (q − z) dŵ. Zero points stay: one step of theirs moves a whole group by s.
 * Source: Esser et al. 2020, arXiv 1902.08153 (learned steps); Cheng et al. 2023, arXiv 2309.05516 (rounding trained in
 * units of the step); Chen et al. 2024, arXiv 2407.11062 (EfficientQAT: weights and steps together).
 */
import { f16Bits, f16Values } from "../../dtype.ts";
import type { Rounded } from "../search/descend.ts";
import type { Grids } from "../search/grid.ts";

/** What is trained of a linear [N, K]. */
export interface Latent {
  readonly N: number;
  readonly K: number;
  readonly grids: Pick<Grids, "bits" | "groupSize" | "zeros">;
  /** [N, K], in steps. */
  readonly u: Float32Array;
  /** [N, K/G] */
  readonly scales: Float32Array;
}

/** How near to the next integer a latent begins that stands for another one. */
const EDGE = 0.49;

/** The latents of W [N, K] as it has been rounded: W / s + z, moved no further than its own integer's border. */
export function latentOf(W: Float32Array, { q, grids }: Rounded, N: number, K: number): Latent {
  const { groupSize, scales, zeros } = grids;
  const u = new Float32Array(N * K);
  for (let g = 0; g < scales.length; g++)
    for (let i = g * groupSize; i < (g + 1) * groupSize; i++)
      u[i] = Math.min(q[i]! + EDGE, Math.max(q[i]! - EDGE, W[i]! / scales[g]! + zeros[g]!));
  return { N, K, grids, u, scales: Float32Array.from(scales) };
}

const integer = (u: number, top: number): number => Math.min(top, Math.max(0, Math.floor(u + 0.5)));

/** ŵ [N, K], put into W. */
export function weightsInto(W: Float32Array, { u, scales, grids }: Latent): void {
  const { bits, groupSize, zeros } = grids;
  const top = 2 ** bits - 1;
  for (let g = 0; g < scales.length; g++) {
    const s = scales[g]!;
    const z = zeros[g]!;
    for (let i = g * groupSize; i < (g + 1) * groupSize; i++) W[i] = s * (integer(u[i]!, top) - z);
  }
}

/** Of dW = ∂L/∂ŵ: ∂L/∂u [N, K], and ∂L/∂ log s [N, K/G]. */
export function latentGradients({ u, scales, grids }: Latent, dW: Float32Array): { u: Float32Array; scales: Float32Array } {
  const { bits, groupSize, zeros } = grids;
  const top = 2 ** bits - 1;
  const du = new Float32Array(u.length);
  const ds = new Float32Array(scales.length);
  for (let g = 0; g < scales.length; g++) {
    const s = scales[g]!;
    const z = zeros[g]!;
    let sum = 0;
    for (let i = g * groupSize; i < (g + 1) * groupSize; i++) {
      const d = s * dW[i]!;
      sum += (integer(u[i]!, top) - z) * d;
      // Beyond an end only what leads back counts: the loss falls against the gradient.
      const out = (u[i]! > top + 0.5 && d < 0) || (u[i]! < -0.5 && d > 0);
      du[i] = out ? 0 : d;
    }
    ds[g] = sum;
  }
  return { u: du, scales: ds };
}

/** Integers and f16 scales for the file. */
export function roundedOf({ u, scales, grids }: Latent): Rounded {
  const f16 = f16Values();
  const top = 2 ** grids.bits - 1;
  return {
    q: Uint8Array.from(u, (value) => integer(value, top)),
    grids: { ...grids, scales: Float64Array.from(scales, (s) => f16[f16Bits(s)]!) },
  };
}
