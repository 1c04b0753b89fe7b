/**
 * The linears: each shape of a layer once, and the head, by every variant of their steps; and both ways between the
 * layouts.
 */
import type { LlamaConfig } from "../../core/config.ts";
import { awqRepack } from "../../gpu/kernels/layout/awq-repack.ts";
import { awqUnpack } from "../../gpu/kernels/layout/awq-unpack.ts";
import { awqTile16 } from "../../gpu/kernels/plain/awq-tile16.ts";
import { awqTile64 } from "../../gpu/kernels/plain/awq-tile64.ts";
import { joinPieces } from "../../gpu/kernels/plain/join-pieces.ts";
import { matmulTile16 } from "../../gpu/kernels/plain/matmul-tile16.ts";
import { matmulTile64 } from "../../gpu/kernels/plain/matmul-tile64.ts";
import type { GpuLinear } from "../../gpu/model/tree.ts";
import type { Card } from "../../gpu/pipeline/kernel.ts";
import { type StepVariant, stepVariants } from "../../gpu/programs/steps.ts";
import { tilePieces } from "../../gpu/programs/tiles.ts";
import { gemmSizes, packedSizes } from "../../gpu/wgsl/awq.ts";
import { type Tile, tile16, tile64 } from "../../gpu/wgsl/tile.ts";
import { type Measured, type Work, work } from "../measured.ts";
import type { Holdings, Operands } from "../operands.ts";
import { type LinearShape, linearBytes, linearShapes } from "../shapes.ts";

const quantized = (config: LlamaConfig): LinearShape[] => linearShapes(config).filter(({ groupSize }) => groupSize !== undefined);
/** Shapes that awq-repack.ts takes. */
const packable = (config: LlamaConfig): LinearShape[] =>
  quantized(config).filter(({ K, groupSize }) => K % 32 === 0 && groupSize! % 32 === 0);

/** The dense linears, f16 as checkpoints of AWQ models have them: those that are not quantized, and the head. */
const dense = (config: LlamaConfig): LinearShape[] => [
  ...linearShapes(config).filter(({ groupSize }) => groupSize === undefined),
  { step: "lmHead", K: config.hiddenSize, N: config.vocabSize, groupSize: undefined, count: 1 },
];

/** Which linears a variant takes, the bytes of their weights, and the weights of one. */
interface Kind {
  readonly task: string;
  shapes(config: LlamaConfig): LinearShape[];
  bytes(shape: LinearShape): number;
  weight(o: Operands, shape: LinearShape): GpuLinear["weight"];
}

const packedBytes = ({ K, N, groupSize }: LinearShape): number => {
  const { weights, groups } = packedSizes(K, N, groupSize!);
  return weights + groups;
};

const denseKind: Kind = {
  task: "dense linear",
  shapes: dense,
  bytes: linearBytes,
  weight: (o, { K, N }) => {
    const pieces = [{ firstColumn: 0, N, weight: o.own("weight", K * N * 2, "f16") }];
    return { kind: "dense", dtype: "F16", K, N, pieces };
  },
};
const kinds: Readonly<Record<NonNullable<StepVariant["layout"]>, Kind>> = {
  checkpoint: {
    task: "awq linear",
    shapes: quantized,
    bytes: linearBytes,
    weight(o, { K, N, groupSize }) {
      const sizes = gemmSizes(K, N, groupSize!);
      const qweight = o.own("qweight", sizes.qweight, "words");
      const qzeros = o.own("qzeros", sizes.qzeros, "zeros");
      const pieces = [{ firstColumn: 0, N, qweight, qzeros, scales: o.own("scales", sizes.scales, "f16") }];
      return { kind: "awq", K, N, groupSize: groupSize!, pieces };
    },
  },
  repacked: {
    task: "awq linear",
    shapes: packable,
    bytes: packedBytes,
    weight(o, { K, N, groupSize }) {
      const sizes = packedSizes(K, N, groupSize!);
      const weights = o.own("weights", sizes.weights, "words");
      return {
        kind: "packed",
        unit: 1,
        K,
        N,
        groupSize: groupSize!,
        firstRow: 0,
        weights,
        groups: o.own("groups", sizes.groups, "groups"),
      };
    },
  },
};

