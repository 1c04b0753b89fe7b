/**
 * Rotary position embedding in Hugging Face's half-rotation form (component i turns with component i + Hd/2), with the
 * scalings linear, dynamic, llama3 and yarn.
 * Source: Su et al. 2021, arXiv 2104.09864; Hugging Face `modeling_rope_utils.py`; yarn: Peng et al. 2023, arXiv
 * 2309.00071.
 */

import type { LlamaConfig } from "../config.ts";
import { GureumError } from "../errors.ts";
import { checkLength } from "../tensor.ts";

type RopeConfig = Pick<LlamaConfig, "headDim" | "ropeTheta" | "ropeScaling" | "maxPositionEmbeddings">;

/** cos and sin of every position and frequency, [P, Hd/2] each, f64. */
export interface RopeTables {
  readonly halfDim: number;
  readonly cos: Float64Array;
  readonly sin: Float64Array;
}

/**
 * Angular frequency of each pair, [Hd/2], and the factor on cos and sin. Dynamic scaling is resolved once, for the
 * `maxContext` the session was made for (Hugging Face re-derives it as the sequence grows, which makes a cached key
 * depend on when it was computed): up to the trained length it is the unscaled embedding.
 */
export function ropeFrequencies(config: RopeConfig, maxContext: number): { frequencies: Float64Array; attentionFactor: number } {
  const { headDim, ropeTheta, ropeScaling: scaling } = config;
  const half = headDim / 2;
  const plain = (theta: number): Float64Array => Float64Array.from({ length: half }, (_, i) => 1 / theta ** ((2 * i) / headDim));
  switch (scaling.type) {
    case "none":
      return { frequencies: plain(ropeTheta), attentionFactor: 1 };
    case "linear":
      return { frequencies: plain(ropeTheta).map((f) => f / scaling.factor), attentionFactor: 1 };
    case "dynamic": {
      const trained = scaling.originalMaxPositionEmbeddings;
      const length = Math.max(maxContext, trained);
      const theta = ropeTheta * ((scaling.factor * length) / trained - (scaling.factor - 1)) ** (headDim / (headDim - 2));
      return { frequencies: plain(theta), attentionFactor: 1 };
    }
    case "llama3": {
      const { factor, lowFreqFactor, highFreqFactor, originalMaxPositionEmbeddings: trained } = scaling;
      const frequencies = plain(ropeTheta).map((f) => {
        const wavelength = (2 * Math.PI) / f;
        if (wavelength < trained / highFreqFactor) return f;
        if (wavelength > trained / lowFreqFactor) return f / factor;
        const smooth = (trained / wavelength - lowFreqFactor) / (highFreqFactor - lowFreqFactor);
        return ((1 - smooth) * f) / factor + smooth * f;
      });
      return { frequencies, attentionFactor: 1 };
    }
    case "yarn": {
      const { factor, betaFast, betaSlow, originalMaxPositionEmbeddings: trained, truncate } = scaling;
      // The pair whose wavelength makes `rotations` turns over the trained length.
      const pairOf = (rotations: number): number => (headDim * Math.log(trained / (rotations * 2 * Math.PI))) / (2 * Math.log(ropeTheta));
      let low = pairOf(betaFast);
      let high = pairOf(betaSlow);
      if (truncate) {
        low = Math.floor(low);
        high = Math.ceil(high);
      }
      low = Math.max(low, 0);
      high = Math.min(high, headDim - 1);
      const width = low === high ? 0.001 : high - low;
      const frequencies = plain(ropeTheta).map((f, i) => {
        const ramp = Math.min(1, Math.max(0, (i - low) / width));
        return (f / factor) * ramp + f * (1 - ramp);
      });
      return { frequencies, attentionFactor: scaling.attentionFactor };
    }
  }
}

/**
 * Rows of positions `from` .. `from + count`−1: [count, Hd/2] each. `maxContext` only matters to dynamic scaling.
 * @throws GureumError "shape" for an odd head_dim
 */
export function ropeRows(config: RopeConfig, from: number, count: number, maxContext: number): RopeTables {
  if (config.headDim % 2 !== 0)
    throw new GureumError("shape", { where: "rope", what: "head_dim", expected: "an even number", got: `${config.headDim}` });
  const { frequencies, attentionFactor } = ropeFrequencies(config, maxContext);
  const halfDim = frequencies.length;
  const cos = new Float64Array(count * halfDim);
  const sin = new Float64Array(count * halfDim);
  for (let row = 0; row < count; row++) {
    for (let i = 0; i < halfDim; i++) {
      const angle = (from + row) * frequencies[i]!;
      cos[row * halfDim + i] = Math.cos(angle) * attentionFactor;
      sin[row * halfDim + i] = Math.sin(angle) * attentionFactor;
    }
  }
  return { halfDim, cos, sin };
}

/** Tables for positions 0 .. positions−1. */
export const ropeTables = (config: RopeConfig, positions: number, maxContext: number = positions): RopeTables =>
  ropeRows(config, 0, positions, maxContext);

/**
 * out[t, h, i]        = x[t, h, i] · cos − x[t, h, i + Hd/2] · sin
 * out[t, h, i + Hd/2] = x[t, h, i + Hd/2] · cos + x[t, h, i] · sin    at position start + t, i < Hd/2.
 * x and out [T, heads, Hd] f32; products and sum in f64, one rounding. `out` may be `x`.
 * @throws GureumError "shape", "context" where the tables end before position start + T − 1
 */
export function rope(out: Float32Array, x: Float32Array, tables: RopeTables, start: number, T: number, heads: number): void {
  const { halfDim, cos, sin } = tables;
  checkLength("rope", "x", x, T * heads * halfDim * 2);
  checkLength("rope", "out", out, T * heads * halfDim * 2);
  if ((start + T) * halfDim > cos.length)
    throw new GureumError("context", {
      where: "rope",
      what: "position",
      expected: `below ${cos.length / halfDim}`,
      got: `${start + T - 1}`,
    });
  for (let t = 0; t < T; t++) {
    const angles = (start + t) * halfDim;
    for (let h = 0; h < heads; h++) {
      const first = (t * heads + h) * halfDim * 2;
      for (let i = 0; i < halfDim; i++) {
        const c = cos[angles + i]!;
        const s = sin[angles + i]!;
        const a = x[first + i]!;
        const b = x[first + halfDim + i]!;
        out[first + i] = a * c - b * s;
        out[first + halfDim + i] = b * c + a * s;
      }
    }
  }
}
