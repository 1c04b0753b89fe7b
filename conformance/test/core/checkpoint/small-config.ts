/** A small config.json, parsed with changes; and what is refused. */
import { expect } from "vitest";
import { parseConfig } from "../../../../core/checkpoint/config.ts";
import type { LlamaConfig } from "../../../../core/config.ts";
import { GureumError } from "../../../../core/errors.ts";
import { encodeUtf8 } from "../../../../core/utf8.ts";

export const base: Readonly<Record<string, unknown>> = {
  architectures: ["LlamaForCausalLM"],
  hidden_size: 256,
  intermediate_size: 768,
  num_attention_heads: 8,
  num_hidden_layers: 2,
  vocab_size: 4096,
  rms_norm_eps: 1e-5,
  max_position_embeddings: 1024,
};
export const awq: Readonly<Record<string, unknown>> = {
  quant_method: "awq",
  bits: 4,
  group_size: 128,
  zero_point: true,
  version: "gemm",
  modules_to_not_convert: null,
};
export const bytes = (value: unknown): Uint8Array => encodeUtf8(typeof value === "string" ? value : JSON.stringify(value));
export const parse = (changes: object = {}): LlamaConfig => parseConfig(bytes({ ...base, ...changes }));
export const quantized = (changes: object): LlamaConfig => parse({ quantization_config: { ...awq, ...changes } });
export const mistral: Readonly<Record<string, unknown>> = { architectures: ["MistralForCausalLM"] };

/** The error this gives: its code and message in one string. */
export function refusal(body: () => unknown): string {
  try {
    body();
  } catch (error) {
    expect(error).toBeInstanceOf(GureumError);
    return `${(error as GureumError).code} ${(error as GureumError).message}`;
  }
  return "no error";
}
