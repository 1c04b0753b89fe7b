/**
 * The steps of `exact` that may be computed by something other than this folder, and where that wants its operands. Whoever implements it
 * gives the same words as `referenceExactOps`.
 */
import type { LlamaConfig } from "../config.ts";
import type { AttentionShape } from "../ops/attention.ts";
import type { Linear } from "../tensor.ts";
import { attention, type FixedCache } from "./attention.ts";
import { siluMul } from "./functions.ts";
import { exactLinear, linear } from "./linear.ts";
import type { Width } from "./rows.ts";

/** out [T, N] = x [T, K] W + bias, x taken as rows of `bits`. */
export type ExactLinearOp = (out: Float32Array, x: Float32Array, T: number, bits: Width) => void;

export interface ExactOps {
  /** linear.ts: a layer with its weights brought to the form that is computed on. */
  linear(layer: Linear): ExactLinearOp;
  /** attention.ts, without weights to look at. */
  attention(out: Float32Array, q: Float32Array, cache: FixedCache, start: number, T: number, shape: AttentionShape, factor: number): void;
  /** functions.ts: gate = silu(gate) · up. */
  siluMul(gate: Float32Array, up: Float32Array): void;
  /** Per layer room for so many positions. @throws GureumError "out-of-memory" */
  makeCache(config: LlamaConfig, capacity: number): readonly FixedCache[];
  /** The arrays are not used any more. */
  dropCache(layers: readonly FixedCache[]): void;
  /** Runs a forward pass: all calls of an op come from within one. @throws what `body` throws */
  pass(body: () => void): void;
  /** Ends what was started for these ops; nothing is called after it. */
  dispose(): void;
}

/** This folder's own. */
export const referenceExactOps: ExactOps = {
  linear(layer) {
    const prepared = exactLinear(layer);
    return (out, x, T, bits) => linear(out, x, prepared, T, bits);
  },
  attention,
  siluMul,
  makeCache: ({ numHiddenLayers, numKeyValueHeads: G, headDim: Hd }, capacity) =>
    Array.from({ length: numHiddenLayers }, () => ({
      keys: new Float32Array(capacity * G * Hd),
      values: new Float32Array(capacity * G * Hd),
      keyExponents: new Int16Array(capacity * G),
      valueExponents: new Int16Array(capacity * G),
    })),
  dropCache() {},
  pass: (body) => body(),
  dispose() {},
};
