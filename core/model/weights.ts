/**
 * The weights of a Llama model as records. Two shapes of the same tree: `LlamaWeightRefs` says where each tensor lies
 * (nothing read yet: the GPU streams from it, `inspect` counts with it), `LlamaWeights` holds them in host memory for
 * the CPU reference. Axes: V vocab, D hidden (docs/notation.md).
 */
import type { FloatDType } from "../dtype.ts";
import type { DenseMatrix, Linear } from "../tensor.ts";
import type { LayerTree } from "./layer.ts";

/** The tree, with `L` for a linear, `M` for an embedding-like matrix, `V` for a vector. */
export interface WeightTree<L, M, V> {
  /** [V, D] */
  readonly embedTokens: M;
  /** One per layer. */
  readonly layers: readonly LayerTree<L, V>[];
  /** [D], the last norm's. */
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
  /** As stored. */
  readonly dtype: FloatDType | "I32";
  /** Sizes, the slowest first. */
  readonly shape: readonly number[];
  /** Bytes of it. */
  readonly byteLength: number;
  /** File and key, for messages. */
  readonly place?: string;
  /** Reads the small tensors that say whether this one can be read. @throws GureumError where it cannot */
  readonly check?: () => Promise<void>;
  /** Fills `target` with the tensor's bytes from `byteOffset` (within the tensor) on, little-endian as in the file. */
  readInto(byteOffset: number, target: Uint8Array): Promise<void>;
}
/** A linear's tensors in a file, not read yet. */
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
/** The weights of a model, not read yet. */
export type LlamaWeightRefs = WeightTree<LinearRef, TensorRef, TensorRef>;
