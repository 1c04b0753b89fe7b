/** Prefill by subgroup matrices: many rows, activations as f16 or as digits of fixed16, and the steps that bring them into that form. */
import type { LlamaConfig } from "../../core/config.ts";
import { recordAttentionPrefillMatrix } from "../../gpu/kernels/prefill/attention-prefill-matrix.ts";
import { recordAwqPrefillF16Matrix } from "../../gpu/kernels/prefill/awq-prefill-f16-matrix.ts";
import { recordAwqPrefillFixed16Matrix } from "../../gpu/kernels/prefill/awq-prefill-fixed16-matrix.ts";
import { ROWS16, recordAwqRows16F16Matrix, rows16Pieces } from "../../gpu/kernels/prefill/awq-rows16-f16-matrix.ts";
import { recordPrefillDigits } from "../../gpu/kernels/prefill/prefill-digits.ts";
import { recordPrefillNormF16 } from "../../gpu/kernels/prefill/prefill-norm-f16.ts";
import { recordPrefillRopeF16 } from "../../gpu/kernels/prefill/prefill-rope-f16.ts";
import { recordPrefillRowsF16 } from "../../gpu/kernels/prefill/prefill-rows-f16.ts";
import { recordPrefillSiluMulF16 } from "../../gpu/kernels/prefill/prefill-silu-mul-f16.ts";
import type { Recorder } from "../../gpu/pipeline/recorder.ts";
import { DIGITS_BLOCK } from "../../gpu/wgsl/digits.ts";
import type { Operands } from "../operands.ts";
import { packedBytes } from "./linears.ts";
import { startOf, type Work, type WorkCase } from "./work.ts";

/** Rows that a buffer has room for: the tiles of the matrix kernels are whole. */
const padded = (T: number): number => 128 * Math.ceil(T / 128);

interface Product {
  readonly step: string;
  readonly K: number;
  readonly N: number;
  readonly add: boolean;
  /** Pieces in which at most 16 rows are left (gpu/programs/prefill-operands.ts). */
  readonly pieces: number;
}

/** The products of a layer as prefill makes them: q, k, v in one, gate and up in one. */
function products(config: LlamaConfig): Product[] {
  const { hiddenSize: D, intermediateSize: F, numAttentionHeads: H, numKeyValueHeads: G, headDim: Hd } = config;
  return [
    { step: "qProj+kProj+vProj", K: D, N: (H + 2 * G) * Hd, add: false },
    { step: "oProj", K: H * Hd, N: D, add: true },
    { step: "gateProj+upProj", K: D, N: 2 * F, add: false, pieces: 1 },
    { step: "downProj", K: F, N: D, add: true },
  ].map((product) => ({ pieces: rows16Pieces(product.K, product.N), ...product }));
}

/** Every product of a layer by a kernel, for the rows that it takes. */
function product(
  kernel: string,
  takes: (T: number) => boolean,
  recordIt: (
    recorder: Recorder,
    buffers: Record<"x" | "weights" | "groups" | "y", GPUBuffer>,
    shape: Omit<Product, "step"> & { group: number },
  ) => void,
): Work {
  return {
    kernel,
    task: "awq product of prefill",
    cases(config, T) {
      const { quantization: awq } = config;
      if (!takes(T) || !awq) return [];
      return products(config).flatMap(({ step, ...shape }): WorkCase[] => {
        const { K, N, add } = shape;
        const group = awq.groupSize === "whole" ? K : awq.groupSize;
        if (N % 128 !== 0 || K % 64 !== 0 || group % 64 !== 0) return [];
        const { weights, groups } = packedBytes(K, N, group);
        const bytes = weights + groups + T * (K * 2 + N * (add ? 8 : 4));
        return [
          {
            step,
            start: 0,
            counts: { bytes, operations: 2 * T * K * N, arithmetic: "matrix f16" },
            record(recorder, o) {
              const buffers = {
                x: o.shared("x", padded(T) * K * 2, "f16"),
                weights: o.own("weights", weights, "words"),
                groups: o.own("groups", groups, "groups"),
                y: o.shared("y", padded(T) * N * 4, "blank"),
              };
              recordIt(recorder, buffers, { ...shape, group });
            },
          },
        ];
      });
    },
  };
}

