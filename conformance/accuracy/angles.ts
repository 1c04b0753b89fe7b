/**
 * The rotary embedding's angles written apart from core/ops/rope.ts, from the publications and with other operations, so
 * that a scaling computed wrongly there does not go into what is expected of it.
 * Sources: Su et al. 2021, arXiv 2104.09864, section 3.2.2 (θ); Chen et al. 2023, arXiv 2306.15595, eq. 4 (linear:
 * position interpolation); bloc97 and emozilla 2023 as Peng et al. 2023, arXiv 2309.00071, cites them (dynamic: "NTK-aware"
 * with the length at hand); Grattafiori et al. 2024, "The Llama 3 Herd of Models", and Meta's `llama_models`,
 * `apply_scaling` (llama3); the YaRN authors' `find_correction_range`, `linear_ramp_mask` (yarn).
 */
import type { RopeScaling } from "../../core/config.ts";
import type { RopeTable } from "./elementwise.ts";

/** A rotary embedding. */
export interface Rotation {
  /** Components of a head. */
  readonly headDim: number;
  /** The base of the frequencies. */
  readonly theta: number;
  /** As a config names it. */
  readonly scaling: RopeScaling;
  /** The context that dynamic scaling is resolved for. */
  readonly maxContext: number;
}

/** Turns per position in radians of pair i of a head. */
function turn(i: number, { headDim: d, theta, scaling, maxContext }: Rotation): number {
  /** b^(−2i/d), by logarithm. */
  const slowed = (base: number): number => Math.exp((-2 * i * Math.log(base)) / d);
  const own = slowed(theta);
  switch (scaling.type) {
    case "none":
      return own;
    case "linear":
      return own / scaling.factor;
    case "dynamic": {
      // b' = b · ((s · l / L) − (s − 1))^(d / (d − 2)), for a length l that passes the trained L.
      const { factor: s, originalMaxPositionEmbeddings: L } = scaling;
      const stretch = maxContext > L ? (s * maxContext) / L - (s - 1) : 1;
      return slowed(theta * Math.exp((d / (d - 2)) * Math.log(stretch)));
    }
    case "llama3": {
      // How many turns a pair makes over the trained length decides: many, as it was; few, 1/factor of that; between, mixed.
      const turns = (own * scaling.originalMaxPositionEmbeddings) / (2 * Math.PI);
      const { lowFreqFactor: low, highFreqFactor: high, factor } = scaling;
      const kept = Math.min(1, Math.max(0, (turns - low) / (high - low)));
      return own * (kept + (1 - kept) / factor);
    }
    case "yarn": {
      const { factor, betaFast, betaSlow, originalMaxPositionEmbeddings: L, truncate } = scaling;
      // The pair that turns r times over L: L · b^(−2p/d) = 2πr.
      const pair = (r: number): number => (d / 2) * (Math.log(L / (2 * Math.PI * r)) / Math.log(theta));
      const [first, last] = truncate ? [Math.floor(pair(betaFast)), Math.ceil(pair(betaSlow))] : [pair(betaFast), pair(betaSlow)];
      const from = Math.max(first, 0);
      const to = Math.min(last, d - 1);
      const interpolated = Math.min(1, Math.max(0, (i - from) / (to > from || to < from ? to - from : 0.001)));
      return own * (1 - interpolated + interpolated / factor);
    }
  }
}

/**
 * cos and sin, with YaRN's factor, of one position for every pair; `error` bounds what an f64 evaluation of another order may
 * differ by: some ten roundings of the frequency, each of them times the position.
 */
export function anglesAt(position: number, rotation: Rotation): { cos: Float64Array; sin: Float64Array; error: Float64Array } {
  const half = rotation.headDim / 2;
  const factor = rotation.scaling.type === "yarn" ? rotation.scaling.attentionFactor : 1;
  const [cos, sin, error] = [new Float64Array(half), new Float64Array(half), new Float64Array(half)];
  for (let i = 0; i < half; i++) {
    const angle = position * turn(i, rotation);
    cos[i] = Math.cos(angle) * factor;
    sin[i] = Math.sin(angle) * factor;
    // The exponent of b is rounded before it is exponentiated: ln b^(2i/d) ≤ 32 of them.
    error[i] = factor * (Math.abs(angle) * 64 * 2 ** -52 + 4 * 2 ** -52);
  }
  return { cos, sin, error };
}

/** What the rows of positions start … start + T − 1 should be. */
export function rotationTable(rotation: Rotation, start: number, T: number): RopeTable {
  const rows = Array.from({ length: T }, (_, t) => anglesAt(start + t, rotation));
  const joined = (of: "cos" | "sin" | "error"): Float64Array => Float64Array.from(rows.flatMap((row) => [...row[of]]));
  return { halfDim: rotation.headDim / 2, first: start, cos: joined("cos"), sin: joined("sin"), error: joined("error") };
}
