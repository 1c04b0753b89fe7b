/**
 * The work of every kernel in gpu/kernels: on which shapes of a model it is measured, what bytes it must move and what operations it
 * must do there, and how it is bound. One entry a kernel; conformance/bench/work.test.ts fails where a file has neither an entry
 * nor a reason in `unmeasured`.
 *
 * Bytes count each operand once, as it lies in memory: what the caches save, a kernel may keep. Operations: a multiply-add is two;
 * dequantization and special functions are not counted for linears and attention, and one each elsewhere.
 */
import type { LlamaConfig } from "../core/model/config.ts";
import { recordAdd } from "../gpu/kernels/add.ts";
import { recordAttention } from "../gpu/kernels/attention.ts";
import { recordAttentionMix } from "../gpu/kernels/attention-mix.ts";
import { recordAttentionWeights } from "../gpu/kernels/attention-weights.ts";
import { recordAwqMatmul } from "../gpu/kernels/awq-matmul.ts";
import { recordAwqMatmulTiled } from "../gpu/kernels/awq-matmul-tiled.ts";
import { recordCacheWrite } from "../gpu/kernels/cache-write.ts";
import { recordEmbedding } from "../gpu/kernels/embedding.ts";
import { recordLogitsPartials } from "../gpu/kernels/logits-partials.ts";
import { recordMatmul } from "../gpu/kernels/matmul.ts";
import { recordMatmulTiled } from "../gpu/kernels/matmul-tiled.ts";
import { recordPenalize } from "../gpu/kernels/penalize.ts";
import { recordRmsNorm } from "../gpu/kernels/rms-norm.ts";
import { recordRope } from "../gpu/kernels/rope.ts";
import { recordSampleBorder } from "../gpu/kernels/sample-border.ts";
import { recordSampleGreedy } from "../gpu/kernels/sample-greedy.ts";
import { recordSampleRandom } from "../gpu/kernels/sample-random.ts";
import { recordSiluMul } from "../gpu/kernels/silu-mul.ts";
import type { Recorder } from "../gpu/recorder.ts";
import { type CacheDType, cacheBytes } from "../gpu/wgsl/cache.ts";
import { PARTIALS } from "../gpu/wgsl/partial.ts";
import { BORDER_BYTES, encodeSampling } from "../gpu/wgsl/sampling.ts";
import type { Operands } from "./operands.ts";
import type { Counts } from "./results.ts";
import { type LinearShape, linearBytes, linearShapes } from "./shapes.ts";

/** One measurement's worth of a kernel. */
export interface WorkCase {
  /** Which step of the model, or which shape: "qProj", "S=2048". */
  readonly step: string;
  /** What tells it from another way to run the same kernel. */
  readonly variant?: string;
  /** Position of the first row. */
  readonly start: number;
  readonly counts: Counts;
  /** Records one copy: operands from `own` are new each time. */
  record(recorder: Recorder, operands: Operands): void;
}

export interface Work {
  /** The kernel file's name. */
  readonly kernel: string;
  /** What it computes: kernels of one task are measured in turns. */
  readonly task: string;
  cases(config: LlamaConfig, T: number): WorkCase[];
}

/** Keys that attention is measured over, where the model has so many positions. */
const CONTEXT = 2048;

/** Where the T rows stand so that the last one sees CONTEXT keys. */
const startOf = ({ maxPositionEmbeddings }: LlamaConfig, T: number): number => Math.max(0, Math.min(CONTEXT, maxPositionEmbeddings) - T);

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

/** Pairs of query and key that T rows from `start` on see. */
const pairs = (T: number, start: number): number => T * start + (T * (T + 1)) / 2;

/** A case for each element type of the cache. `bytes` and `perPair` of one head dimension: bytes of cache a key, operations a pair and head. */
function attentionCases(
  config: LlamaConfig,
  T: number,
  caches: number,
  otherBytes: (start: number) => number,
  recordIt: (recorder: Recorder, o: Operands, dtype: CacheDType, S: number) => void,
): WorkCase[] {
  const { numAttentionHeads: H, numKeyValueHeads: G, headDim: Hd } = config;
  const start = startOf(config, T);
  const S = start + T;
  return (["f32", "f16"] as const).map((dtype) => ({
    step: `S=${S}`,
    variant: `cache-${dtype}`,
    start,
    counts: {
      bytes: caches * S * G * Hd * cacheBytes[dtype] + otherBytes(start),
      operations: 2 * caches * H * Hd * pairs(T, start),
      arithmetic: "f32",
    },
    record: (recorder, o) => recordIt(recorder, o, dtype, S),
  }));
}

const attentionParams = (
  { numAttentionHeads: H, numKeyValueHeads: G, headDim: Hd, slidingWindow: window }: LlamaConfig,
  dtype: CacheDType,
) => ({
  H,
  G,
  Hd,
  window,
  dtype,
});
const cacheOf = (o: Operands, label: string, { numKeyValueHeads: G, headDim: Hd }: LlamaConfig, dtype: CacheDType, S: number): GPUBuffer =>
  o.own(label, S * G * Hd * cacheBytes[dtype], dtype);

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

