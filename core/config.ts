/** The numbers that define a Llama model: a plain record in Hugging Face's words, filled by core/checkpoint/config.ts. */

/** Hugging Face `modeling_rope_utils.py`; one entry for each scaling this engine computes. */
export type RopeScaling =
  | { readonly type: "none" }
  | { readonly type: "linear"; readonly factor: number }
  | { readonly type: "dynamic"; readonly factor: number; readonly originalMaxPositionEmbeddings: number }
  | {
      readonly type: "llama3";
      readonly factor: number;
      readonly lowFreqFactor: number;
      readonly highFreqFactor: number;
      readonly originalMaxPositionEmbeddings: number;
    }
  | {
      readonly type: "yarn";
      readonly factor: number;
      readonly originalMaxPositionEmbeddings: number;
      readonly betaFast: number;
      readonly betaSlow: number;
      /** The factor on cos and sin, already resolved from attention_factor, mscale, mscale_all_dim. */
      readonly attentionFactor: number;
      readonly truncate: boolean;
    };

export interface AwqConfig {
  /** Rows of K that share a scale; already resolved: never -1. Per module, since G = K where the file says -1. */
  readonly groupSize: number | "whole";
}

export interface LlamaConfig {
  readonly architecture: "LlamaForCausalLM" | "MistralForCausalLM";
  readonly vocabSize: number;
  readonly hiddenSize: number;
  readonly intermediateSize: number;
  readonly numHiddenLayers: number;
  readonly numAttentionHeads: number;
  readonly numKeyValueHeads: number;
  readonly headDim: number;
  readonly rmsNormEps: number;
  readonly ropeTheta: number;
  readonly ropeScaling: RopeScaling;
  readonly maxPositionEmbeddings: number;
  /** A query at t sees keys s with t − s < slidingWindow; null: all of them. */
  readonly slidingWindow: number | null;
  readonly attentionBias: boolean;
  readonly mlpBias: boolean;
  readonly tieWordEmbeddings: boolean;
  /** null: no quantized linear. Which linears are int4 is decided by the presence of their `.qweight`. */
  readonly awq: AwqConfig | null;
  readonly bosTokenId: number | null;
  readonly eosTokenIds: readonly number[];
}
