/**
 * The steps of the plain forward pass that more than one kernel can compute, and those kernels. A new variant is one
 * more entry of `stepVariants`: its kernel, and how a linear is handed to it.
 */
import type { LlamaWeightRefs } from "../../core/model/weights.ts";
import type { Capabilities, Refusal } from "../device/capabilities.ts";
import { type AwqMatmulShape, awqMatmul } from "../kernels/plain/awq-matmul.ts";
import { awqMatmulPacked, type PackedShape } from "../kernels/plain/awq-matmul-packed.ts";
import { awqMatmulTiled } from "../kernels/plain/awq-matmul-tiled.ts";
import { awqTile16 } from "../kernels/plain/awq-tile16.ts";
import { awqTile64 } from "../kernels/plain/awq-tile64.ts";
import { type MatmulShape, matmul } from "../kernels/plain/matmul.ts";
import { matmulTile16 } from "../kernels/plain/matmul-tile16.ts";
import { matmulTile64 } from "../kernels/plain/matmul-tile64.ts";
import { matmulTiled } from "../kernels/plain/matmul-tiled.ts";
import { int4PackRefusal, sharing, wholeBlocksRefusal } from "../model/packing.ts";
import type { GpuAwq, GpuDense, GpuLinear, GpuPacked } from "../model/tree.ts";
import type { Card, Kernel, Span } from "../pipeline/kernel.ts";
import { type Recorder, recordKernel } from "../pipeline/recorder.ts";
import { tile16 } from "../wgsl/tile.ts";
import { awqTileKernels, matmulTileKernels, recordTiles } from "./tiles.ts";

/** Rows from which on a product counts as one of many rows. */
export const FEW_ROWS = 8;
export const fewRows: Span = { from: 1, to: FEW_ROWS };
export const manyRows: Span = { from: FEW_ROWS, to: Infinity };

export type VariantStep = "linear" | "linear-prefill" | "dense" | "dense-prefill";

/** What the steps that have variants cover: an op of core/ops, for these numbers of rows. */
export const variantSteps: Readonly<Record<VariantStep, { readonly op: string; readonly rows: Span; readonly covers: string }>> = {
  linear: { op: "awq-matmul", rows: fewRows, covers: `int4 linears, fewer than ${FEW_ROWS} rows (fixed16: one row)` },
  "linear-prefill": { op: "awq-matmul", rows: manyRows, covers: `int4 linears, ${FEW_ROWS} rows or more (f16-matrix: two or more)` },
  dense: { op: "matmul", rows: fewRows, covers: `other linears and the head, fewer than ${FEW_ROWS} rows` },
  "dense-prefill": { op: "matmul", rows: manyRows, covers: `other linears and the head, ${FEW_ROWS} rows or more` },
};

/** How int4 weights lie in GPU memory: as the checkpoint packs them, or as gpu/kernels/layout/awq-repack.ts does. */
export type WeightLayout = "checkpoint" | "repacked";

/**
 * How int4 linears compute. "f32": f32 activations, products and sums. "fixed16": activations as 16-bit block fixed
 * point and exact integer block sums (core/quant/fixed16.ts), of single tokens, and of prompts where it is asked for by
 * the variant's name. "f16": prompts with f16 operands, f32 sums and residual. Traces, and logits of more than the last
 * position, are always in f32.
 */
export type GpuArithmetic = "f32" | "fixed16" | "f16";

/** out [T, N] = x [T, K] · Wᵀ + bias for the T of `step`. */
export interface LinearCall {
  readonly weight: GpuLinear["weight"];
  readonly x: GPUBuffer;
  readonly out: GPUBuffer;
  /** Bound, but not read, without `hasBias`. */
  readonly bias: GPUBuffer;
  readonly hasBias: boolean;
  readonly step: GPUBuffer;
  /** Memory for pieces of it (tiles.ts), or none. */
  readonly parts: GPUBuffer | null;
}

/** One way to compute a step. */
export interface StepVariant {
  readonly step: VariantStep;
  /** The kernel's, where it is one. */
  readonly name: string;
  readonly kernels: readonly Kernel[];
  readonly arithmetic: "f32";
  /** The layout of int4 weights that it reads; absent where it reads none. */
  readonly layout?: WeightLayout;
  /** What stands against it in the model's shapes and the device's limits. */
  readonly refusal?: (capabilities: Capabilities, refs: LlamaWeightRefs) => Refusal | undefined;
  /** Records the step; the weight is of the kind that step and layout say. */
  record(recorder: Recorder, call: LinearCall, label: string): void;
}

type Way = Pick<StepVariant, "name" | "kernels" | "layout" | "refusal" | "record">;
type Linear<Weights extends string, Shape> =
  | Card<"x" | "bias" | "out" | Weights, Shape>
  | Card<"x" | "bias" | "out" | "step" | Weights, Shape>;

