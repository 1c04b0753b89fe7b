/**
 * Prefill by subgroup matrices: many rows, activations as f16 or as digits of fixed16, and the steps that bring them
 * into that form.
 */
import type { LlamaConfig } from "../../core/config.ts";
import { attentionPrefillMatrix, SPLIT_ROWS } from "../../gpu/kernels/prefill/attention-prefill-matrix.ts";
import { awqPanelsF16Matrix } from "../../gpu/kernels/prefill/awq-panels-f16-matrix.ts";
import { awqPanelsGateUpMatrix } from "../../gpu/kernels/prefill/awq-panels-gate-up-matrix.ts";
import { awqPrefillF16Matrix } from "../../gpu/kernels/prefill/awq-prefill-f16-matrix.ts";
import { awqPrefillFixed16Matrix } from "../../gpu/kernels/prefill/awq-prefill-fixed16-matrix.ts";
import { awqPrefillGateUpMatrix } from "../../gpu/kernels/prefill/awq-prefill-gate-up-matrix.ts";
import { awqRows16F16Matrix, ROWS16, type Rows16Shape, rows16Pieces } from "../../gpu/kernels/prefill/awq-rows16-f16-matrix.ts";
import { awqRows16GateUpMatrix } from "../../gpu/kernels/prefill/awq-rows16-gate-up-matrix.ts";
import { awqRows32F16Matrix } from "../../gpu/kernels/prefill/awq-rows32-f16-matrix.ts";
import { awqRows32GateUpMatrix } from "../../gpu/kernels/prefill/awq-rows32-gate-up-matrix.ts";
import { awqRows64F16Matrix } from "../../gpu/kernels/prefill/awq-rows64-f16-matrix.ts";
import { awqRows64GateUpMatrix } from "../../gpu/kernels/prefill/awq-rows64-gate-up-matrix.ts";
import { matmulPrefillF16Matrix } from "../../gpu/kernels/prefill/matmul-prefill-f16-matrix.ts";
import { matmulRows32F16Matrix } from "../../gpu/kernels/prefill/matmul-rows32-f16-matrix.ts";
import { prefillDigits } from "../../gpu/kernels/prefill/prefill-digits.ts";
import { prefillNormF16 } from "../../gpu/kernels/prefill/prefill-norm-f16.ts";
import { prefillRopeF16 } from "../../gpu/kernels/prefill/prefill-rope-f16.ts";
import { prefillRowsF16 } from "../../gpu/kernels/prefill/prefill-rows-f16.ts";
import { prefillSiluMulF16 } from "../../gpu/kernels/prefill/prefill-silu-mul-f16.ts";
import type { Card } from "../../gpu/pipeline/kernel.ts";
import { SPLIT_FROM, splitsOf } from "../../gpu/programs/prefill.ts";
import { type ProductTile, productPieces } from "../../gpu/programs/prefill-products.ts";
import { packedSizes } from "../../gpu/wgsl/awq.ts";
import { DIGITS_BLOCK } from "../../gpu/wgsl/digits.ts";
import type { PiecesShape } from "../../gpu/wgsl/matrix-tile.ts";
import { groupOf, keysSeen, type Measured, pairsSeen, startOf, type Work, work } from "../measured.ts";
import type { Holdings } from "../operands.ts";
import type { Arithmetic } from "../results.ts";
import { linearShapes } from "../shapes.ts";

/**
 * The products of a layer as prefill makes them: q, k, v in one, gate and up in one; `pieces` in which at most 16 rows
 * are left.
 */
function products(config: LlamaConfig): (Rows16Shape & { readonly step: string })[] {
  const { hiddenSize: D, intermediateSize: F, numAttentionHeads: H, numKeyValueHeads: G, headDim: Hd } = config;
  return [
    { step: "qProj+kProj+vProj", K: D, N: (H + 2 * G) * Hd, add: false },
    { step: "oProj", K: H * Hd, N: D, add: true },
    { step: "gateProj+upProj", K: D, N: 2 * F, add: false, pieces: 1 },
    { step: "downProj", K: F, N: D, add: true },
  ].map((product) => ({ pieces: rows16Pieces(product.K, product.N), group: groupOf(config, product.K), ...product }));
}

/**
 * Every product of a layer by a kernel, for the rows that it takes; K and groups multiples of `multiple`, operands of
 * `inputBytes` a row.
 */
