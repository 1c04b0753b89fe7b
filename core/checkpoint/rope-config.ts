/**
 * The rotary embedding's part of config.json: `rope_theta`, and `rope_scaling` or, from transformers 5 on,
 * `rope_parameters`. Where both say something, `rope_scaling` stands, as in transformers 5: it is what people add by hand.
 * Source: transformers 5 `modeling_rope_utils.py` (defaults and fallbacks as there). longrope, mrope and per-layer-type
 * parameters are refused by name.
 */

import type { RopeScaling } from "../config.ts";
import { GureumError } from "../errors.ts";
import { quote } from "../json.ts";
import { type Fields, fieldsOf } from "./fields.ts";

/** 0.1 m ln(scale) + 1, the YaRN paper's temperature (arXiv 2309.00071, eq. 22). */
function yarnMscale(scale: number, mscale: number): number {
  return scale <= 1 ? 1 : 0.1 * mscale * Math.log(scale) + 1;
}

const unsupported = (where: string, what: string, got: string): GureumError => new GureumError("unsupported", { where, what, got });

/** What the rotary embedding takes from elsewhere in the config. */
export interface RopeContext {
  readonly maxPositionEmbeddings: number;
  readonly headDim: number;
}

/**
 * @throws GureumError "format" for a wrong type, "range" for a number no rotary embedding has, "unsupported" for a
 * scaling not computed.
 */
export function parseRope(config: Fields, context: RopeContext): { readonly ropeTheta: number; readonly ropeScaling: RopeScaling } {
  const stated = ["rope_scaling", "rope_parameters"].flatMap((name) => (config.has(name) ? [fieldsOf(config.get(name), name)] : []));
  const [scaling = null, other] = stated.filter(({ values }) => values.size > 0);
  const key = scaling?.where ?? "";
  if (scaling && [...scaling.values.values()].some((value) => value instanceof Map))
    throw unsupported(key, "rotary parameters per layer type", [...scaling.values.keys()].join(", "));

  const theta = scaling?.has("rope_theta") ? scaling : config;
  const ropeTheta = theta.positive("rope_theta", 10000);
  if (other?.has("rope_theta") && !theta.has("rope_theta") && other.positive("rope_theta") !== ropeTheta)
    throw new GureumError("format", {
      where: `${other.where}.rope_theta`,
      what: `stands in ${other.where} alone, in whose place ${key} is taken`,
      remedy: `put rope_theta into ${key}, or take one of the two out`,
    });
  const partial = (scaling?.has("partial_rotary_factor") ? scaling : config).positive("partial_rotary_factor", 1);
  if (partial !== 1) throw unsupported("partial_rotary_factor", "a rotary embedding of part of each head", `${partial}`);
  if (!scaling) return { ropeTheta, ropeScaling: { type: "none" } };
  return { ropeTheta, ropeScaling: parseScaling(scaling, config, ropeTheta, context) };
}

function parseScaling(scaling: Fields, config: Fields, ropeTheta: number, context: RopeContext): RopeScaling {
  const { maxPositionEmbeddings, headDim } = context;
  // transformers 4 goes by type where both are there, 5 by rope_type.
  const older = scaling.string("type", "default");
  const type = scaling.string("rope_type", older);
  if (scaling.has("type") && older !== type)
    throw new GureumError("format", {
      where: `${scaling.where}.type`,
      what: "not rope_type's",
      expected: quote(type),
      got: quote(older),
      remedy: "take one of the two out",
    });
  const originalMaxPositionEmbeddings = (): number =>
    (config.has("original_max_position_embeddings") ? config : scaling).count("original_max_position_embeddings", maxPositionEmbeddings);

  /** What positions are stretched by; at least one must be left. */
  const stretch = (): number => {
    const factor = scaling.positive("factor");
    if (maxPositionEmbeddings * factor >= 1) return factor;
    throw new GureumError("range", {
      where: `${scaling.where}.factor`,
      what: "out of range",
      expected: `at least ${1 / maxPositionEmbeddings}, which leaves one position`,
      got: `${factor}`,
    });
  };

  switch (type) {
    case "default":
      return { type: "none" };
    case "linear":
      return { type, factor: stretch() };
    case "dynamic":
      if (headDim <= 2)
        throw new GureumError("range", { where: scaling.where, what: "dynamic scaling", expected: "head_dim over 2", got: `${headDim}` });
      return { type, factor: stretch(), originalMaxPositionEmbeddings: maxPositionEmbeddings };
    case "llama3": {
      const lowFreqFactor = scaling.positive("low_freq_factor");
      const highFreqFactor = scaling.positive("high_freq_factor");
      if (highFreqFactor <= lowFreqFactor)
        throw new GureumError("range", {
          where: scaling.where,
          what: "high_freq_factor",
          expected: `over low_freq_factor ${lowFreqFactor}`,
          got: `${highFreqFactor}`,
        });
      return {
        type,
        factor: scaling.positive("factor"),
        lowFreqFactor,
        highFreqFactor,
        originalMaxPositionEmbeddings: originalMaxPositionEmbeddings(),
      };
    }
    case "yarn": {
      if (ropeTheta <= 1)
        throw new GureumError("range", { where: "rope_theta", what: "yarn scaling", expected: "over 1", got: `${ropeTheta}` });
      const original = originalMaxPositionEmbeddings();
      const factor = scaling.positive("factor", maxPositionEmbeddings / original);
      const mscale = scaling.nonNegative("mscale", 0);
      const mscaleAllDim = scaling.nonNegative("mscale_all_dim", 0);
      const natural = mscale && mscaleAllDim ? yarnMscale(factor, mscale) / yarnMscale(factor, mscaleAllDim) : yarnMscale(factor, 1);
      const attentionFactor = scaling.positive("attention_factor", natural);
      if (!Number.isFinite(attentionFactor))
        throw new GureumError("range", {
          where: scaling.where,
          what: "yarn attention factor",
          expected: "a finite number",
          got: `${attentionFactor}`,
        });
      return {
        type,
        factor,
        originalMaxPositionEmbeddings: original,
        betaFast: scaling.nonNegative("beta_fast", 32) || 32,
        betaSlow: scaling.nonNegative("beta_slow", 1) || 1,
        attentionFactor,
        // Only where the key is absent is it true: null means false, as in Python.
        truncate: scaling.boolean("truncate", !scaling.values.has("truncate")),
      };
    }
    default:
      throw unsupported(scaling.where, "rotary scaling, expected default, linear, dynamic, llama3 or yarn", JSON.stringify(type));
  }
}
