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
  /** All zero points are 8, as the config says; where they are stored all the same, they are held to it. */
  readonly symmetric: boolean;
}

/** The numbers that define a model. */
export interface LlamaConfig {
  /** Whose layers and defaults it has. */
  readonly architecture: "LlamaForCausalLM" | "MistralForCausalLM" | "Qwen2ForCausalLM" | "Qwen3ForCausalLM";
  /** V: rows of the embedding and of the head. */
  readonly vocabSize: number;
  /** D: width of the residual. */
  readonly hiddenSize: number;
  /** F: width between up_proj and down_proj. */
  readonly intermediateSize: number;
  /** Layers. */
  readonly numHiddenLayers: number;
  /** H: heads of queries. */
  readonly numAttentionHeads: number;
  /** G: heads of keys and values. */
  readonly numKeyValueHeads: number;
  /** Hd: width of a head. */
  readonly headDim: number;
  /** ε of the norms. */
  readonly rmsNormEps: number;
  /** Base of the rotations. */
  readonly ropeTheta: number;
  /** How the rotations are stretched for longer contexts. */
  readonly ropeScaling: RopeScaling;
  /** Positions the model was made for. */
  readonly maxPositionEmbeddings: number;
  /** A query at t sees keys s with t − s < slidingWindow; null: all of them. */
  readonly slidingWindow: number | null;
  /** q, k and v have biases. */
  readonly attentionBias: boolean;
  /** o has one. */
  readonly attentionOutputBias: boolean;
  /** Biases of gate_proj, up_proj and down_proj. */
  readonly mlpBias: boolean;
  /** Each head of q and of k goes through an RMS norm before RoPE. */
  readonly qkNorm: boolean;
  /** Whether the head is the embedding. */
  readonly tieWordEmbeddings: boolean;
  /** null: no int4 linear. Which linears are int4 is decided by their tensors. */
  readonly quantization: Quantization | null;
  /** The token that begins a text; null where there is none. */
  readonly bosTokenId: number | null;
  /** Those within the vocabulary. */
  readonly eosTokenIds: readonly number[];
}
