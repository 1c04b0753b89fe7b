/**
 * Rotary embedding of `exact`: c and s are the binary32 numbers nearest to a · cos(p θ_i) and a · sin(p θ_i), θ_i and a real numbers of the
 * config (docs/exact.md, "Rotary embedding"); each product is rounded, and their sum.
 */
import type { LlamaConfig } from "../config.ts";
import { GureumError } from "../errors.ts";
import { add, LARGEST, mul, nearestInteger } from "./numbers.ts";
import { BITS, exp, LN2, ln, ONE, over, PI, realOf, root, times, turn } from "./reals.ts";

export type RopeConfig = Pick<LlamaConfig, "headDim" | "ropeTheta" | "ropeScaling">;

/** [P, Hd/2] each. */
export interface ExactRopeTables {
  readonly halfDim: number;
  readonly cos: Float32Array;
  readonly sin: Float32Array;
}

/** Numbers of a config that 128 fraction bits hold well: below, a base is 0 to them, and nothing can be divided by it. */
const LEAST = 2 ** -64;
const MOST_TURNS = 2 ** 64;

/** A number of the config as it stands. @throws GureumError "limit" */
function realFrom(where: string, x: number, most: number = Infinity): bigint {
  if (x >= LEAST && x <= most) return realOf(x);
  throw new GureumError("limit", {
    where,
    what: "rotary tables of the arithmetic exact",
    expected: x < LEAST ? `at least ${LEAST}` : `at most ${most}`,
    got: `${x}`,
    remedy: "use another arithmetic",
  });
}

const nearestReal = (x: bigint): number => nearestInteger(x, -Number(BITS));

/** The binary32 number nearest to log₂ e / √Hd. */
export const scoreFactor = (headDim: number): number => nearestReal(over(over(ONE, LN2), root(headDim)));

/**
 * θ_i of each pair as a real number, and the factor on cos and sin. `maxContext` only matters to dynamic scaling.
 * @throws GureumError "limit" for a number of the config that no real model has, "unsupported" as attentionFactor
 */
export function exactFrequencies(config: RopeConfig, maxContext: number): { readonly frequencies: bigint[]; readonly factor: bigint } {
  const { headDim, ropeTheta, ropeScaling: scaling } = config;
  const plain = (lnTheta: bigint): bigint[] =>
    Array.from({ length: headDim / 2 }, (_, i) => exp((-lnTheta * BigInt(2 * i)) / BigInt(headDim)));
  const lnTheta = ln(realFrom("rope_theta", ropeTheta));
  const stretch = scaling.type === "none" ? ONE : realFrom("rope_scaling.factor", scaling.factor);
  switch (scaling.type) {
    case "none":
      return { frequencies: plain(lnTheta), factor: ONE };
    case "linear":
      return { frequencies: plain(lnTheta).map((f) => over(f, stretch)), factor: ONE };
    case "dynamic": {
      // θ' = θ · (factor · L / trained − (factor − 1))^(Hd / (Hd − 2))
      const { originalMaxPositionEmbeddings: trained } = scaling;
      const length = BigInt(Math.max(maxContext, trained));
      const grown = (stretch * length) / BigInt(trained) - (stretch - ONE);
      return { frequencies: plain(lnTheta + (ln(grown) * BigInt(headDim)) / BigInt(headDim - 2)), factor: ONE };
    }
    case "llama3": {
      const { lowFreqFactor, highFreqFactor, originalMaxPositionEmbeddings } = scaling;
      const trained = BigInt(originalMaxPositionEmbeddings);
      const [low, high] = [realOf(lowFreqFactor), realOf(highFreqFactor)];
      const frequencies = plain(lnTheta).map((f) => {
        // turns = trained / wavelength = trained · f / 2π
        const turns = over(trained * f, 2n * PI);
        if (turns > high) return f;
        if (turns < low) return over(f, stretch);
        const smooth = over(turns - low, high - low);
        return over(times(ONE - smooth, f), stretch) + times(smooth, f);
      });
      return { frequencies, factor: ONE };
    }
    case "yarn": {
      const { betaFast, betaSlow, originalMaxPositionEmbeddings: trained, truncate } = scaling;
      // The pair whose wavelength makes `rotations` turns over the trained length.
      const pairOf = (name: string, rotations: number): bigint => {
        const turns = over(BigInt(trained) * ONE, times(realFrom(`rope_scaling.${name}`, rotations, MOST_TURNS), 2n * PI));
        return over(BigInt(headDim) * ln(turns), 2n * lnTheta);
      };
      const floor = (x: bigint): bigint => (x >> BITS) << BITS;
      let low = pairOf("beta_fast", betaFast);
      let high = pairOf("beta_slow", betaSlow);
      if (truncate) {
        low = floor(low);
        high = -floor(-high);
      }
      if (low < 0n) low = 0n;
      const most = BigInt(headDim - 1) * ONE;
      if (high > most) high = most;
      const width = low === high ? ONE / 1000n : high - low;
      const frequencies = plain(lnTheta).map((f, i) => {
        const at = over(BigInt(i) * ONE - low, width);
        if (at <= 0n) return f;
        const slow = over(f, stretch);
        return at >= ONE ? slow : times(slow, at) + times(f, ONE - at);
      });
      return { frequencies, factor: realOf(attentionFactor(scaling.attentionFactor)) };
    }
  }
}

