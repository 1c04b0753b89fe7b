/** The weights of a Llama model as they lie in GPU memory. */
import type { FloatDType } from "../../core/dtype.ts";
import type { WeightTree } from "../../core/model/weights.ts";
import type { BufferArg } from "../pipeline/recorder.ts";

/** Output columns firstColumn … firstColumn + N − 1 of a dense matrix: [N, K], rows padded to whole words. */
export interface DensePiece {
  readonly firstColumn: number;
  readonly N: number;
  readonly weight: BufferArg;
}
export interface GpuDense {
  readonly kind: "dense";
  readonly dtype: FloatDType;
  readonly K: number;
  readonly N: number;
  readonly pieces: readonly DensePiece[];
}
/** The same of an AWQ matrix, in GEMM layout: qweight [K, N/8], qzeros [K/G, N/8], scales [K/G, N] f16. */
export interface AwqPiece {
  readonly firstColumn: number;
  readonly N: number;
  readonly qweight: GPUBuffer;
  readonly qzeros: GPUBuffer;
  readonly scales: GPUBuffer;
}
export interface GpuAwq {
  readonly kind: "awq";
  readonly K: number;
  readonly N: number;
  readonly groupSize: number;
  readonly pieces: readonly AwqPiece[];
}
/**
 * The same repacked (gpu/kernels/layout/awq-repack.ts): rows firstRow … firstRow + N − 1 of a matrix that linears of
 * one input share.
 */
export interface GpuPacked {
  readonly kind: "packed";
  readonly K: number;
  readonly N: number;
  readonly groupSize: number;
  readonly firstRow: number;
  /** How blocks lie within a row: 1, or for `exact` unitOf(groupSize). */
  readonly unit: number;
  /** [rows/4, K/32, 4] of vec4<u32> */
  readonly weights: GPUBuffer;
  /** [rows/4, K/G, 4] of scale | zero << 16 */
  readonly groups: GPUBuffer;
}
/**
 * The matrix that linears of one input share, their rows one behind the other, for kernels that take them together.
 * int4: `groups` of GpuPacked, and behind them [rows] f32 where one of the linears has a bias, zeros for the others;
 * dense: the rows, and the same biases apart.
 */
export type SharedMatrix =
  | {
      readonly kind: "int4";
      readonly K: number;
      readonly group: number;
      readonly hasBias: boolean;
      readonly weights: GPUBuffer;
      readonly groups: GPUBuffer;
    }
  | {
      readonly kind: "dense";
      readonly K: number;
      readonly dtype: FloatDType;
      readonly hasBias: boolean;
      readonly weights: GPUBuffer;
      readonly bias: GPUBuffer;
    };
export interface GpuLinear {
  readonly weight: GpuDense | GpuAwq | GpuPacked;
  /** [N] f32 */
  readonly bias: GPUBuffer | null;
  /**
   * f32: the biases of all linears that share its input, zeros where one has none, and behind those of q, k and v the norms
   * of heads, of q and of k; null where there is neither.
   */
  readonly extras: GPUBuffer | null;
  /** null where the linear lies apart. */
  readonly shared: SharedMatrix | null;
}
/** The weight of a norm: [D] f32. */
export interface GpuNorm {
  readonly weight: GPUBuffer;
  /** The same in planes (gpu/wgsl/fixed16.ts), for the fused kernels; null where the model was loaded without them. */
  readonly planes: GPUBuffer | null;
}
export type GpuLlamaWeights = WeightTree<GpuLinear, GpuDense, GpuNorm>;
