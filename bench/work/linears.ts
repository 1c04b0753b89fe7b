/** The linears: each shape of a layer once, and the head. */
import type { LlamaConfig } from "../../core/config.ts";
import { recordAwqRepack } from "../../gpu/kernels/layout/awq-repack.ts";
import { recordAwqUnpack } from "../../gpu/kernels/layout/awq-unpack.ts";
import { recordAwqMatmul } from "../../gpu/kernels/plain/awq-matmul.ts";
import { recordAwqMatmulPacked } from "../../gpu/kernels/plain/awq-matmul-packed.ts";
import { recordAwqMatmulTiled } from "../../gpu/kernels/plain/awq-matmul-tiled.ts";
import { recordMatmul } from "../../gpu/kernels/plain/matmul.ts";
import { recordMatmulTiled } from "../../gpu/kernels/plain/matmul-tiled.ts";
import type { Counts } from "../results.ts";
import { type LinearShape, linearBytes, linearShapes } from "../shapes.ts";
import type { Work } from "./work.ts";

const quantized = (config: LlamaConfig): LinearShape[] => linearShapes(config).filter(({ groupSize }) => groupSize !== undefined);

/** The dense linears, f16 as checkpoints of AWQ models have them: those that are not quantized, and the head. */
const dense = (config: LlamaConfig): LinearShape[] => [
  ...linearShapes(config).filter(({ groupSize }) => groupSize === undefined),
  { step: "lmHead", K: config.hiddenSize, N: config.vocabSize, groupSize: undefined, count: 1 },
];

const linearCounts = (shape: LinearShape, T: number): Counts => ({
  bytes: linearBytes(shape) + T * (shape.K + shape.N) * 4,
  operations: 2 * T * shape.K * shape.N,
  arithmetic: "f32",
});

function awqWork(kernel: string, recordIt: typeof recordAwqMatmulTiled): Work {
  return {
    kernel,
    task: "awq linear",
    cases: (config, T) =>
      quantized(config).map((shape) => ({
        step: shape.step,
        start: 0,
        counts: linearCounts(shape, T),
        record(recorder, o) {
          const { K, N } = shape;
          const groups = K / shape.groupSize!;
          recordIt(
            recorder,
            {
              step: o.step,
              x: o.shared("x", T * K * 4),
              qweight: o.own("qweight", (K * N) / 2, "words"),
              qzeros: o.own("qzeros", (groups * N) / 2, "zeros"),
              scales: o.own("scales", groups * N * 2, "f16"),
              bias: o.shared("nothing", 16),
              out: o.shared("out", T * N * 4, "blank"),
            },
            { K, N, groupSize: shape.groupSize!, firstColumn: 0, columns: N, hasBias: false },
          );
        },
      })),
  };
}

function denseWork(kernel: string, recordIt: typeof recordMatmulTiled): Work {
  return {
    kernel,
    task: "dense linear",
    cases: (config, T) =>
      dense(config).map((shape) => ({
        step: shape.step,
        start: 0,
        counts: linearCounts(shape, T),
        record(recorder, o) {
          const { K, N } = shape;
          const buffers = {
            step: o.step,
            x: o.shared("x", T * K * 4),
            weight: o.own("weight", K * N * 2, "f16"),
            bias: o.shared("nothing", 16),
            out: o.shared("out", T * N * 4, "blank"),
          };
          recordIt(recorder, buffers, { dtype: "F16", K, N, firstColumn: 0, columns: N, hasBias: false });
        },
      })),
  };
}

/** Bytes of a repacked matrix: 4 bits a weight, a word a group (awq-repack.ts). */
export const packedBytes = (K: number, N: number, groupSize: number): { weights: number; groups: number } => ({
  weights: (K * N) / 2,
  groups: (K / groupSize) * N * 4,
});

/** Shapes that awq-repack.ts takes. */
const packable = (config: LlamaConfig): LinearShape[] =>
  quantized(config).filter(({ K, groupSize }) => K % 32 === 0 && groupSize! % 32 === 0);

const packedWork: Work = {
  kernel: "awq-matmul-packed",
  task: "awq linear",
  cases: (config, T) =>
    packable(config).map((shape) => {
      const { K, N } = shape;
      const groupSize = shape.groupSize!;
      const { weights, groups } = packedBytes(K, N, groupSize);
      return {
        step: shape.step,
        start: 0,
        counts: { bytes: weights + groups + T * (K + N) * 4, operations: 2 * T * K * N, arithmetic: "f32" },
        record(recorder, o) {
          const buffers = {
            step: o.step,
            x: o.shared("x", T * K * 4),
            weights: o.own("weights", weights, "words"),
            groups: o.own("groups", groups, "groups"),
            bias: o.shared("nothing", 16),
            out: o.shared("out", T * N * 4, "blank"),
          };
          recordAwqMatmulPacked(recorder, buffers, { K, N, groupSize, firstRow: 0, hasBias: false });
        },
      };
    }),
};

/** Both ways between the layouts; once a matrix, at load, so there are no rows. */
function repackWork(kernel: string, toPacked: boolean): Work {
  return {
    kernel,
    task: kernel,
    cases: (config, T) =>
      T > 1
        ? []
        : packable(config).map((shape) => {
            const { K, N } = shape;
            const groupSize = shape.groupSize!;
            const packed = packedBytes(K, N, groupSize);
            return {
              step: shape.step,
              start: 0,
              counts: { bytes: linearBytes(shape) + packed.weights + packed.groups },
              record(recorder, o) {
                const [gemm, rows] = toPacked ? (["words", "blank"] as const) : (["blank", "words"] as const);
                const buffers = {
                  qweight: o.own("qweight", (K * N) / 2, gemm),
                  qzeros: o.own("qzeros", ((K / groupSize) * N) / 2, gemm),
                  scales: o.own("scales", (K / groupSize) * N * 2, gemm),
                  weights: o.own("weights", packed.weights, rows),
                  groups: o.own("groups", packed.groups, rows),
                };
                (toPacked ? recordAwqRepack : recordAwqUnpack)(recorder, buffers, { K, N, groupSize, firstRow: 0 });
              },
            };
          }),
  };
}

export const linearWorks: readonly Work[] = [
  packedWork,
  repackWork("awq-repack", true),
  repackWork("awq-unpack", false),
  awqWork("awq-matmul", recordAwqMatmul),
  awqWork("awq-matmul-tiled", recordAwqMatmulTiled),
  denseWork("matmul", recordMatmul),
  denseWork("matmul-tiled", recordMatmulTiled),
];
