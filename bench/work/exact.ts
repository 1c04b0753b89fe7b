/** The kernels of the arithmetic exact: integers only, so what they hold does not matter for their time, but that weights are all different. */
import type { LlamaConfig } from "../../core/config.ts";
import { exactAdd } from "../../gpu/kernels/exact/exact-add.ts";
import { exactAttentionRow, partsOf, ROW_KEYS } from "../../gpu/kernels/exact/exact-attention-row.ts";
import { exactAwq } from "../../gpu/kernels/exact/exact-awq.ts";
import { exactAwqColumns } from "../../gpu/kernels/exact/exact-awq-columns.ts";
import { exactAwqColumns4 } from "../../gpu/kernels/exact/exact-awq-columns-4.ts";
import { exactAwqMatrix } from "../../gpu/kernels/exact/exact-awq-matrix.ts";
import { exactAwqMatrix4 } from "../../gpu/kernels/exact/exact-awq-matrix-4.ts";
import { exactAwqRow, tuneRow } from "../../gpu/kernels/exact/exact-awq-row.ts";
import { exactAwqStored } from "../../gpu/kernels/exact/exact-awq-stored.ts";
import { exactAwqTile } from "../../gpu/kernels/exact/exact-awq-tile.ts";
import { exactAwqWords, tuneWords } from "../../gpu/kernels/exact/exact-awq-words.ts";
import { exactDense } from "../../gpu/kernels/exact/exact-dense.ts";
import { exactDenseMatrix } from "../../gpu/kernels/exact/exact-dense-matrix.ts";
import { exactDenseTile } from "../../gpu/kernels/exact/exact-dense-tile.ts";
import { exactDigits } from "../../gpu/kernels/exact/exact-digits.ts";
import { exactEmbedding } from "../../gpu/kernels/exact/exact-embedding.ts";
import { exactGreedy } from "../../gpu/kernels/exact/exact-greedy.ts";
import { exactGreedyParts } from "../../gpu/kernels/exact/exact-greedy-parts.ts";
import { exactHandedDigits, HANDED_LANES } from "../../gpu/kernels/exact/exact-handed-digits.ts";
import { exactMix } from "../../gpu/kernels/exact/exact-mix.ts";
import { exactMixMatrix } from "../../gpu/kernels/exact/exact-mix-matrix.ts";
import { exactNorm } from "../../gpu/kernels/exact/exact-norm.ts";
import { exactNormDigits } from "../../gpu/kernels/exact/exact-norm-digits.ts";
import { type ExactAttentionShape, exactRope } from "../../gpu/kernels/exact/exact-rope.ts";
import { exactScaleBases } from "../../gpu/kernels/exact/exact-scale-bases.ts";
import { type ExactAttentionPart, exactScores } from "../../gpu/kernels/exact/exact-scores.ts";
import { exactScoresMatrix } from "../../gpu/kernels/exact/exact-scores-matrix.ts";
import { exactSiluDigits } from "../../gpu/kernels/exact/exact-silu-digits.ts";
import { exactSiluMul } from "../../gpu/kernels/exact/exact-silu-mul.ts";
import { exactSoftmax } from "../../gpu/kernels/exact/exact-softmax.ts";
import { MANY_ROWS } from "../../gpu/programs/exact-linears.ts";
import type { WorkgroupLimits } from "../../gpu/wgsl/teams.ts";
import { pairsSeen, startOf, type Work, work } from "../measured.ts";

const heads = ({ numAttentionHeads: H, numKeyValueHeads: G, headDim: Hd, slidingWindow: window }: LlamaConfig): ExactAttentionShape => ({
  H,
  G,
  Hd,
  window,
});

/** Rows of scores as long as what is seen. */
const part = (config: LlamaConfig, T: number): ExactAttentionPart => ({
  ...heads(config),
  stride: startOf(config, T) + T,
  first: 0,
  rows: T,
});

/** The linears of a layer: inputs, outputs and digits of the input. */
const linears = ({ hiddenSize: D, intermediateSize: F, numAttentionHeads: H, numKeyValueHeads: G, headDim: Hd }: LlamaConfig) =>
  [
    { step: "qProj+kProj+vProj", K: D, N: (H + 2 * G) * Hd, P: 3 },
    { step: "oProj", K: H * Hd, N: D, P: 3 },
    { step: "gateProj+upProj", K: D, N: 2 * F, P: 3 },
    { step: "downProj", K: F, N: D, P: 4 },
  ] as const;

