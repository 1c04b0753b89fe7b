/** Steps between the linears: what they move stays in the caches, what they cost is mostly their dispatch. */
import type { LlamaConfig } from "../../core/config.ts";
import { recordAdd } from "../../gpu/kernels/plain/add.ts";
import { recordCacheWrite } from "../../gpu/kernels/plain/cache-write.ts";
import { recordEmbedding } from "../../gpu/kernels/plain/embedding.ts";
import { recordRmsNorm } from "../../gpu/kernels/plain/rms-norm.ts";
import { recordRope } from "../../gpu/kernels/plain/rope.ts";
import { recordSiluMul } from "../../gpu/kernels/plain/silu-mul.ts";
import type { Recorder } from "../../gpu/pipeline/recorder.ts";
import { cacheBytes } from "../../gpu/wgsl/cache.ts";
import type { Operands } from "../operands.ts";
import { startOf, type Work } from "./work.ts";

/** A kernel whose operands all stay in the caches: one case, of `elements` values, `reads` + `writes` of them moved. */
function elementwise(
  kernel: string,
  elements: (config: LlamaConfig, T: number) => number,
  moved: number,
  operations: number,
  recordIt: (recorder: Recorder, o: Operands, config: LlamaConfig, T: number) => void,
  step: string,
): Work {
  return {
    kernel,
    task: kernel,
    cases: (config, T) => [
      {
        step,
        start: startOf(config, T),
        counts: { bytes: moved * 4 * elements(config, T), operations: operations * elements(config, T), arithmetic: "f32" },
        record: (recorder, o) => recordIt(recorder, o, config, T),
      },
    ],
  };
}

export const elementwiseWorks: readonly Work[] = [
  elementwise(
    "rms-norm",
    ({ hiddenSize }, T) => T * hiddenSize,
    2,
    4,
    (recorder, o, { hiddenSize: D, rmsNormEps: eps }, T) => {
      const buffers = { x: o.shared("x", T * D * 4), weight: o.shared("weight", D * 4), out: o.shared("out", T * D * 4, "blank") };
      recordRmsNorm(recorder, { step: o.step, ...buffers }, { D, eps });
    },
    "hidden",
  ),
  elementwise(
    "add",
    ({ hiddenSize }, T) => T * hiddenSize,
    3,
    1,
    (recorder, o, { hiddenSize: width }, T) =>
      recordAdd(recorder, { step: o.step, x: o.shared("x", T * width * 4), y: o.shared("y", T * width * 4, "blank") }, { width }),
    "hidden",
  ),
  elementwise(
    "silu-mul",
    ({ intermediateSize }, T) => T * intermediateSize,
    3,
    5,
    (recorder, o, { intermediateSize: width }, T) =>
      recordSiluMul(recorder, { step: o.step, gate: o.shared("gate", T * width * 4), up: o.shared("up", T * width * 4) }, { width }),
    "ffn",
  ),
  elementwise(
    "rope",
    ({ numAttentionHeads, headDim }, T) => T * numAttentionHeads * headDim,
    2,
    3,
    (recorder, o, config, T) => {
      const { numAttentionHeads: heads, headDim } = config;
      const table = o.shared("table", (startOf(config, T) + T) * headDim * 4, "f32");
      recordRope(recorder, { step: o.step, table, x: o.shared("x", T * heads * headDim * 4) }, { heads, halfDim: headDim / 2 });
    },
    "q",
  ),
  {
    kernel: "cache-write",
    task: "cache-write",
    cases: (config, T) => {
      const start = startOf(config, T);
      const width = config.numKeyValueHeads * config.headDim;
      return (["f32", "f16"] as const).map((dtype) => ({
        step: "kv",
        variant: `cache-${dtype}`,
        start,
        counts: { bytes: 2 * T * width * (4 + cacheBytes[dtype]) },
        record(recorder, o) {
          const cache = (label: string): GPUBuffer => o.own(label, (start + T) * width * cacheBytes[dtype], "blank");
          const rows = { k: o.shared("k", T * width * 4), v: o.shared("v", T * width * 4) };
          recordCacheWrite(recorder, { step: o.step, ...rows, keys: cache("keys"), values: cache("values") }, { width, dtype });
        },
      }));
    },
  },
  {
    kernel: "embedding",
    task: "embedding",
    cases: ({ vocabSize: rows, hiddenSize: D }, T) => [
      {
        step: "embedTokens",
        start: 0,
        counts: { bytes: T * (4 + D * 6) },
        record(recorder, o) {
          const table = o.shared("table", rows * D * 2, "f16");
          const ids = o.given(
            "ids",
            Uint32Array.from({ length: T }, (_, i) => (i * 2654435761) % rows),
            "storage",
          );
          recordEmbedding(recorder, { ids, table, out: o.shared("out", T * D * 4, "blank") }, { dtype: "F16", D, firstRow: 0, rows });
        },
      },
    ],
  },
];
