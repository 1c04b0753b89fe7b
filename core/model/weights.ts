/**
 * The weights of a Llama model as records. Two shapes of the same tree: `LlamaWeightRefs` says where each tensor lies (nothing
 * read yet: the GPU streams from it, `inspect` counts with it), `LlamaWeights` holds them in host memory for the CPU reference.
 * Axes: V vocab, D hidden, F ffn, K inner, N output rows (docs/notation.md).
 */
import type { FloatDType } from "../dtype.ts";

/** Bits of `data`: F32 in a Float32Array, F16 and BF16 in a Uint16Array. Row-major [N, K]: y = x Wᵀ. */
export interface DenseMatrix {
  readonly kind: "dense";
  readonly dtype: FloatDType;
  readonly outFeatures: number;
  readonly inFeatures: number;
  readonly data: Float32Array | Uint16Array;
}

/** An AWQ GEMM matrix: W[k, n] = (q[k, n] − z[k/G, n]) · s[k/G, n] (docs/formats.md). */
export interface AwqMatrix {
  readonly kind: "awq";
  readonly outFeatures: number;
  readonly inFeatures: number;
  readonly groupSize: number;
  /** [K, N/8] */
  readonly qweight: Int32Array;
  /** [K/G, N/8] */
  readonly qzeros: Int32Array;
  /** [K/G, N], bits of F16 */
  readonly scales: Uint16Array;
}

export type Matrix = DenseMatrix | AwqMatrix;

/** y = x W + bias. */
export interface Linear {
  readonly weight: Matrix;
  /** [N] */
  readonly bias: Float32Array | null;
}

/** The tree, with `L` for a linear, `M` for an embedding-like matrix, `V` for a vector. */
export interface LayerTree<L, V> {
  readonly inputLayernorm: V;
  readonly qProj: L;
  readonly kProj: L;
  readonly vProj: L;
  readonly oProj: L;
  readonly postAttentionLayernorm: V;
  readonly gateProj: L;
  readonly upProj: L;
  readonly downProj: L;
}
export interface WeightTree<L, M, V> {
  /** [V, D] */
  readonly embedTokens: M;
  readonly layers: readonly LayerTree<L, V>[];
  readonly norm: V;
  /** [V, D]; the same object as `embedTokens` where the config ties them. */
  readonly lmHead: M;
}

export type LayerWeights = LayerTree<Linear, Float32Array>;
export type LlamaWeights = WeightTree<Linear, DenseMatrix, Float32Array>;

/** A tensor in a file, not read yet. */
export interface TensorRef {
  /** Its key in the checkpoint. */
  readonly key: string;
  readonly dtype: FloatDType | "I32";
  readonly shape: readonly number[];
  readonly byteLength: number;
  /** Fills `target` with the tensor's bytes from `byteOffset` (within the tensor) on, little-endian as in the file. */
  readInto(byteOffset: number, target: Uint8Array): Promise<void>;
}
export type LinearRef =
  | {
      readonly kind: "dense";
      readonly outFeatures: number;
      readonly inFeatures: number;
      readonly weight: TensorRef;
      readonly bias: TensorRef | null;
    }
  | {
      readonly kind: "awq";
      readonly outFeatures: number;
      readonly inFeatures: number;
      readonly groupSize: number;
      readonly qweight: TensorRef;
      readonly qzeros: TensorRef;
      readonly scales: TensorRef;
      readonly bias: TensorRef | null;
    };
export type LlamaWeightRefs = WeightTree<LinearRef, TensorRef, TensorRef>;
