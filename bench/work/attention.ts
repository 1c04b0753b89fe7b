/** Attention and its two halves, over a cache in each of its element types. */
import type { LlamaConfig } from "../../core/config.ts";
import { type AttentionParams, recordAttention } from "../../gpu/kernels/plain/attention.ts";
import { recordAttentionMix } from "../../gpu/kernels/plain/attention-mix.ts";
import { recordAttentionWeights } from "../../gpu/kernels/plain/attention-weights.ts";
import type { Recorder } from "../../gpu/pipeline/recorder.ts";
import { type CacheDType, cacheBytes } from "../../gpu/wgsl/cache.ts";
import type { Operands } from "../operands.ts";
import { startOf, type Work, type WorkCase } from "./work.ts";

/** Pairs of query and key that T rows from `start` on see. */
function pairs(T: number, start: number, window: number | null): number {
  let count = 0;
  for (let t = 0; t < T; t++) count += Math.min(start + t + 1, window ?? Number.POSITIVE_INFINITY);
  return count;
}

/** A case for each element type of the cache; `caches`: 2 for keys and values, 1 for either. */
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
  const window = config.slidingWindow;
  const seen = window === null ? S : Math.min(S, window + T - 1);
  return (["f32", "f16"] as const).map((dtype) => ({
    step: `S=${S}`,
    variant: `cache-${dtype}`,
    start,
    counts: {
      bytes: caches * seen * G * Hd * cacheBytes[dtype] + otherBytes(start),
      operations: 2 * caches * H * Hd * pairs(T, start, window),
      arithmetic: "f32",
    },
    record: (recorder, o) => recordIt(recorder, o, dtype, S),
  }));
}

const attentionParams = (
  { numAttentionHeads: H, numKeyValueHeads: G, headDim: Hd, slidingWindow: window }: LlamaConfig,
  dtype: CacheDType,
): AttentionParams => ({ H, G, Hd, window, dtype });
const cacheOf = (o: Operands, label: string, { numKeyValueHeads: G, headDim: Hd }: LlamaConfig, dtype: CacheDType, S: number): GPUBuffer =>
  o.own(label, S * G * Hd * cacheBytes[dtype], dtype);

export const attentionWorks: readonly Work[] = [
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
];
