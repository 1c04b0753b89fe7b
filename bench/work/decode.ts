/**
 * The fused kernels of decoding (gpu/programs/decode.ts): one row, on the shapes and with the workgroups that a session
 * gives them.
 */
import type { LlamaConfig } from "../../core/config.ts";
import { GureumError } from "../../core/errors.ts";
import { attentionCombine } from "../../gpu/kernels/decode/attention-combine.ts";
import { attentionDecode, SPLIT_KEYS, splitsAt, splitsAtOnce, splitsOf, tuneAttention } from "../../gpu/kernels/decode/attention-decode.ts";
import { attentionHeads, tuneHeads } from "../../gpu/kernels/decode/attention-heads.ts";
import { ALONE, attentionShuffle, tuneShuffle } from "../../gpu/kernels/decode/attention-shuffle.ts";
import { awqAddF32 } from "../../gpu/kernels/decode/awq-add-f32.ts";
import { awqAddFixed16 } from "../../gpu/kernels/decode/awq-add-fixed16.ts";
import { awqGateUpF32 } from "../../gpu/kernels/decode/awq-gate-up-f32.ts";
import { awqGateUpFixed16 } from "../../gpu/kernels/decode/awq-gate-up-fixed16.ts";
import { awqQkvRopeF32 } from "../../gpu/kernels/decode/awq-qkv-rope-f32.ts";
import { awqQkvRopeFixed16 } from "../../gpu/kernels/decode/awq-qkv-rope-fixed16.ts";
import { denseAdd } from "../../gpu/kernels/decode/dense-add.ts";
import { denseGateUp } from "../../gpu/kernels/decode/dense-gate-up.ts";
import { denseHead } from "../../gpu/kernels/decode/dense-head.ts";
import { denseQkvRope } from "../../gpu/kernels/decode/dense-qkv-rope.ts";
import { embedFixed16 } from "../../gpu/kernels/decode/embed-fixed16.ts";
import { headNormRope } from "../../gpu/kernels/decode/head-norm-rope.ts";
import { recordKernel } from "../../gpu/pipeline/recorder.ts";
import type { AddKernel } from "../../gpu/wgsl/decode/add.ts";
import type { GateUpKernel } from "../../gpu/wgsl/decode/gate-up.ts";
import type { DenseMatrix, Int4Matrix } from "../../gpu/wgsl/decode/products.ts";
import type { QkvRopeKernel } from "../../gpu/wgsl/decode/qkv-rope.ts";
import { blockBytes, digitBytes } from "../../gpu/wgsl/fixed16.ts";
import { type WorkgroupLimits, workgroupLimits } from "../../gpu/wgsl/teams.ts";
import { CONTEXT, groupOf, type Work, work } from "../measured.ts";
import type { Holdings } from "../operands.ts";
import type { Counts } from "../results.ts";

/** One row, where the head dimension is one the kernels know; no cases elsewhere. */
const decode =
  <C>(cases: (config: LlamaConfig) => C[]) =>
  (config: LlamaConfig, T: number): C[] =>
    T === 1 && config.hiddenSize % 8 === 0 && config.headDim % 8 === 0 && config.headDim <= 256 ? cases(config) : [];

/** The same where int4 weights can be repacked. */
const decodeInt4 = <C>(cases: (config: LlamaConfig) => C[]): ((config: LlamaConfig, T: number) => C[]) =>
  decode((config) => {
    const { quantization, hiddenSize, intermediateSize, numAttentionHeads, headDim } = config;
    const inputs = [hiddenSize, intermediateSize, numAttentionHeads * headDim];
    return quantization && inputs.every((K) => K % 32 === 0 && groupOf(config, K) % 32 === 0) ? cases(config) : [];
  });

const packed = { weights: { own: "words" }, groups: { own: "groups" } } as const;

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
          const ways = Object.values(tuneAttention({ H, G, Hd, window, cache: "f16" }, workgroupLimits(o.memory.gpu.capabilities)));
          const caches = { k_cache: o.own("keys", S * G * Hd * 2, "f16"), v_cache: o.own("values", S * G * Hd * 2, "f16") };
          const splits = splitsOf(S, ways[0]!.shape.atOnce);
          const stats = o.shared("stats", splits * H * 8, "blank");
          for (const { shape, positions } of ways) {
            const out = shape.split ? o.shared("partial", splits * H * Hd * 4, "blank") : o.shared("out", H * Hd * 4, "blank");
            const buffers = { q: o.shared("q", H * Hd * 4), ...caches, stats, step: o.step, out };
            recordKernel(recorder, attentionDecode, buffers, shape, { positions });
          }
        },
      };
    });
  }),
};