/** A linear by a kernel for dense weights, piece by piece. */
export const dense = (kernel: Linear<"weight", MatmulShape>): Way => ({
  name: kernel.name,
  kernels: [kernel],
  record(recorder, { weight, hasBias, ...shared }, label) {
    const { dtype, K, N: columns, pieces } = weight as GpuDense;
    for (const { firstColumn, N, ...piece } of pieces)
      recordKernel(recorder, kernel, { ...shared, ...piece }, { dtype, K, N, firstColumn, columns, hasBias }, { label });
  },
});

/** By a kernel for int4 weights as the checkpoint packs them. */
export const awq = (kernel: Linear<"qweight" | "qzeros" | "scales", AwqMatmulShape>): Way => ({
  name: kernel.name,
  kernels: [kernel],
  layout: "checkpoint",
  record(recorder, { weight, hasBias, ...shared }, label) {
    const { K, N: columns, groupSize, pieces } = weight as GpuAwq;
    for (const { firstColumn, N, ...piece } of pieces)
      recordKernel(recorder, kernel, { ...shared, ...piece }, { K, N, groupSize, firstColumn, columns, hasBias }, { label });
  },
});

/** By a kernel for repacked weights. */
export const packed = (kernel: Linear<"weights" | "groups", PackedShape>): Way => ({
  name: kernel.name,
  kernels: [kernel],
  layout: "repacked",
  refusal: int4PackRefusal,
  record(recorder, { weight, hasBias, ...shared }, label) {
    const { weights, groups, K, N, groupSize, firstRow } = weight as GpuPacked;
    recordKernel(recorder, kernel, { ...shared, weights, groups }, { K, N, groupSize, firstRow, hasBias }, { label });
  },
});

const always: Span = { from: 1, to: Infinity };
const oneRow: Span = { from: 1, to: 2 };

/** int4 linears by tiles, on repacked weights. */
const awqTiles: Way = {
  name: "awq-tiles",
  kernels: awqTileKernels,
  layout: "repacked",
  refusal: wholeBlocksRefusal,
  record(recorder, { weight, x, ...call }, label) {
    const { weights, groups, K, N, groupSize, firstRow } = weight as GpuPacked;
    recordTiles(recorder, call, { K, N, cut: true, rows: always }, label, (tile, out, pieces, hasBias, when) => {
      const kernel = tile === tile16 ? awqTile16 : awqTile64;
      const shape = { K, N, groupSize, firstRow, hasBias, pieces };
      recordKernel(recorder, kernel, { step: call.step, x, weights, groups, bias: call.bias, out }, shape, when);
    });
  },
};

/** Why a model's dense linears do not all go by tiles. */
function tileRefusal(_capabilities: Capabilities, refs: LlamaWeightRefs): Refusal | undefined {
  const linears = refs.layers.flatMap((layer) => sharing(layer).flat());
  const inner = [refs.lmHead.shape[1]!, ...linears.flatMap(({ ref }) => (ref.kind === "dense" ? [ref.inFeatures] : []))];
  const odd = inner.find((K) => K % 16 !== 0);
  return odd === undefined ? undefined : { code: "unsupported", reason: `input size ${odd} is no multiple of 16` };
}

/** Dense linears by tiles; one row, of few, by `matmul`. */
const matmulTiles = (few: boolean): Way => ({
  name: "matmul-tiles",
  kernels: few ? [matmul, ...matmulTileKernels] : matmulTileKernels,
  refusal: tileRefusal,
  record(recorder, { weight, x, ...call }, label) {
    const { dtype, K, N: columns, pieces: cuts } = weight as GpuDense;
    const { step, bias } = call;
    for (const { firstColumn, N, weight } of cuts) {
      const shape = { dtype, K, N, firstColumn, columns };
      const { hasBias, out } = call;
      if (few) recordKernel(recorder, matmul, { x, weight, bias, out }, { ...shape, hasBias }, { label, rows: oneRow });
      const rows = few ? { ...always, from: 2 } : always;
      recordTiles(recorder, call, { K, N, cut: cuts.length === 1, rows }, label, (tile, out, pieces, hasBias, when) => {
        const kernel = tile === tile16 ? matmulTile16 : matmulTile64;
        recordKernel(recorder, kernel, { step, x, weight, bias, out }, { ...shape, hasBias, pieces }, when);
      });
    }
  },
});

const ways: Readonly<Record<VariantStep, readonly Way[]>> = {
  linear: [awqTiles, awq(awqMatmul), packed(awqMatmulPacked)],
  "linear-prefill": [awqTiles, packed(awqMatmulPacked), awq(awqMatmulTiled), awq(awqMatmul)],
  dense: [matmulTiles(true), dense(matmul), dense(matmulTiled)],
  "dense-prefill": [matmulTiles(false), dense(matmulTiled), dense(matmul)],
};

/** By step, the one to be preferred first. */
export const stepVariants: readonly StepVariant[] = (Object.keys(ways) as VariantStep[]).flatMap((step) =>
  ways[step].map((way): StepVariant => ({ step, arithmetic: "f32", ...way })),
);

/** The plain steps of a model: a kernel for each step that has several, all for weights of one layout. */
export type PlainSteps = Readonly<Record<VariantStep, StepVariant>>;