/** Sampling looks at one row of logits, however many were fed. */
function sampling(
  kernel: string,
  moved: number,
  operations: number,
  recordIt: (recorder: Recorder, o: Operands, V: number, s: ReturnType<typeof samplingOperands>) => void,
): Work {
  return {
    kernel,
    task: kernel,
    cases: ({ vocabSize: V }, T) =>
      T > 1
        ? []
        : [
            {
              step: `V=${V}`,
              start: 0,
              counts: { bytes: moved * 4 * V, operations: operations * V, arithmetic: "f32" },
              record: (recorder, o) => recordIt(recorder, o, V, samplingOperands(o, V)),
            },
          ],
  };
}

/** Results that one measurement may write: `cursor` stands for the step, which each sampled token moves on. */
const MAX_SAMPLED = 2 ** 21;

function samplingOperands(o: Operands, V: number) {
  const settings = { temperature: 0.8, topK: 40, topP: 0.9, minP: 0.05, repetitionPenalty: 1.1, seed: 1n };
  return {
    logits: o.own("logits", V * 4, "f32"),
    scores: o.own("scores", V * 4, "f32"),
    seen: o.shared("seen", Math.ceil(V / 32) * 4, "words"),
    partials: o.shared("partials", PARTIALS * 16, "f32"),
    border: o.shared("border", BORDER_BYTES, "blank"),
    sampling: o.given("sampling", encodeSampling(settings), "uniform"),
    step: o.shared("cursor", 16, "blank"),
    ids: o.shared("ids", 16, "blank"),
    results: o.shared("results", MAX_SAMPLED * 8, "blank"),
  };
}

export const works: readonly Work[] = [
  awqWork("awq-matmul", recordAwqMatmul),
  awqWork("awq-matmul-tiled", recordAwqMatmulTiled),
  denseWork("matmul", recordMatmul),
  denseWork("matmul-tiled", recordMatmulTiled),
  {
    kernel: "attention",
    task: "attention",
    cases: (config, T) =>
      attentionCases(
        config,
        T,
        2,
        () => 2 * T * config.numAttentionHeads * config.headDim * 4,
        (recorder, o, dtype, S) => {
          const width = T * config.numAttentionHeads * config.headDim * 4;
          const caches = { keys: cacheOf(o, "keys", config, dtype, S), values: cacheOf(o, "values", config, dtype, S) };
          const buffers = { step: o.step, q: o.shared("q", width), ...caches, out: o.shared("out", width, "blank") };
          recordAttention(recorder, buffers, attentionParams(config, dtype));
        },
      ),
  },
  {
    kernel: "attention-weights",
    task: "attention-weights",
    cases: (config, T) =>
      attentionCases(
        config,
        T,
        1,
        (start) => T * config.numAttentionHeads * (config.headDim + start + T) * 4,
        (recorder, o, dtype, S) => {
          const { numAttentionHeads: H, headDim: Hd } = config;
          const keys = cacheOf(o, "keys", config, dtype, S);
          const buffers = { step: o.step, q: o.shared("q", T * H * Hd * 4), keys, weights: o.shared("weights", T * H * S * 4, "blank") };
          recordAttentionWeights(recorder, buffers, attentionParams(config, dtype));
        },
      ),
  },
  {
    kernel: "attention-mix",
    task: "attention-mix",
    cases: (config, T) =>
      attentionCases(
        config,
        T,
        1,
        (start) => T * config.numAttentionHeads * (config.headDim + start + T) * 4,
        (recorder, o, dtype, S) => {
          const { numAttentionHeads: H, headDim: Hd } = config;
          const values = cacheOf(o, "values", config, dtype, S);
          const weights = o.shared("weights", T * H * S * 4, "f32");
          const buffers = { step: o.step, weights, values, out: o.shared("out", T * H * Hd * 4, "blank") };
          recordAttentionMix(recorder, buffers, attentionParams(config, dtype));
        },
      ),
  },
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
  sampling("logits-partials", 2, 3, (recorder, _o, V, { logits, scores, partials }) =>
    recordLogitsPartials(recorder, { logits, scores, partials }, { V }),
  ),
  sampling("penalize", 2, 1, (recorder, _o, V, { logits, seen, sampling, scores }) =>
    recordPenalize(recorder, { logits, seen, sampling, scores }, { V }),
  ),
  sampling("sample-border", 1, 2, (recorder, _o, V, { scores, partials, sampling, border }) =>
    recordSampleBorder(recorder, { scores, partials, sampling, border }, { V }),
  ),
  sampling("sample-random", 1, 2, (recorder, _o, V, { seen, ...buffers }) => recordSampleRandom(recorder, { ...buffers, seen }, { V })),
  {
    kernel: "sample-greedy",
    task: "sample-greedy",
    cases: ({ vocabSize: V }, T) =>
      T > 1
        ? []
        : [
            {
              step: `V=${V}`,
              start: 0,
              counts: { bytes: PARTIALS * 16 },
              record(recorder, o) {
                const { logits, partials, step, ids, seen, results } = samplingOperands(o, V);
                recordSampleGreedy(recorder, { logits, partials, step, ids, seen, results });
              },
            },
          ],
  },
];

/** Kernel files without an entry, each with the reason. */
export const unmeasured: Readonly<Record<string, string>> = {};
