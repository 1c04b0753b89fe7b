/** Steps of rows that belong to different sequences, each with as many keys as a single one is measured over. */
import { batchAttention } from "../../gpu/kernels/batch/batch-attention.ts";
import { attentionSubgroups, batchAttentionF16 } from "../../gpu/kernels/batch/batch-attention-f16.ts";
import { batchRope } from "../../gpu/kernels/batch/batch-rope.ts";
import { batchRopeF16 } from "../../gpu/kernels/batch/batch-rope-f16.ts";
import { SPLIT_ROWS } from "../../gpu/kernels/prefill/attention-prefill-matrix.ts";
import { cacheBytes } from "../../gpu/wgsl/cache.ts";
import { encodeRows, MOST_ROWS } from "../../gpu/wgsl/rows.ts";
import { startOf, type Work, work } from "../measured.ts";

/** Row t in slot t, all at one position. */
const rowsOf = (T: number, start: number) => encodeRows(Array.from({ length: T }, (_, slot) => ({ slot, start })));

export const works: readonly Work[] = [
  work(batchAttention, (config, T) => {
    const { numAttentionHeads: H, numKeyValueHeads: G, headDim: Hd, slidingWindow: window } = config;
    if (T > MOST_ROWS || Hd % 4 !== 0 || Hd > 256 || H % G !== 0) return [];
    const start = startOf(config, 1);
    const seen = Math.min(start + 1, window ?? Number.POSITIVE_INFINITY);
    return (["f32", "f16"] as const).map((dtype) => ({
      step: `S=${start + 1}`,
      variant: `cache-${dtype}`,
      start,
      shape: { H, G, Hd, window, dtype, slots: T, capacity: start + 1 },
      holds: { rows: rowsOf(T, start), keys: { own: dtype }, values: { own: dtype } },
      bytes: 2 * T * seen * G * Hd * cacheBytes[dtype] + 2 * T * H * Hd * 4,
      operations: 4 * H * Hd * T * seen,
      arithmetic: "f32" as const,
    }));
  }),
  work(
    batchAttentionF16,
    (config, T) => {
      const { numAttentionHeads: H, numKeyValueHeads: G, headDim: Hd, slidingWindow: window } = config;
      if (T > MOST_ROWS || Hd % 8 !== 0 || Hd > 256) return [];
      const start = startOf(config, 1);
      const seen = Math.min(start + 1, window ?? Number.POSITIVE_INFINITY);
      return [1, ...(T <= SPLIT_ROWS ? [4] : [])].map((splits) => ({
        step: `S=${start + 1}`,
        variant: `splits-${splits}`,
        start,
        shape: (limits) => {
          const subgroups = attentionSubgroups(Hd, true, limits);
          return { H, G, Hd, window, slots: T, capacity: start + 1, splits, eights: true, subgroups };
        },
        holds: { rows: rowsOf(T, start), q: "f16" as const, keys: { own: "f16" as const }, values: { own: "f16" as const } },
        bytes: 4 * T * seen * G * Hd + (splits > 1 ? 4 * splits + 2 : 4) * T * H * Hd,
        operations: 4 * H * Hd * T * seen,
        arithmetic: "f32" as const,
      }));
    },
    batchAttention.name,
  ),
  work(batchRope, (config, T) => {
    const { numAttentionHeads: H, numKeyValueHeads: G, headDim: Hd } = config;
    if (T > MOST_ROWS || Hd % 4 !== 0) return [];
    const [A, B] = [H * Hd, G * Hd];
    return (["f32", "f16"] as const).map((dtype) => ({
      step: "qkv",
      variant: `cache-${dtype}`,
      shape: { H, G, Hd, capacity: 1, slots: T, dtype },
      holds: { rows: rowsOf(T, 0) },
      bytes: T * (2 * A * 4 + 2 * B * (4 + cacheBytes[dtype])),
      operations: 3 * T * (A + B),
      arithmetic: "f32" as const,
    }));
  }),
  work(
    batchRopeF16,
    ({ numAttentionHeads: H, numKeyValueHeads: G, headDim: Hd }, T) => {
      if (T > MOST_ROWS || Hd % 4 !== 0) return [];
      const width = (H + 2 * G) * Hd;
      return [
        {
          step: "qkv",
          shape: { H, G, Hd, slots: T, capacity: 1 },
          holds: { rows: rowsOf(T, 0) },
          bytes: 6 * T * width,
          operations: 3 * T * (H + G) * Hd,
          arithmetic: "f32" as const,
        },
      ];
    },
    batchRope.name,
  ),
];
