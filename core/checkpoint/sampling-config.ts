/**
 * generation_config.json's sampling: what a model's authors say its text is to be drawn with. Read as transformers' `generate` reads it;
 * docs/decisions/008-sampling-defaults.md says what of it is honoured.
 * Source: transformers `generation/configuration_utils.py`.
 */
import { GureumError, within } from "../errors.ts";
import { asReal, type Json, parseJson } from "../json.ts";
import type { SamplingOptions } from "../model/engine.ts";
import { checkSampling, greedy } from "../sample/sampler.ts";
import { fieldsOf } from "./fields.ts";

export interface SamplingConfig {
  /** What the file changes of `greedy`. */
  readonly defaults: Partial<SamplingOptions>;
  /** What of it this engine does not do, and what is out of range: a phrase each. */
  readonly ignored: readonly string[];
}

const names = { temperature: "temperature", top_k: "topK", top_p: "topP", min_p: "minP", repetition_penalty: "repetitionPenalty" } as const;

/** Settings that would change the text, with the value at which they do nothing. */
const others: Readonly<Record<string, Json>> = {
  num_beams: 1,
  typical_p: 1,
  epsilon_cutoff: 0,
  eta_cutoff: 0,
  no_repeat_ngram_size: 0,
  encoder_repetition_penalty: 1,
  bad_words_ids: null,
  suppress_tokens: null,
  begin_suppress_tokens: null,
  forced_bos_token_id: null,
  forced_eos_token_id: null,
  sequence_bias: null,
  guidance_scale: 1,
  penalty_alpha: 0,
  min_length: 0,
  min_new_tokens: 0,
  top_h: null,
  dola_layers: null,
  token_healing: null,
  force_words_ids: null,
  stop_strings: null,
  exponential_decay_length_penalty: null,
  watermarking_config: null,
};

/** transformers takes the 50 likeliest where a file asks for sampling and does not say of how many. */
const usualTopK = 50;

/** @throws GureumError "format" where the bytes are not a JSON object */
export function parseSamplingConfig(bytes: Uint8Array): SamplingConfig {
  const fields = within("generation_config.json", () => fieldsOf(parseJson(bytes), ""));
  const ignored: string[] = [];
  const samples = fields.get("do_sample") === true;
  const defaults: { -readonly [name in keyof SamplingOptions]?: SamplingOptions[name] } = samples
    ? { temperature: 1, topK: usualTopK }
    : {};
  for (const [key, name] of Object.entries(names)) {
    // Without sampling the temperature means nothing; the others wait for a temperature.
    if (!fields.has(key) || (name === "temperature" && !samples)) continue;
    const value = asReal(fields.get(key)) ?? Number.NaN;
    try {
      checkSampling({ ...greedy, [name]: value });
      defaults[name] = value;
    } catch (error) {
      if (!(error instanceof GureumError)) throw error;
      ignored.push(`${key} (${error.details.expected} is meant)`);
    }
  }
  for (const [key, idle] of Object.entries(others)) {
    const value = fields.get(key);
    const number = asReal(value);
    const isIdle =
      value === null || value === false || (Array.isArray(value) && value.length === 0) || (number !== null && number === idle);
    if (!isIdle) ignored.push(key);
  }
  return { defaults, ignored };
}