/**
 * The factor on cos and sin as a binary32 number. Where the config does not state it, it came from a logarithm in f64, whose last bits a
 * runtime chooses: they must not decide the rounding.
 * @throws GureumError "unsupported" within 2^−45 of a tie, "limit" beyond the largest number
 */
function attentionFactor(factor: number): number {
  const rounded = Math.fround(factor);
  if (rounded === Infinity) realFrom("rope_scaling.attention_factor", factor, LARGEST);
  if (Math.fround(factor * (1 + 2 ** -45)) !== rounded || Math.fround(factor * (1 - 2 ** -45)) !== rounded)
    throw new GureumError("unsupported", {
      where: "rope_scaling.attention_factor",
      what: "too close to a tie of binary32 for the arithmetic exact",
      got: `${factor}`,
      remedy: "state attention_factor as a binary32 number, or use another arithmetic",
    });
  return rounded;
}

/** Positions between two that are computed from the angle itself; those between are turned step by step. */
const STRIDE = 64;

/** The tables last made for a config: sessions of one length, and what is forked of them, share them. */
const lastMade = new WeakMap<RopeConfig, { readonly positions: number; readonly maxContext: number; readonly tables: ExactRopeTables }>();

/** Tables for positions 0 .. positions − 1; not to be written to. */
export function exactRopeTables(config: RopeConfig, positions: number, maxContext: number = positions): ExactRopeTables {
  const last = lastMade.get(config);
  if (last?.positions === positions && last.maxContext === maxContext) return last.tables;
  const tables = makeTables(config, positions, maxContext);
  lastMade.set(config, { positions, maxContext, tables });
  return tables;
}

function makeTables(config: RopeConfig, positions: number, maxContext: number): ExactRopeTables {
  const { frequencies, factor } = exactFrequencies(config, maxContext);
  const halfDim = frequencies.length;
  const cos = new Float32Array(positions * halfDim);
  const sin = new Float32Array(positions * halfDim);
  frequencies.forEach((theta, i) => {
    const step = turn(theta);
    for (let from = 0; from < positions; from += STRIDE) {
      let { cos: c, sin: s } = turn(BigInt(from) * theta);
      for (let p = from; p < Math.min(positions, from + STRIDE); p++) {
        cos[p * halfDim + i] = nearestReal(times(c, factor));
        sin[p * halfDim + i] = nearestReal(times(s, factor));
        [c, s] = [times(c, step.cos) - times(s, step.sin), times(s, step.cos) + times(c, step.sin)];
      }
    }
  });
  return { halfDim, cos, sin };
}

/** x [T, heads, Hd] at positions start …, turned in place: component i with component i + Hd/2. */
export function rotate(x: Float32Array, { halfDim, cos, sin }: ExactRopeTables, start: number, T: number, heads: number): void {
  for (let t = 0; t < T; t++)
    for (let h = 0; h < heads; h++)
      for (let i = 0; i < halfDim; i++) {
        const at = (t * heads + h) * 2 * halfDim + i;
        const c = cos[(start + t) * halfDim + i]!;
        const s = sin[(start + t) * halfDim + i]!;
        const a = x[at]!;
        const b = x[at + halfDim]!;
        x[at] = add(mul(a, c), -mul(b, s));
        x[at + halfDim] = add(mul(b, c), mul(a, s));
      }
}
