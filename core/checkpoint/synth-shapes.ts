/** The shapes of published models, for checkpoints of random weights: numbers from each model's config.json. */
import type { LlamaConfig, Quantization } from "../config.ts";

/** AWQ throughout: no tied embeddings, no rotary scaling. */
export interface SynthConfig extends LlamaConfig {
  readonly ropeScaling: { readonly type: "none" };
  readonly slidingWindow: null;
  readonly tieWordEmbeddings: false;
  readonly quantization: Quantization & { readonly layout: "awq" };
  readonly bosTokenId: number;
}

/** What is written, and how large a shard may grow (bytes of tensors). */
export interface SynthShape {
  readonly config: SynthConfig;
  readonly maxShardBytes: number;
}

/** Default of transformers' save_pretrained. */
const maxShardBytes = 5_000_000_000;

const llama = {
  architecture: "LlamaForCausalLM",
  rmsNormEps: 1e-5,
  ropeTheta: 10000,
  ropeScaling: { type: "none" },
  slidingWindow: null,
  attentionBias: false,
  attentionOutputBias: false,
  mlpBias: false,
  qkNorm: false,
  tieWordEmbeddings: false,
  quantization: { layout: "awq", groupSize: 128, symmetric: false },
  bosTokenId: 1,
  eosTokenIds: [2],
} as const;

export const synthShapes: Readonly<
  Record<"solar-10.7b" | "llama-3-8b" | "mistral-7b" | "qwen2.5-7b" | "qwen3-8b" | "tinyllama-1.1b" | "tiny", SynthShape>
> = {
  /** upstage/SOLAR-10.7B-v1.0, and so KULLM3. */
  "solar-10.7b": {
    maxShardBytes,
    config: {
      ...llama,
      vocabSize: 32000,
      hiddenSize: 4096,
      intermediateSize: 14336,
      numHiddenLayers: 48,
      numAttentionHeads: 32,
      numKeyValueHeads: 8,
      headDim: 128,
      maxPositionEmbeddings: 4096,
    },
  },
  /** meta-llama/Meta-Llama-3-8B. */
  "llama-3-8b": {
    maxShardBytes,
    config: {
      ...llama,
      vocabSize: 128256,
      hiddenSize: 4096,
      intermediateSize: 14336,
      numHiddenLayers: 32,
      numAttentionHeads: 32,
      numKeyValueHeads: 8,
      headDim: 128,
      maxPositionEmbeddings: 8192,
      ropeTheta: 500000,
      bosTokenId: 128000,
      eosTokenIds: [128001],
    },
  },
  /** mistralai/Mistral-7B-Instruct-v0.3. */
  "mistral-7b": {
    maxShardBytes,
    config: {
      ...llama,
      architecture: "MistralForCausalLM",
      vocabSize: 32768,
      hiddenSize: 4096,
      intermediateSize: 14336,
      numHiddenLayers: 32,
      numAttentionHeads: 32,
      numKeyValueHeads: 8,
      headDim: 128,
      maxPositionEmbeddings: 32768,
      ropeTheta: 1e6,
    },
  },
  /** Qwen/Qwen2.5-7B-Instruct. */
  "qwen2.5-7b": {
    maxShardBytes,
    config: {
      ...llama,
      architecture: "Qwen2ForCausalLM",
      vocabSize: 152064,
      hiddenSize: 3584,
      intermediateSize: 18944,
      numHiddenLayers: 28,
      numAttentionHeads: 28,
      numKeyValueHeads: 4,
      headDim: 128,
      maxPositionEmbeddings: 32768,
      rmsNormEps: 1e-6,
      ropeTheta: 1e6,
      attentionBias: true,
      bosTokenId: 151643,
      eosTokenIds: [151645],
    },
  },
  /** Qwen/Qwen3-8B. */
  "qwen3-8b": {
    maxShardBytes,
    config: {
      ...llama,
      architecture: "Qwen3ForCausalLM",
      vocabSize: 151936,
      hiddenSize: 4096,
      intermediateSize: 12288,
      numHiddenLayers: 36,
      numAttentionHeads: 32,
      numKeyValueHeads: 8,
      headDim: 128,
      maxPositionEmbeddings: 40960,
      rmsNormEps: 1e-6,
      ropeTheta: 1e6,
      qkNorm: true,
      bosTokenId: 151643,
      eosTokenIds: [151645],
    },
  },
  /** TinyLlama/TinyLlama-1.1B. */
  "tinyllama-1.1b": {
    maxShardBytes,
    config: {
      ...llama,
      vocabSize: 32000,
      hiddenSize: 2048,
      intermediateSize: 5632,
      numHiddenLayers: 22,
      numAttentionHeads: 32,
      numKeyValueHeads: 4,
      headDim: 64,
      maxPositionEmbeddings: 2048,
    },
  },
  /** models/gureum-tiny-awq. */
  tiny: {
    maxShardBytes,
    config: {
      ...llama,
      vocabSize: 4096,
      hiddenSize: 256,
      intermediateSize: 768,
      numHiddenLayers: 8,
      numAttentionHeads: 8,
      numKeyValueHeads: 2,
      headDim: 32,
      maxPositionEmbeddings: 1024,
    },
  },
};
