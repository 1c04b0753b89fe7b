/** The fused kernels of decoding (gpu/programs/decode.ts): one row, on the shapes and with the workgroups that a session gives them. */
import type { LlamaConfig } from "../../core/config.ts";
import { recordAttentionCombine } from "../../gpu/kernels/decode/attention-combine.ts";
import { recordAwqAddFixed16 } from "../../gpu/kernels/decode/awq-add-fixed16.ts";
import { recordAwqGateUpFixed16 } from "../../gpu/kernels/decode/awq-gate-up-fixed16.ts";
import { recordAwqQkvRopeFixed16 } from "../../gpu/kernels/decode/awq-qkv-rope-fixed16.ts";
import { recordEmbedFixed16 } from "../../gpu/kernels/decode/embed-fixed16.ts";
import { recordHeadF16 } from "../../gpu/kernels/decode/head-f16.ts";
import {
  addTeams,
  decodeAttention,
  lanesOf,
  limitsOf,
  perOf,
  recordDecodeAttention,
  SPLIT_KEYS,
  splitsOf,
  teamOf,
} from "../../gpu/programs/decode.ts";
import type { Operands } from "../operands.ts";
import { packedBytes } from "./linears.ts";
import { CONTEXT, type Work, type WorkCase } from "./work.ts";

/** Bytes of K activations as digits, and of their blocks. */
const digitBytes = (K: number): number => 2 * K;
const blockBytes = (K: number): number => K / 2;

const digits = (o: Operands, K: number) => ({
  digits: o.shared("digits", digitBytes(K), "words"),
  blocks: o.shared("blocks", blockBytes(K), "f32"),
});
const outDigits = (o: Operands, K: number) => ({
  out_digits: o.shared("digits out", digitBytes(K), "blank"),
  out_blocks: o.shared("blocks out", blockBytes(K), "blank"),
});

/** Only one row, and only where the weights can be repacked and the head dimension is one the kernels know. */
function decodeOnly(cases: (config: LlamaConfig, groupOf: (K: number) => number) => WorkCase[]): Work["cases"] {
  return (config, T) => {
    const { quantization: awq, headDim, hiddenSize, intermediateSize } = config;
    if (T > 1 || !awq || ![32, 64, 128, 256].includes(headDim) || hiddenSize % 32 !== 0 || intermediateSize % 32 !== 0) return [];
    const { groupSize } = awq;
    if (groupSize !== "whole" && groupSize % 32 !== 0) return [];
    return cases(config, (K) => (groupSize === "whole" ? K : groupSize));
  };
}

function packed(o: Operands, K: number, N: number, group: number): { weights: GPUBuffer; groups: GPUBuffer } {
  const { weights, groups } = packedBytes(K, N, group);
  return { weights: o.own("weights", weights, "words"), groups: o.own("groups", groups, "groups") };
}

const linearCounts = (K: number, N: number, group: number, otherBytes: number): WorkCase["counts"] => {
  const { weights, groups } = packedBytes(K, N, group);
  return { bytes: weights + groups + otherBytes, operations: 2 * K * N, arithmetic: "i8" };
};

/** Attention at a short context, which one workgroup a head goes through, and at a long one, which several share. */
const contexts = ({ maxPositionEmbeddings }: LlamaConfig): number[] => [
  ...new Set([64, CONTEXT].map((S) => Math.min(S, maxPositionEmbeddings))),
];