const productWork = <Buffers extends string>(
  kernel: Card<Buffers | "weights" | "groups", Rows16Shape>,
  takes: (T: number) => boolean,
  multiple: number,
  inputBytes: (K: number) => number,
  arithmetic: Arithmetic,
  operands: Holdings<Buffers>,
): Work => {
  // Two digits make two products of each.
  const perWeight = arithmetic === "matrix i8" ? 4 : 2;
  const holds = { ...operands, weights: { own: "words" }, groups: { own: "groups" } } as Holdings<Buffers | "weights" | "groups">;
  const cases = (config: LlamaConfig, T: number): Measured<Buffers | "weights" | "groups", Rows16Shape>[] =>
    products(config)
      .filter(({ K, N, group }) => takes(T) && config.quantization && N % 128 === 0 && K % multiple === 0 && group % multiple === 0)
      .map(({ step, ...shape }) => {
        const { K, N, group, add } = shape;
        const { weights, groups } = packedSizes(K, N, group);
        const bytes = weights + groups + T * (inputBytes(K) + N * (add ? 8 : 4));
        return { step, shape, holds, bytes, operations: perWeight * T * K * N, arithmetic };
      });
  return work(kernel, cases, "awq product of prefill");
};

/** The products by a kernel of gpu/wgsl/matrix-tile.ts, in as many pieces as the program cuts them for up to `upTo` rows. */
const tileWork = (
  kernel: Card<"x" | "weights" | "groups" | "y", PiecesShape>,
  tile: ProductTile,
  takes: (T: number) => boolean,
  upTo: (T: number) => number,
): Work =>
  work(
    kernel,
    (config, T) =>
      products(config)
        .filter(({ K, N, group }) => takes(T) && config.quantization && N % 64 === 0 && K % 64 === 0 && group % 32 === 0)
        .map(({ step, K, N, group, add }) => {
          const wanted = step === "gateProj+upProj" ? 1 : productPieces(tile, upTo(T), K, N);
          const pieces = wanted === 1 && add ? 0 : wanted;
          const { weights, groups } = packedSizes(K, N, group);
          const bytes = weights + groups + T * (2 * K + N * (pieces > 0 ? 4 * pieces : 8));
          const holds: Holdings<"x" | "weights" | "groups" | "y"> = { x: "f16", weights: { own: "words" }, groups: { own: "groups" } };
          return {
            step,
            shape: { K, N, group, add, pieces, apart: upTo(T) === Infinity ? ROWS16 : upTo(T) },
            holds,
            bytes,
            operations: 2 * T * K * N,
            arithmetic: "matrix f16" as const,
          };
        }),
    "awq product of prefill",
  );
const spanOf = (T: number): number => 2 ** Math.ceil(Math.log2(Math.max(128, T)));

/** The products of a dense layer and of the head, f16, each linear in a matrix of its own. */
const denseTileWork = (
  kernel: typeof matmulPrefillF16Matrix,
  tile: ProductTile,
  takes: (T: number) => boolean,
  upTo: (T: number) => number,
): Work =>
  work(
    kernel,
    (config, T) =>
      [...linearShapes(config), { step: "lmHead", K: config.hiddenSize, N: config.vocabSize, groupSize: undefined }]
        .filter(({ K, N, groupSize }) => takes(T) && groupSize === undefined && N % 64 === 0 && K % 64 === 0)
        .map(({ step, K, N }) => {
          const pieces = productPieces(tile, upTo(T), K, N);
          const shape = {
            dtype: "F16" as const,
            K,
            N,
            add: false,
            width: N,
            column: 0,
            pieces,
            apart: upTo(T) === Infinity ? ROWS16 : upTo(T),
          };
          const holds: Holdings<"x" | "weight" | "y"> = { x: "f16", weight: { own: "f16" } };
          return {
            step,
            shape,
            holds,
            bytes: 2 * K * N + T * (2 * K + 4 * pieces * N),
            operations: 2 * T * K * N,
            arithmetic: "matrix f16" as const,
          };
        }),
    "dense product of prefill",
  );

/** What is left for the steps after the products to join: of the residual after down_proj, and of q, k, v. */
function piecesLeft(config: LlamaConfig, T: number): { residual: number; qkv: number } {
  if (T > ROWS16) return { residual: 0, qkv: 1 };
  const [qkv, , , down] = products(config).map(({ pieces }) => pieces);
  return { residual: down!, qkv: qkv! };
}

/** A step that reads and writes so many bytes per row. */
const rowStep = <Buffers extends string, Shape extends object>(
  kernel: Card<Buffers, Shape>,
  step: string,
  of: (config: LlamaConfig, T: number) => { shape: Shape; bytes: number; operations: number; holds?: Holdings<NoInfer<Buffers>> },
): Work =>
  work(kernel, (config, T) => {
    if (T === 1) return [];
    const { bytes, operations, ...rest } = of(config, T);
    return [{ step, start: startOf(config, T), ...rest, bytes: T * bytes, operations: T * operations, arithmetic: "f32" }];
  });

