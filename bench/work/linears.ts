/** The linears: each shape of a layer once, and the head. */
import type { LlamaConfig } from "../../core/model/config.ts";
import { recordAwqMatmul } from "../../gpu/kernels/awq-matmul.ts";
import { recordAwqMatmulTiled } from "../../gpu/kernels/awq-matmul-tiled.ts";
import { recordMatmul } from "../../gpu/kernels/matmul.ts";
import { recordMatmulTiled } from "../../gpu/kernels/matmul-tiled.ts";
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

export const linearWorks: readonly Work[] = [
  awqWork("awq-matmul", recordAwqMatmul),
  awqWork("awq-matmul-tiled", recordAwqMatmulTiled),
  denseWork("matmul", recordMatmul),
  denseWork("matmul-tiled", recordMatmulTiled),
];
