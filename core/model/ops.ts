/**
 * The steps of a forward pass that may be computed by something other than the ops of core/ops, and where that wants its operands.
 * Whoever implements it gives the same bits as `referenceOps`.
 */
import type { LlamaConfig } from "../config.ts";
import { type AttentionShape, attention } from "../ops/attention.ts";
import { awqMatmulFixed16 } from "../ops/awq-matmul-fixed16.ts";
import { linear } from "../ops/linear.ts";
import { matmul } from "../ops/matmul.ts";
import { rmsNorm } from "../ops/rms-norm.ts";
import { quantizeFixed16 } from "../quant/fixed16.ts";
import { checkLength, type DenseMatrix, type Linear } from "../tensor.ts";

/** Keys and values for `capacity` positions: per layer [capacity, G, Hd] f32. */
export interface CacheArrays {
  /** Per layer. */
  readonly keys: readonly Float32Array[];
  /** Per layer. */
  readonly values: readonly Float32Array[];
}

/** A weight and the groups that it is rounded in. */
export interface Grouped {
  /** [N, K] */
  readonly W: Float32Array;
  /** Outputs. */
  readonly N: number;
  /** Inputs. */
  readonly K: number;
  /** Inputs that share a scale. */
  readonly groupSize: number;
  /** Values of a grid are 2^bits. */
  readonly bits: number;
}

/** Parts of the quantizer's search (core/quant/search) that ops may bring. */
export interface SearchOps {
  /** (W ∘ s rounded) / s, to be used by the next calls of `linear` alone. */
  behindScales(weight: Grouped, s: Float32Array): DenseMatrix | undefined;
  /** The range with the least loss of each group, [N, K/G] each; H [K, K]. */
  clip(weight: Grouped, H: Float32Array, asymmetric: boolean): { readonly low: Float64Array; readonly high: Float64Array } | undefined;
}

/** What computes a layer's steps on the CPU. */
export interface CpuOps {
  /** core/ops/linear.ts */
  linear(out: Float32Array, x: Float32Array, linear: Linear, T: number): void;
  /** core/ops/matmul.ts: the head */
  matmul(out: Float32Array, x: Float32Array, weight: DenseMatrix, bias: Float32Array | null, T: number): void;
  /** core/ops/rms-norm.ts */
  rmsNorm(out: Float32Array, x: Float32Array, weight: Float32Array, eps: number, T: number): void;
  /** core/ops/attention.ts, both steps */
  attention(out: Float32Array, q: Float32Array, k: Float32Array, v: Float32Array, start: number, T: number, shape: AttentionShape): void;
  /** Keys and values of so many positions. @throws GureumError "out-of-memory" */
  makeCache(config: LlamaConfig, capacity: number): CacheArrays;
  /** The arrays are not used any more. */
  dropCache(arrays: CacheArrays): void;
  /** Parts of the quantizer's search where something does them faster; in f32, and not for every shape (undefined: do it yourself). */
  readonly search?: SearchOps;
  /** Runs a forward pass: all calls above, `makeCache` and `dropCache` excepted, come from within one. @throws what `body` throws */
  pass(body: () => void): void;
  /** Ends what was started for these ops; nothing is called after it. */
  dispose(): void;
}

/** The ops of core/ops, on arrays of their own. */
export const referenceOps: CpuOps = {
  linear,
  matmul,
  rmsNorm,
  attention,
  makeCache({ numHiddenLayers, numKeyValueHeads: G, headDim: Hd }, capacity) {
    const arrays = (): Float32Array[] => Array.from({ length: numHiddenLayers }, () => new Float32Array(capacity * G * Hd));
    return { keys: arrays(), values: arrays() };
  },
  dropCache() {},
  pass: (body) => body(),
  dispose() {},
};

/** The same with int4 linears in `fixed16`: activations as block fixed point, exact integer sums of each block, joined in f32. */
export const referenceFixed16Ops: CpuOps = {
  ...referenceOps,
  linear(out, x, { weight, bias }, T) {
    if (weight.kind === "awq") {
      const K = weight.inFeatures;
      checkLength("awqMatmulFixed16", "x", x, T * K);
      awqMatmulFixed16(out, quantizeFixed16(x.subarray(0, T * K), T, K), weight, bias);
    } else matmul(out, x, weight, bias, T);
  },
};