export const fusedWorks: readonly Work[] = [
  {
    kernel: "awq-add-fixed16",
    task: "awq linear + residual + next norm",
    cases: decodeOnly(({ hiddenSize: N, intermediateSize, numAttentionHeads, headDim }, groupOf) =>
      [
        { step: "oProj", K: numAttentionHeads * headDim },
        { step: "downProj", K: intermediateSize },
      ].map(({ step, K }) => ({
        step,
        start: 0,
        counts: linearCounts(K, N, groupOf(K), K * 4 + N * 16 + digitBytes(N) + blockBytes(N)),
        record(recorder, o) {
          const buffers = {
            x_in: o.shared("x", K * 4),
            ...packed(o, K, N, groupOf(K)),
            residual: o.shared("residual", N * 4),
            next_norm: o.shared("norm", N * 4),
            scaled: o.shared("scaled", N * 4, "blank"),
            ...outDigits(o, N),
          };
          recordAwqAddFixed16(recorder, buffers, { K, group: groupOf(K), ...addTeams(K, limitsOf(o.memory.gpu)), N });
        },
      })),
    ),
  },
  {
    kernel: "awq-gate-up-fixed16",
    task: "awq gate, up, silu",
    cases: decodeOnly(({ hiddenSize: K, intermediateSize: F, rmsNormEps: eps }, groupOf) => [
      {
        step: "gateProj+upProj",
        start: 0,
        counts: linearCounts(K, 2 * F, groupOf(K), digitBytes(K) + blockBytes(K) + F * 4),
        record(recorder, o) {
          const limits = limitsOf(o.memory.gpu);
          const team = teamOf(K, lanesOf(limits));
          const buffers = { ...digits(o, K), ...packed(o, K, 2 * F, groupOf(K)), h: o.shared("h", F * 4, "blank") };
          recordAwqGateUpFixed16(recorder, buffers, { K, group: groupOf(K), team, eps, F, per: perOf(F, team, limits) });
        },
      },
    ]),
  },
  {
    kernel: "awq-qkv-rope-fixed16",
    task: "awq q, k, v, rope, cache",
    cases: decodeOnly(({ hiddenSize: K, numAttentionHeads: H, numKeyValueHeads: G, headDim: Hd, rmsNormEps: eps }, groupOf) => {
      const N = (H + 2 * G) * Hd;
      return [
        {
          step: "qProj+kProj+vProj",
          start: 0,
          counts: linearCounts(K, N, groupOf(K), digitBytes(K) + blockBytes(K) + Hd * 4 + H * Hd * 4 + 2 * G * Hd * 2),
          record(recorder, o) {
            const team = teamOf(K, lanesOf(limitsOf(o.memory.gpu)));
            const buffers = {
              ...digits(o, K),
              ...packed(o, K, N, groupOf(K)),
              rotations: o.shared("rotations", Hd * 4),
              q_out: o.shared("q", H * Hd * 4, "blank"),
              k_cache: o.shared("keys", G * Hd * 2, "blank"),
              v_cache: o.shared("values", G * Hd * 2, "blank"),
              step: o.step,
            };
            recordAwqQkvRopeFixed16(recorder, buffers, { K, group: groupOf(K), team, eps, H, G, Hd });
          },
        },
      ];
    }),
  },
  {
    kernel: "attention-decode",
    task: "attention of one row",
    cases: decodeOnly((config) =>
      contexts(config).map((S) => {
        const { numAttentionHeads: H, numKeyValueHeads: G, headDim: Hd, slidingWindow: window } = config;
        const seen = Math.min(S, window ?? S);
        return {
          step: `S=${S}`,
          start: S - 1,
          counts: { bytes: 4 * seen * G * Hd + 8 * H * Hd, operations: 4 * H * Hd * seen, arithmetic: "f32" },
          record(recorder, o) {
            const buffers = {
              q: o.shared("q", H * Hd * 4),
              k_cache: o.own("keys", S * G * Hd * 2, "f16"),
              v_cache: o.own("values", S * G * Hd * 2, "f16"),
              stats: o.shared("stats", splitsOf(S) * H * 8, "blank"),
              step: o.step,
              joined: o.shared("joined", H * Hd * 4, "blank"),
              partial_: o.shared("partial", splitsOf(S) * H * Hd * 4, "blank"),
            };
            recordDecodeAttention(recorder, buffers, decodeAttention(config, limitsOf(o.memory.gpu)));
          },
        };
      }),
    ),
  },
  {
    kernel: "attention-combine",
    task: "joining of split attention",
    cases: decodeOnly((config) => {
      const { numAttentionHeads: H, headDim: Hd } = config;
      const S = Math.min(CONTEXT, config.maxPositionEmbeddings);
      const splits = Math.ceil(S / SPLIT_KEYS);
      if (splits < 3) return [];
      return [
        {
          step: `S=${S}`,
          start: S - 1,
          counts: { bytes: splits * H * (Hd * 4 + 8) + H * Hd * 4, operations: 2 * splits * H * Hd, arithmetic: "f32" },
          record(recorder, o) {
            const buffers = {
              partial_: o.shared("partial", splitsOf(S) * H * Hd * 4),
              stats: o.shared("stats", splitsOf(S) * H * 8),
              joined: o.shared("joined", H * Hd * 4, "blank"),
              step: o.step,
            };
            recordAttentionCombine(recorder, buffers, decodeAttention(config, limitsOf(o.memory.gpu)).more.shape, splitsOf(S));
          },
        },
      ];
    }),
  },
  {
    kernel: "embed-fixed16",
    task: "embedding + first norm",
    cases: decodeOnly(({ hiddenSize: K, vocabSize: rows }) => [
      {
        step: "embedTokens",
        start: 0,
        counts: { bytes: 4 + K * 10 + digitBytes(K) + blockBytes(K) },
        record(recorder, o) {
          const buffers = {
            embedding: o.shared("table", rows * K * 2, "f16"),
            ids: o.given("ids", Uint32Array.of(rows >> 1), "storage"),
            norm: o.shared("norm", K * 4),
            residual: o.shared("residual", K * 4, "blank"),
            ...outDigits(o, K),
          };
          recordEmbedFixed16(recorder, buffers, { K, firstRow: 0, rows });
        },
      },
    ]),
  },
  {
    kernel: "head-f16",
    task: "dense linear",
    cases: decodeOnly(({ hiddenSize: K, vocabSize: rows, rmsNormEps: eps }) => [
      {
        step: "lmHead",
        start: 0,
        counts: { bytes: rows * K * 2 + K * 4 + blockBytes(K) + rows * 4, operations: 2 * rows * K, arithmetic: "f32" },
        record(recorder, o) {
          const buffers = {
            scaled: o.shared("scaled", K * 4),
            blocks: o.shared("blocks", blockBytes(K)),
            weights: o.own("weight", rows * K * 2, "f16"),
            logits: o.shared("logits", rows * 4, "blank"),
          };
          recordHeadF16(recorder, buffers, { K, eps, firstRow: 0, rows });
        },
      },
    ]),
  },
];