/** The same products in exact integers: two digits make two products of each. */
const exactProduct: Work = {
  kernel: "awq-prefill-fixed16-matrix",
  task: "awq product of prefill",
  cases(config, T) {
    const { quantization: awq } = config;
    if (T === 1 || !awq) return [];
    return products(config).flatMap(({ step, K, N, add }): WorkCase[] => {
      const group = awq.groupSize === "whole" ? K : awq.groupSize;
      if ([N, K, group].some((size) => size % DIGITS_BLOCK !== 0)) return [];
      const { weights, groups } = packedBytes(K, N, group);
      const scaleBytes = (K / DIGITS_BLOCK) * 4;
      return [
        {
          step,
          start: 0,
          counts: {
            bytes: weights + groups + T * (K * 2 + scaleBytes + N * (add ? 8 : 4)),
            operations: 4 * T * K * N,
            arithmetic: "matrix i8",
          },
          record(recorder, o) {
            const buffers = {
              digits: o.shared("digits", padded(T) * K * 2, "words"),
              scales: o.shared("digit scales", padded(T) * scaleBytes),
              weights: o.own("weights", weights, "words"),
              groups: o.own("groups", groups, "groups"),
              y: o.shared("y", padded(T) * N * 4, "blank"),
            };
            recordAwqPrefillFixed16Matrix(recorder, buffers, { K, N, group, add });
          },
        },
      ];
    });
  },
};

/** What is left for the steps after the products to join: of the residual after down_proj, and of q, k, v. */
function piecesLeft(config: LlamaConfig, T: number): { residual: number; qkv: number } {
  if (T > ROWS16) return { residual: 0, qkv: 1 };
  const [qkv, , , down] = products(config).map(({ pieces }) => pieces);
  return { residual: down!, qkv: qkv! };
}

/** A step that reads `reads` and writes `writes` bytes a row. */
function rowStep(
  kernel: string,
  step: string,
  sizes: (config: LlamaConfig, T: number) => { reads: number; writes: number; operations: number },
  recordIt: (recorder: Recorder, o: Operands, config: LlamaConfig, T: number) => void,
): Work {
  return {
    kernel,
    task: kernel,
    cases(config, T) {
      if (T === 1) return [];
      const { reads, writes, operations } = sizes(config, T);
      const counts: WorkCase["counts"] = { bytes: T * (reads + writes), operations: T * operations, arithmetic: "f32" };
      return [{ step, start: startOf(config, T), counts, record: (recorder, o) => recordIt(recorder, o, config, T) }];
    },
  };
}