const groupSize = 128;

export const works: readonly Work[] = [
  work(exactAwq, (config, T) =>
    linears(config).map(({ step, K, N, P }) => ({
      step,
      shape: { K, N, P, hasBias: false, adds: false, tile: T === 1 ? 1 : 4, groupSize, unit: 4, firstRow: 0 },
      holds: { digits: "words", weights: { own: "words" }, groups: { own: "groups" } },
      operations: 2 * T * N * K,
      arithmetic: "i8",
    })),
  ),
  work(exactAwqRow, ({ intermediateSize: F, ...config }) =>
    linears({ intermediateSize: F, ...config }).map(({ step, K, N, P }) => {
      const paired = step === "gateProj+upProj";
      const shape = {
        K,
        N: paired ? F : N,
        P,
        hasBias: false,
        adds: false,
        groupSize,
        firstRow: 0,
        paired,
        spread: 5,
        unit: 4,
        ...tuneRow(K, N, 4),
      };
      return {
        step,
        shape,
        holds: { digits: "words", weights: { own: "words" }, groups: { own: "groups" } },
        operations: 2 * N * K,
        arithmetic: "i8",
      };
    }),
  ),
  work(exactAwqWords, ({ intermediateSize: F, ...config }) =>
    linears({ intermediateSize: F, ...config }).map(({ step, K, N, P }) => {
      const paired = step === "gateProj+upProj";
      const norm = step === "oProj" || step === "downProj" ? null : { inverse: 0x39800000, eps: 0x3727c5ac };
      const given = { K, N: paired ? F : N, P, hasBias: false, adds: false, groupSize, firstRow: 0, paired, spread: 5, unit: 4, norm };
      return {
        step,
        shape: (limits: WorkgroupLimits) => tuneWords(given, limits),
        holds: { weights: { own: "words" }, groups: { own: "groups" } },
        operations: 2 * N * K,
        arithmetic: "i8",
      };
    }),
  ),
  ...(
    [
      [exactAwqTile, [3, 4]],
      [exactAwqMatrix, [3]],
      [exactAwqMatrix4, [4]],
      [exactAwqColumns, [3]],
      [exactAwqColumns4, [4]],
    ] as const
  ).map(([kernel, digits]) =>
    work(kernel, (config, T) =>
      linears(config)
        .filter(({ P }) => T >= MANY_ROWS && digits.some((d) => d === P))
        .map(({ step, K, N, P }) => ({
          step,
          shape: { K, N, P, hasBias: false, adds: false, groupSize, unit: 4, firstRow: 0, spread: 3 },
          holds: { digits: "words", weights: { own: "words" }, groups: { own: "groups" }, bases: "blank" },
          operations: 2 * T * N * K,
          arithmetic: "i8",
        })),
    ),
  ),
  work(exactScaleBases, (config) =>
    linears(config).map(({ step, K, N: rows }) => ({
      step,
      shape: { K, rows, groupSize, unit: 4 },
      holds: { weights: { own: "words" }, groups: "groups" },
    })),
  ),
  work(exactAwqStored, (config, T) =>
    linears(config).map(({ step, K, N, P }) => ({
      step,
      shape: { K, N, P, hasBias: false, adds: false, tile: 1, groupSize, firstColumn: 0, columns: N },
      holds: { digits: "words", qweight: { own: "words" }, qzeros: { own: "words" }, scales: { own: "f16" } },
      operations: 2 * T * N * K,
      arithmetic: "i8",
    })),
  ),
  work(exactDense, ({ hiddenSize: K, vocabSize: N }, T) => [
    {
      step: "lmHead",
      shape: { K, N, P: 3 as const, hasBias: false, adds: false, tile: T === 1 ? 1 : 4, firstColumn: 0, columns: N },
      holds: { digits: "words", weights: { own: "words" } },
      operations: 2 * T * N * K,
      arithmetic: "i8",
    },
  ]),
  ...[exactDenseTile, exactDenseMatrix].map((kernel) =>
    work(kernel, ({ hiddenSize: K, vocabSize: N }, T) =>
      T < MANY_ROWS
        ? []
        : [
            {
              step: "lmHead",
              shape: { K, N, P: 3 as const, hasBias: false, adds: false, firstColumn: 0, columns: N },
              holds: { digits: "words", weights: { own: "words" } },
              operations: 2 * T * N * K,
              arithmetic: "i8",
            },
          ],
    ),
  ),
  work(exactDigits, ({ hiddenSize: D, intermediateSize: F }) => [
    { step: "hidden", shape: { K: D, P: 3 as const } },
    { step: "ffn", shape: { K: F, P: 4 as const } },
  ]),
  work(exactHandedDigits, ({ intermediateSize: F }) => [
    { step: "ffn", shape: { K: F, P: 4 as const, tops: 132, lanes: HANDED_LANES, unit: 4 } },
  ]),
  work(exactNorm, ({ hiddenSize: D }) => [{ step: "hidden", shape: { D, inverse: 0x39800000, eps: 0x3727c5ac } }]),
  work(exactNormDigits, ({ hiddenSize: D }) => [
    { step: "hidden", shape: { D, inverse: 0x39800000, eps: 0x3727c5ac, lanes: 256, parts: 4, unit: 1 } },
  ]),
  work(exactEmbedding, ({ hiddenSize: D, vocabSize: rows }, T) => [
    {
      step: "embedTokens",
      shape: { dtype: "F16" as const, D, firstRow: 0, rows },
      holds: { table: "f16", ids: Uint32Array.from({ length: T }, (_, i) => (i * 2654435761) % rows) },
      bytes: T * (4 + D * 6),
    },
  ]),
  work(exactRope, (config, T) => [{ step: "qkv", start: startOf(config, T), shape: { ...heads(config), factor: 0x3e000000 } }]),
  ...[exactScores, exactScoresMatrix].map((kernel) =>
    work(kernel, (config, T) =>
      kernel === exactScoresMatrix && T < MANY_ROWS
        ? []
        : [
            {
              step: "attention",
              start: startOf(config, T),
              shape: part(config, T),
              holds: { queries: "words", keys: { own: "words" } },
              operations: 2 * config.numAttentionHeads * config.headDim * pairsSeen(T, startOf(config, T), config.slidingWindow),
              arithmetic: "i8",
            },
          ],
    ),
  ),
  work(exactSoftmax, (config, T) => [{ step: "attention", start: startOf(config, T), shape: part(config, T), holds: { scores: "f32" } }]),
  ...[exactMix, exactMixMatrix].map((kernel) =>
    work(kernel, (config, T) =>
      kernel === exactMixMatrix && T < MANY_ROWS
        ? []
        : [
            {
              step: "attention",
              start: startOf(config, T),
              shape: part(config, T),
              holds: { scores: "words", values: { own: "words" } },
              operations: 2 * config.numAttentionHeads * config.headDim * pairsSeen(T, startOf(config, T), config.slidingWindow),
              arithmetic: "i8",
            },
          ],
    ),
  ),
  work(exactAttentionRow, (config) => {
    const start = Math.min(startOf(config, 1), ROW_KEYS - 1);
    const operations = 4 * config.numAttentionHeads * config.headDim * pairsSeen(1, start, config.slidingWindow);
    const parts = partsOf({ H: config.numAttentionHeads, Hd: config.headDim });
    return [{ step: "attention", start, shape: { ...heads(config), factor: 0x3e000000, parts }, operations, arithmetic: "i8" }];
  }),
  work(exactSiluDigits, ({ intermediateSize: K }, T) => (T < MANY_ROWS ? [] : [{ step: "ffn", shape: { K }, holds: { gate: "f32" } }])),
  work(exactSiluMul, ({ intermediateSize: width }) => [{ step: "ffn", shape: { width }, holds: { gate: "f32" } }]),
  work(exactGreedyParts, ({ vocabSize: V }) => [{ step: "logits", shape: { V }, holds: { logits: "f32" } }]),
  work(exactGreedy, () => [{ step: "logits", shape: {}, holds: { step: { own: "blank" }, results: { byteLength: 1 << 20 } } }]),
  work(exactAdd, ({ hiddenSize: width }) => [{ step: "hidden", shape: { width }, holds: { x: "f32" } }]),
];