/** The same at the longest context that one workgroup per head goes through alone. */
const shuffleWork: Work = {
  kernel: attentionShuffle.name,
  task: "attention of one row",
  cases: decode((config) => {
    const { numAttentionHeads: H, numKeyValueHeads: G, headDim: Hd, slidingWindow: window } = config;
    return [...new Set([64, ALONE].map((S) => Math.min(S, config.maxPositionEmbeddings)))].map((S) => ({
      step: `S=${S}`,
      start: S - 1,
      counts: { bytes: 4 * S * G * Hd + 8 * H * Hd, operations: 4 * H * Hd * S, arithmetic: "f32" as const },
      record(recorder, o) {
        const ways = tuneShuffle({ H, G, Hd, window }, o.memory.gpu.capabilities);
        if (ways.length === 0)
          throw new GureumError("missing-feature", {
            where: `kernel ${attentionShuffle.name}`,
            what: `subgroups of ${Hd / 8} lanes, which heads of ${Hd} want`,
          });
        const caches = { k_cache: o.own("keys", S * G * Hd * 2, "f16"), v_cache: o.own("values", S * G * Hd * 2, "f16") };
        const buffers = { q: o.shared("q", H * Hd * 4), ...caches, step: o.step, out: o.shared("out", H * Hd * 4, "blank") };
        for (const { shape, positions } of ways) recordKernel(recorder, attentionShuffle, buffers, shape, { positions });
      },
    }));
  }),
};

/** The same in splits by four heads at once, at a long context. */
const headsWork: Work = {
  kernel: attentionHeads.name,
  task: "attention of one row",
  cases: decode((config) => {
    const { numAttentionHeads: H, numKeyValueHeads: G, headDim: Hd, slidingWindow: window } = config;
    const shape = tuneHeads({ H, G, Hd, window });
    if (!shape) return [];
    const S = Math.min(CONTEXT, config.maxPositionEmbeddings);
    const seen = Math.min(S, window ?? S);
    return [
      {
        step: `S=${S}`,
        start: S - 1,
        counts: { bytes: 4 * seen * G * Hd + 8 * H * Hd, operations: 4 * H * Hd * seen, arithmetic: "f32" as const },
        record(recorder, o) {
          const splits = splitsAt(S - 1, shape.keys, shape.atOnce);
          const caches = { k_cache: o.own("keys", S * G * Hd * 2, "f16"), v_cache: o.own("values", S * G * Hd * 2, "f16") };
          const out = { out: o.shared("partial", splits * H * Hd * 4, "blank"), stats: o.shared("stats", splits * H * 8, "blank") };
          recordKernel(recorder, attentionHeads, { q: o.shared("q", H * Hd * 4), ...caches, ...out, step: o.step }, shape);
        },
      },
    ];
  }),
};

const sum = (sizes: Readonly<Record<string, number>>): number => Object.values(sizes).reduce((total, size) => total + size, 0);

/** The linears of a layer by a product: shapes with `matrix`, weights held as `weights`. */
function linearWorks<X extends string, W extends string, M extends { readonly K: number }>(
  { add, gateUp, qkvRope }: { add: AddKernel<"x_in", W, M>; gateUp: GateUpKernel<X, W, M>; qkvRope: QkvRopeKernel<X, W, M> },
  cases: typeof decode,
  kind: string,
  matrix: (config: LlamaConfig, K: number) => M,
  holds: Holdings<string>,
  arithmetic: NonNullable<Counts["arithmetic"]>,
): Work[] {
  const measured = { holds, arithmetic } as const;
  return [
    work(
      add,
      cases((config) => {
        const { hiddenSize: N, intermediateSize, numAttentionHeads: H, headDim: Hd } = config;
        return Object.entries({ oProj: H * Hd, downProj: intermediateSize }).map(([step, K]) => {
          const given = { ...matrix(config, K), N };
          // The residual is read and written.
          const bytes = sum(add.sizes({ ...given, team: 32, teams: 1 }, 1, 0)) + 4 * N;
          return { step, shape: (limits: WorkgroupLimits) => add.tune(given, limits), bytes, operations: 2 * K * N, ...measured };
        });
      }),
      `${kind} linear + residual + next norm`,
    ),
    work(
      gateUp,
      cases((config) => {
        const { hiddenSize: K, intermediateSize: F, rmsNormEps: eps } = config;
        const given = { ...matrix(config, K), eps, F };
        return [
          { step: "gateProj+upProj", shape: (limits: WorkgroupLimits) => gateUp.tune(given, limits), operations: 4 * K * F, ...measured },
        ];
      }),
      `${kind} gate, up, silu`,
    ),
    work(
      qkvRope,
      cases((config) => {
        const { hiddenSize: K, numAttentionHeads: H, numKeyValueHeads: G, headDim: Hd, rmsNormEps: eps, qkNorm: raw } = config;
        const given = { ...matrix(config, K), eps, H, G, Hd, cache: "f16" as const, raw };
        const operations = 2 * K * (H + 2 * G) * Hd;
        return [{ step: "qProj+kProj+vProj", shape: (limits: WorkgroupLimits) => qkvRope.tune(given, limits), operations, ...measured }];
      }),
      `${kind} q, k, v, rope, cache`,
    ),
  ];
}

