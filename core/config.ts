/**
 * The numbers that define a Llama model: a plain record in Hugging Face's words, filled by core/checkpoint/config.ts.
 */

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

/** How the checkpoint stores its int4 linears; in memory all of them are AwqMatrix (core/tensor.ts). */
export interface Quantization {
  /** Which file of core/checkpoint/layouts reads it. */
  readonly layout: "awq" | "gptq" | "gptq-v2" | "compressed-tensors";
  /** Rows of K that share a scale; "whole": G = K, per linear. */
  readonly groupSize: number | "whole";
  /** No zero points are stored: all are 8. */
  readonly symmetric: boolean;
}

export interface LlamaConfig {
  readonly architecture: "LlamaForCausalLM" | "MistralForCausalLM" | "Qwen2ForCausalLM" | "Qwen3ForCausalLM";
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
  /** q, k and v have biases. */
  readonly attentionBias: boolean;
  /** o has one. */
  readonly attentionOutputBias: boolean;
  readonly mlpBias: boolean;
  /** Each head of q and of k goes through an RMS norm before RoPE. */
  readonly qkNorm: boolean;
  readonly tieWordEmbeddings: boolean;
  /** null: no int4 linear. Which linears are int4 is decided by their tensors. */
  readonly quantization: Quantization | null;
  readonly bosTokenId: number | null;
  /** Those within the vocabulary. */
  readonly eosTokenIds: readonly number[];
}