function variantWork({ name, layout, record }: StepVariant): Work {
  const { task, shapes, bytes, weight } = layout ? kinds[layout] : denseKind;
  return {
    kernel: name,
    task,
    cases: (config, T) =>
      shapes(config).map((shape) => ({
        step: shape.step,
        start: 0,
        calls: shape.count,
        counts: { bytes: bytes(shape) + T * (shape.K + shape.N) * 4, operations: 2 * T * shape.K * shape.N, arithmetic: "f32" },
        record(recorder, o) {
          const x = o.shared("x", T * shape.K * 4);
          const out = o.shared("out", T * shape.N * 4, "blank");
          const call = { weight: weight(o, shape), x, out, bias: o.shared("nothing", 16), hasBias: false, step: o.step, parts: null };
          record(recorder, call, name);
        },
      })),
  };
}

/** Once a matrix, at load, so there are no rows. */
const repackWork = (kernel: typeof awqRepack, [gemm, rows]: readonly ["words" | "blank", "words" | "blank"]): Work =>
  work(kernel, (config, T) => {
    if (T > 1) return [];
    const holds = { qweight: { own: gemm }, qzeros: { own: gemm }, scales: { own: gemm }, weights: { own: rows }, groups: { own: rows } };
    return packable(config).map(({ step, K, N, groupSize }) => ({ step, shape: { K, N, groupSize: groupSize!, firstRow: 0 }, holds }));
  });

/** The linears of `shapes` by a tile, for the rows that it takes, in as many pieces as the plain steps cut them. */
const tileWork = <Buffers extends string, Shape extends object>(
  kernel: Card<Buffers, Shape>,
  tile: Tile,
  takes: (T: number) => boolean,
  { task, shapes }: Pick<Kind, "task" | "shapes">,
  callOf: (shape: LinearShape, pieces: number) => Pick<Measured<NoInfer<Buffers>, NoInfer<Shape>>, "shape" | "holds">,
): Work =>
  work(
    kernel,
    (config, T) =>
      (takes(T) ? shapes(config) : []).map((shape) => {
        const { step, K, N, count } = shape;
        return { step, calls: count, ...callOf(shape, tilePieces(tile, T, K, N)), operations: 2 * T * K * N, arithmetic: "f32" as const };
      }),
    task,
  );
const fewRows = (T: number): boolean => T > 1 && T <= tile16.rows;
const moreRows = (T: number): boolean => T > tile16.rows;
const awqCall = ({ K, N, groupSize }: LinearShape, pieces: number) => ({
  shape: { K, N, groupSize: groupSize!, firstRow: 0, hasBias: false, pieces },
  holds: { weights: { own: "words" }, groups: { own: "groups" } } as Holdings<"weights" | "groups">,
});
const denseCall = ({ K, N }: LinearShape, pieces: number) => ({
  shape: { dtype: "F16" as const, K, N, firstColumn: 0, columns: N, hasBias: false, pieces },
  holds: { weight: { own: "f16" } } as Holdings<"weight">,
});

export const works: readonly Work[] = [
  tileWork(awqTile16, tile16, fewRows, kinds.repacked, awqCall),
  tileWork(awqTile64, tile64, moreRows, kinds.repacked, awqCall),
  tileWork(matmulTile16, tile16, fewRows, denseKind, denseCall),
  tileWork(matmulTile64, tile64, moreRows, denseKind, denseCall),
  work(joinPieces, (config, T) =>
    (T > 1 ? quantized(config) : []).map(({ step, N, count }) => {
      const pieces = 4;
      const shape = { N, pieces, hasBias: false };
      return { step, calls: count, shape, operations: (pieces - 1) * T * N, arithmetic: "f32" as const };
    }),
  ),

  // Tiles, several kernels of a variant, are above.
  ...new Map(stepVariants.filter(({ kernels }) => kernels.length === 1).map((variant) => [variant.name, variantWork(variant)])).values(),
  repackWork(awqRepack, ["words", "blank"]),
  repackWork(awqUnpack, ["blank", "words"]),
];