export const prefillWorks: readonly Work[] = [
  product("awq-prefill-f16-matrix", (T) => T > 1, recordAwqPrefillF16Matrix),
  product("awq-rows16-f16-matrix", (T) => T > 1 && T <= ROWS16, recordAwqRows16F16Matrix),
  exactProduct,
  {
    kernel: "attention-prefill-matrix",
    task: "attention of prefill",
    cases(config, T) {
      const { numAttentionHeads: H, numKeyValueHeads: G, headDim: Hd, slidingWindow: window } = config;
      if (T === 1 || ![32, 64, 128].includes(Hd)) return [];
      const start = startOf(config, T);
      let pairs = 0;
      for (let t = start; t < start + T; t++) pairs += Math.min(t + 1, window ?? t + 1);
      const S = window === null ? start + T : Math.min(start + T, window + T - 1);
      return [
        {
          step: `S=${start + T}`,
          variant: "cache-f16",
          start,
          counts: { bytes: 4 * S * G * Hd + T * H * Hd * 6, operations: 4 * H * Hd * pairs, arithmetic: "matrix f16" },
          record(recorder, o) {
            const cache = (label: string): GPUBuffer => o.own(label, padded(start + T) * G * Hd * 2, "f16");
            const rows = padded(T) * H * Hd;
            const buffers = { q: o.shared("q", rows * 2, "f16"), k_cache: cache("keys"), v_cache: cache("values") };
            const out = o.shared("out", rows * 4, "blank");
            recordAttentionPrefillMatrix(recorder, { ...buffers, out, step: o.step }, { H, G, Hd, window });
          },
        },
      ];
    },
  },
  rowStep(
    "prefill-digits",
    "hidden",
    ({ hiddenSize: K }) => ({ reads: 4 * K, writes: 2 * K + (K / DIGITS_BLOCK) * 4, operations: 4 * K }),
    (recorder, o, { hiddenSize: K }, T) => {
      const outputs = { digits: o.shared("digits", T * K * 2, "blank"), scales: o.shared("scales", T * (K / DIGITS_BLOCK) * 4, "blank") };
      recordPrefillDigits(recorder, { x: o.shared("x", T * K * 4), ...outputs }, { K });
    },
  ),
  rowStep(
    "prefill-norm-f16",
    "hidden",
    (config, T) => {
      const { hiddenSize: K } = config;
      const pieces = piecesLeft(config, T).residual;
      return { reads: 4 * K * (1 + pieces), writes: 2 * K + (pieces > 0 ? 4 * K : 0), operations: (4 + pieces) * K };
    },
    (recorder, o, config, T) => {
      const { hiddenSize: K, rmsNormEps: eps } = config;
      const buffers = { residual: o.shared("residual", padded(T) * K * 4), norm: o.shared("norm", K * 4) };
      const { residual: pieces } = piecesLeft(config, T);
      recordPrefillNormF16(recorder, { ...buffers, x: o.shared("x", T * K * 2, "blank") }, { K, eps, pieces });
    },
  ),
  rowStep(
    "prefill-rope-f16",
    "qkv",
    (config, T) => {
      const { numAttentionHeads: H, numKeyValueHeads: G, headDim: Hd } = config;
      const { qkv } = piecesLeft(config, T);
      return {
        reads: 4 * qkv * (H + 2 * G) * Hd,
        writes: 2 * (H + 2 * G) * Hd,
        operations: 3 * (H + G) * Hd + (qkv - 1) * (H + 2 * G) * Hd,
      };
    },
    (recorder, o, config, T) => {
      const { numAttentionHeads: H, numKeyValueHeads: G, headDim: Hd } = config;
      const S = startOf(config, T) + T;
      const buffers = {
        y: o.shared("y", padded(T) * (H + 2 * G) * Hd * 4),
        table: o.shared("table", S * Hd * 4),
        q: o.shared("q", T * H * Hd * 2, "blank"),
        k_cache: o.shared("keys", S * G * Hd * 2, "blank"),
        v_cache: o.shared("values", S * G * Hd * 2, "blank"),
        step: o.step,
      };
      recordPrefillRopeF16(recorder, buffers, { H, G, Hd }, piecesLeft(config, T).qkv);
    },
  ),
  rowStep(
    "prefill-rows-f16",
    "attention",
    ({ numAttentionHeads: H, headDim: Hd }) => ({ reads: 4 * H * Hd, writes: 2 * H * Hd, operations: H * Hd }),
    (recorder, o, { numAttentionHeads: H, headDim: Hd }, T) => {
      const K = H * Hd;
      recordPrefillRowsF16(recorder, { y: o.shared("y", T * K * 4), x: o.shared("x", T * K * 2, "blank") }, { K });
    },
  ),
  rowStep(
    "prefill-silu-mul-f16",
    "ffn",
    ({ intermediateSize: F }) => ({ reads: 8 * F, writes: 2 * F, operations: 5 * F }),
    (recorder, o, { intermediateSize: F }, T) =>
      recordPrefillSiluMulF16(recorder, { y: o.shared("y", T * 2 * F * 4), x: o.shared("x", T * F * 2, "blank") }, { F }),
  ),
];
