/** Small float checkpoints in memory, of any family, to be quantized. */
import { encodeSafetensors, type TensorEntry } from "../../../../core/checkpoint/safetensors.ts";
import type { LlamaConfig } from "../../../../core/config.ts";
import { f16Bits } from "../../../../core/dtype.ts";
import { layerParts, partKey } from "../../../../core/model/layer.ts";
import { randomModel } from "../../fixtures/random-model.ts";

export interface FloatOptions {
  readonly family: "llama" | "qwen2" | "qwen3";
  readonly layers?: number;
  readonly heads?: number;
  readonly kvHeads?: number;
  readonly tied?: boolean;
  /** intermediate_size */
  readonly width?: number;
  readonly dtype?: "F16" | "BF16" | "F32";
  readonly seed?: number;
}

const architectures = { llama: "LlamaForCausalLM", qwen2: "Qwen2ForCausalLM", qwen3: "Qwen3ForCausalLM" } as const;

const f32Bits = (value: number): number => new Uint32Array(Float32Array.of(value).buffer)[0]!;

function bytesAs(values: ArrayLike<number>, dtype: "F16" | "BF16" | "F32"): Uint8Array {
  if (dtype === "F32") return new Uint8Array(Float32Array.from(values).buffer);
  return new Uint8Array(Uint16Array.from(values, (v) => (dtype === "F16" ? f16Bits(v) : f32Bits(v) >>> 16)).buffer);
}

/** Files of a float model: config.json, model.safetensors, and two companions. */
export async function writeFloat(options: FloatOptions): Promise<Map<string, Uint8Array>> {
  const { family, layers = 2, heads = 4, kvHeads = 2, tied = false, width = 48, dtype = "F16", seed = 1 } = options;
  const config: LlamaConfig = {
    architecture: architectures[family],
    vocabSize: 40,
    hiddenSize: 32,
    intermediateSize: width,
    numHiddenLayers: layers,
    numAttentionHeads: heads,
    numKeyValueHeads: kvHeads,
    headDim: 8,
    rmsNormEps: 1e-5,
    ropeTheta: 10000,
    ropeScaling: { type: "none" },
    maxPositionEmbeddings: 64,
    slidingWindow: null,
    attentionBias: family === "qwen2",
    attentionOutputBias: false,
    mlpBias: false,
    qkNorm: family === "qwen3",
    tieWordEmbeddings: tied,
    quantization: null,
    bosTokenId: 1,
    eosTokenIds: [2],
  };
  const { weights } = randomModel(config, seed);
  const entries: TensorEntry[] = [];
  const add = (name: string, shape: number[], values: ArrayLike<number>): void => {
    entries.push({ name, dtype, shape, data: bytesAs(values, dtype) });
  };
  add("model.embed_tokens.weight", [40, 32], weights.embedTokens.data);
  if (!tied) add("lm_head.weight", [40, 32], weights.lmHead.data);
  add("model.norm.weight", [32], weights.norm);
  for (const [i, layer] of weights.layers.entries())
    for (const part of layerParts) {
      const key = partKey(i, part);
      if (part.kind === "norm") {
        const norm = layer[part.name];
        if (norm) add(`${key}.weight`, [norm.length], norm);
        continue;
      }
      const { weight, bias } = layer[part.name];
      if (weight.kind === "dense") add(`${key}.weight`, [weight.outFeatures, weight.inFeatures], weight.data);
      if (bias) add(`${key}.bias`, [bias.length], bias);
    }
  const text = (value: string): Uint8Array => new TextEncoder().encode(value);
  const json = `{
  "architectures": ["${config.architecture}"],
  "model_type": "${family}", "hidden_act": "silu", "rms_norm_eps": 1e-05, "rope_theta": 10000.0,
  "vocab_size": 40, "hidden_size": 32, "intermediate_size": ${width}, "num_hidden_layers": ${layers}, "head_dim": 8,
  "num_attention_heads": ${heads}, "num_key_value_heads": ${kvHeads}, "max_position_embeddings": 64,
  "bos_token_id": 1, "eos_token_id": 2, "tie_word_embeddings": ${tied}, "torch_dtype": "${dtype === "BF16" ? "bfloat16" : "float16"}",
  "own_words": {"kept": [1.50, "}"]}
}`;
  return new Map([
    ["config.json", text(json)],
    ["generation_config.json", text('{"eos_token_id": 2}\n')],
    ["LICENSE", text("as the model's\n")],
    ["README.md", text("of the float model\n")],
    ["model.safetensors", await encodeSafetensors(entries)],
  ]);
}

/** Calibration texts within its vocabulary. */
export const smallTexts = (texts = 3, length = 20): number[][] =>
  Array.from({ length: texts }, (_, i) => Array.from({ length: length - i }, (_, t) => (7 * i + t * t + 3 * t) % 40));
