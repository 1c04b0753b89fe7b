/** The shapes of published models, for checkpoints of random weights: numbers from each model's config.json. */
import type { AwqConfig, LlamaConfig } from "../config.ts";

/** A plain Llama, AWQ throughout: no biases, no tied embeddings, no rotary scaling. */
export interface SynthConfig extends LlamaConfig {
  readonly architecture: "LlamaForCausalLM";
  readonly ropeScaling: { readonly type: "none" };
  readonly slidingWindow: null;
  readonly attentionBias: false;
  readonly mlpBias: false;
  readonly tieWordEmbeddings: false;
  readonly awq: AwqConfig;
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
  mlpBias: false,
  tieWordEmbeddings: false,
  awq: { groupSize: 128 },
  bosTokenId: 1,
  eosTokenIds: [2],
} as const;

export const synthShapes: Readonly<Record<"solar-10.7b" | "llama-3-8b" | "tinyllama-1.1b" | "tiny", SynthShape>> = {
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
