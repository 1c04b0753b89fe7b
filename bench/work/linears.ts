/**
 * The linears: each shape of a layer once, and the head, by every variant of their steps; and both ways between the
 * layouts.
 */
import type { LlamaConfig } from "../../core/config.ts";
import { awqRepack } from "../../gpu/kernels/layout/awq-repack.ts";
import { awqUnpack } from "../../gpu/kernels/layout/awq-unpack.ts";
import type { GpuLinear } from "../../gpu/model/tree.ts";
import { type StepVariant, stepVariants } from "../../gpu/programs/steps.ts";
import { gemmSizes, packedSizes } from "../../gpu/wgsl/awq.ts";
import { type Work, work } from "../measured.ts";
import type { Operands } from "../operands.ts";
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
          const call = { weight: weight(o, shape), x, out, bias: o.shared("nothing", 16), hasBias: false, step: o.step };
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

export const works: readonly Work[] = [
  ...new Map(stepVariants.map((variant) => [variant.name, variantWork(variant)])).values(),
  repackWork(awqRepack, ["words", "blank"]),
  repackWork(awqUnpack, ["blank", "words"]),
];