const int4Matrix = (config: LlamaConfig, K: number): Int4Matrix => ({ K, group: groupOf(config, K), hasBias: false });

/** The linears of a layer, by the way that shares them. */
const fixed16Linears = linearWorks(
  { add: awqAddFixed16, gateUp: awqGateUpFixed16, qkvRope: awqQkvRopeFixed16 },
  decodeInt4,
  "awq",
  int4Matrix,
  { ...packed, digits: "words", residual: "f32" },
  "i8",
);
const f32Linears = linearWorks(
  { add: awqAddF32, gateUp: awqGateUpF32, qkvRope: awqQkvRopeF32 },
  decodeInt4,
  "awq",
  int4Matrix,
  packed,
  "f32",
);
const denseLinears = linearWorks(
  { add: denseAdd, gateUp: denseGateUp, qkvRope: denseQkvRope },
  decode,
  "dense",
  (_config, K): DenseMatrix => ({ K, dtype: "F16", hasBias: false }),
  { weights: { own: "f16" } },
  "f32",
);

export const works: readonly Work[] = [
  ...fixed16Linears.map((one) => ({ ...one, way: "fused decode" })),
  ...f32Linears.map((one) => ({ ...one, way: "fused decode in f32" })),
  ...denseLinears.map((one) => ({ ...one, way: "fused decode of dense weights" })),
  attentionWork,
  shuffleWork,
  headsWork,
  work(
    attentionCombine,
    decode(({ numAttentionHeads: H, numKeyValueHeads: G, headDim: Hd, maxPositionEmbeddings }) => {
      const S = Math.min(CONTEXT, maxPositionEmbeddings);
      const atOnce = splitsAtOnce(H, G);
      const splits = splitsAt(S - 1, SPLIT_KEYS, atOnce);
      if (splits < 3) return [];
      const shape = { H, Hd, keys: SPLIT_KEYS, atOnce, splits: splitsOf(S, atOnce) };
      return [{ step: `S=${S}`, start: S - 1, shape, operations: 2 * splits * H * Hd, arithmetic: "f32" }];
    }),
    "joining of split attention",
  ),
  work(
    embedFixed16,
    decode(({ hiddenSize: K, vocabSize: rows }) => [
      {
        step: "embedTokens",
        shape: { dtype: "F16", K, firstRow: 0, rows },
        holds: { embedding: "f16", ids: Uint32Array.of(rows >> 1) },
        bytes: 4 + K * 10 + digitBytes(K) + blockBytes(K),
      },
    ]),
    "embedding + first norm",
  ),
  work(
    denseHead,
    decode(({ hiddenSize: K, vocabSize: rows, rmsNormEps: eps }) =>
      (["F16", "BF16"] as const).map((dtype) => ({
        step: "lmHead",
        ...(dtype === "F16" ? {} : { variant: dtype.toLowerCase() }),
        shape: { K, dtype, eps, firstRow: 0, rows },
        holds: { weights: { own: "f16" } },
        operations: 2 * rows * K,
        arithmetic: "f32" as const,
      })),
    ),
    "dense linear",
  ),
  work(
    headNormRope,
    decode(({ numAttentionHeads: H, numKeyValueHeads: G, headDim: Hd, rmsNormEps: eps }) => [
      { step: "norms of heads", shape: { eps, H, G, Hd, cache: "f16" }, operations: 6 * (H + G) * Hd, arithmetic: "f32" },
    ]),
    "norms of heads, rope, cache",
  ),
];