/** Gate, up and SiLU in one kernel, of up to `most` rows. */
const gateUpWork = (kernel: typeof awqRows16GateUpMatrix, most: number): Work =>
  work(
    kernel,
    (config, T) => {
      const { hiddenSize: K, intermediateSize: F, quantization } = config;
      const group = groupOf(config, K);
      if (T === 1 || T > most || !quantization || F % 64 !== 0 || K % 64 !== 0 || group % 32 !== 0) return [];
      const { weights, groups } = packedSizes(K, 2 * F, group);
      return [
        {
          step: "gateUp",
          shape: { K, F, group, hasBias: false },
          holds: { x: "f16", weights: { own: "words" }, groups: { own: "groups" } },
          bytes: weights + groups + 2 * T * (K + F),
          operations: 4 * T * K * F,
          arithmetic: "matrix f16",
        },
      ];
    },
    "gate and up of prefill",
  );

export const works: readonly Work[] = [
  gateUpWork(awqRows16GateUpMatrix, ROWS16),
  gateUpWork(awqRows32GateUpMatrix, 32),
  gateUpWork(awqRows64GateUpMatrix, 64),
  gateUpWork(awqPrefillGateUpMatrix, Infinity),
  gateUpWork(awqPanelsGateUpMatrix, Infinity),
  tileWork(
    awqPrefillF16Matrix,
    [128, 128, 1],
    (T) => T > 1,
    (T) => (T > 512 ? Infinity : spanOf(T)),
  ),
  tileWork(
    awqPanelsF16Matrix,
    [128, 128, 2],
    (T) => T > 1,
    () => Infinity,
  ),
  tileWork(
    awqRows64F16Matrix,
    [64, 256, 1],
    (T) => T > 1 && T <= 64,
    () => 64,
  ),
  tileWork(
    awqRows32F16Matrix,
    [32, 128, 2],
    (T) => T > 1 && T <= 32,
    () => 32,
  ),
  denseTileWork(
    matmulPrefillF16Matrix,
    [128, 128, 1],
    (T) => T > 1,
    (T) => (T > 512 ? Infinity : spanOf(T)),
  ),
  denseTileWork(
    matmulRows32F16Matrix,
    [32, 128, 2],
    (T) => T > 1 && T <= 32,
    () => 32,
  ),
  productWork(
    awqRows16F16Matrix,
    (T) => T > 1 && T <= ROWS16,
    64,
    (K) => 2 * K,
    "matrix f16",
    { x: "f16" },
  ),
  productWork(
    awqPrefillFixed16Matrix,
    (T) => T > 1,
    DIGITS_BLOCK,
    (K) => 2 * K + (K / DIGITS_BLOCK) * 4,
    "matrix i8",
    { digits: "words" },
  ),
  work(
    attentionPrefillMatrix,
    (config, T) => {
      const { numAttentionHeads: H, numKeyValueHeads: G, headDim: Hd, slidingWindow: window } = config;
      if (T === 1 || Hd % 16 !== 0 || Hd < 32 || Hd > 128) return [];
      const start = startOf(config, T);
      return [
        {
          step: `S=${start + T}`,
          variant: "cache-f16",
          start,
          shape: { H, G, Hd, window, splits: start >= SPLIT_FROM && T <= SPLIT_ROWS ? splitsOf(H, 8) : 1 },
          holds: { q: "f16", k_cache: { own: "f16" }, v_cache: { own: "f16" } },
          bytes: 4 * keysSeen(T, start, window) * G * Hd + T * H * Hd * 6,
          operations: 4 * H * Hd * pairsSeen(T, start, window),
          arithmetic: "matrix f16",
        },
      ];
    },
    "attention of prefill",
  ),
  rowStep(prefillDigits, "hidden", ({ hiddenSize: K }) => ({ shape: { K }, bytes: 6 * K + (K / DIGITS_BLOCK) * 4, operations: 4 * K })),
  rowStep(prefillNormF16, "hidden", (config, T) => {
    const { hiddenSize: K, rmsNormEps: eps } = config;
    const { residual: pieces } = piecesLeft(config, T);
    const bytes = 4 * K * (1 + pieces) + 2 * K + (pieces > 0 ? 4 * K : 0);
    return { shape: { K, eps, pieces }, bytes, operations: (4 + pieces) * K, holds: { residual: "f32" } };
  }),
  rowStep(prefillRopeF16, "qkv", (config, T) => {
    const { numAttentionHeads: H, numKeyValueHeads: G, headDim: Hd } = config;
    const { qkv: pieces } = piecesLeft(config, T);
    const width = (H + 2 * G) * Hd;
    return { shape: { H, G, Hd, pieces }, bytes: (4 * pieces + 2) * width, operations: 3 * (H + G) * Hd + (pieces - 1) * width };
  }),
  rowStep(prefillRowsF16, "attention", ({ numAttentionHeads: H, headDim: Hd }) => ({
    shape: { K: H * Hd },
    bytes: 6 * H * Hd,
    operations: H * Hd,
  })),
  rowStep(prefillSiluMulF16, "ffn", ({ intermediateSize: F }) => ({ shape: { F }, bytes: 10 * F, operations: 5 * F })),
];
