/**
 * The fused kernels of decoding (gpu/programs/decode.ts): one row, on the shapes and with the workgroups that a session
 * gives them.
 */
import type { LlamaConfig } from "../../core/config.ts";
import { attentionCombine } from "../../gpu/kernels/decode/attention-combine.ts";
import { attentionDecode, SPLIT_KEYS, splitsAt, splitsOf, tuneAttention } from "../../gpu/kernels/decode/attention-decode.ts";
import { awqAddFixed16, tuneAdd } from "../../gpu/kernels/decode/awq-add-fixed16.ts";
import { awqGateUpFixed16, tuneGateUp } from "../../gpu/kernels/decode/awq-gate-up-fixed16.ts";
import { awqQkvRopeFixed16, tuneQkvRope } from "../../gpu/kernels/decode/awq-qkv-rope-fixed16.ts";
import { embedFixed16 } from "../../gpu/kernels/decode/embed-fixed16.ts";
import { headF16 } from "../../gpu/kernels/decode/head-f16.ts";
import { recordKernel } from "../../gpu/pipeline/recorder.ts";
import { blockBytes, digitBytes } from "../../gpu/wgsl/fixed16.ts";
import { workgroupLimits } from "../../gpu/wgsl/teams.ts";
import { CONTEXT, groupOf, type Work, work } from "../measured.ts";

/** One row, where the weights can be repacked and the head dimension is one the kernels know; no cases elsewhere. */
const decode =
  <C>(cases: (config: LlamaConfig) => C[]) =>
  (config: LlamaConfig, T: number): C[] => {
    const { quantization: awq, headDim, hiddenSize, intermediateSize } = config;
    const fits = awq && (awq.groupSize === "whole" || awq.groupSize % 32 === 0) && hiddenSize % 32 === 0 && intermediateSize % 32 === 0;
    return T === 1 && fits && [32, 64, 128, 256].includes(headDim) ? cases(config) : [];
  };

const packed = { weights: { own: "words" }, groups: { own: "groups" } } as const;
const x = { digits: "words" } as const;
const arithmetic = "i8";

/** Attention at a short context, which one workgroup per head goes through, and at a long one, which several share. */
const attentionWork: Work = {
  kernel: attentionDecode.name,
  task: "attention of one row",
  cases: decode((config) => {
    const { numAttentionHeads: H, numKeyValueHeads: G, headDim: Hd, slidingWindow: window } = config;
    return [...new Set([64, CONTEXT].map((S) => Math.min(S, config.maxPositionEmbeddings)))].map((S) => {
      const seen = Math.min(S, window ?? S);
      return {
        step: `S=${S}`,
        start: S - 1,
        counts: { bytes: 4 * seen * G * Hd + 8 * H * Hd, operations: 4 * H * Hd * seen, arithmetic: "f32" as const },
        record(recorder, o) {
          const ways = Object.values(tuneAttention({ H, G, Hd, window }, workgroupLimits(o.memory.gpu.capabilities)));
          const caches = { k_cache: o.own("keys", S * G * Hd * 2, "f16"), v_cache: o.own("values", S * G * Hd * 2, "f16") };
          const stats = o.shared("stats", splitsOf(S) * H * 8, "blank");
          for (const { shape, positions } of ways) {
            const out = shape.split ? o.shared("partial", splitsOf(S) * H * Hd * 4, "blank") : o.shared("out", H * Hd * 4, "blank");
            const buffers = { q: o.shared("q", H * Hd * 4), ...caches, stats, step: o.step, out };
            recordKernel(recorder, attentionDecode, buffers, shape, { positions });
          }
        },
      };
    });
  }),
};

const sum = (sizes: Readonly<Record<string, number>>): number => Object.values(sizes).reduce((total, size) => total + size, 0);

/** The fused kernels that share the linears of a layer. */
const linears: readonly Work[] = [
  work(
    awqAddFixed16,
    decode((config) => {
      const { hiddenSize: N, intermediateSize, numAttentionHeads: H, headDim: Hd } = config;
      return Object.entries({ oProj: H * Hd, downProj: intermediateSize }).map(([step, K]) => {
        const shape = { K, N, group: groupOf(config, K) };
        // The residual is read and written.
        const bytes = sum(awqAddFixed16.sizes({ ...shape, team: 32, teams: 1 }, 1, 0)) + 4 * N;
        return {
          step,
          shape: (limits) => tuneAdd(shape, limits),
          holds: { ...packed, residual: "f32" },
          bytes,
          operations: 2 * K * N,
          arithmetic,
        };
      });
    }),
    "awq linear + residual + next norm",
  ),
  work(
    awqGateUpFixed16,
    decode((config) => {
      const { hiddenSize: K, intermediateSize: F, rmsNormEps: eps } = config;
      const shape = { K, group: groupOf(config, K), eps, F };
      const holds = { ...x, ...packed };
      return [{ step: "gateProj+upProj", shape: (limits) => tuneGateUp(shape, limits), holds, operations: 4 * K * F, arithmetic }];
    }),
    "awq gate, up, silu",
  ),
  work(
    awqQkvRopeFixed16,
    decode((config) => {
      const { hiddenSize: K, numAttentionHeads: H, numKeyValueHeads: G, headDim: Hd, rmsNormEps: eps } = config;
      const shape = { K, group: groupOf(config, K), eps, H, G, Hd };
      const operations = 2 * K * (H + 2 * G) * Hd;
      return [
        { step: "qProj+kProj+vProj", shape: (limits) => tuneQkvRope(shape, limits), holds: { ...x, ...packed }, operations, arithmetic },
      ];
    }),
    "awq q, k, v, rope, cache",
  ),
];

export const works: readonly Work[] = [
  ...linears.map((one) => ({ ...one, way: "fused decode" })),
  attentionWork,
  work(
    attentionCombine,
    decode(({ numAttentionHeads: H, headDim: Hd, maxPositionEmbeddings }) => {
      const S = Math.min(CONTEXT, maxPositionEmbeddings);
      const splits = splitsAt(S - 1, SPLIT_KEYS);
      if (splits < 3) return [];
      const shape = { H, Hd, keys: SPLIT_KEYS, splits: splitsOf(S) };
      return [{ step: `S=${S}`, start: S - 1, shape, operations: 2 * splits * H * Hd, arithmetic: "f32" }];
    }),
    "joining of split attention",
  ),
  work(
    embedFixed16,
    decode(({ hiddenSize: K, vocabSize: rows }) => [
      {
        step: "embedTokens",
        shape: { K, firstRow: 0, rows },
        holds: { embedding: "f16", ids: Uint32Array.of(rows >> 1) },
        bytes: 4 + K * 10 + digitBytes(K) + blockBytes(K),
      },
    ]),
    "embedding + first norm",
  ),
  work(
    headF16,
    decode(({ hiddenSize: K, vocabSize: rows, rmsNormEps: eps }) => [
      {
        step: "lmHead",
        shape: { K, eps, firstRow: 0, rows },
        holds: { weights: { own: "f16" } },
        operations: 2 * rows * K,
        arithmetic: "f32",
      },
    ]),
    "dense linear",
  ),
];
