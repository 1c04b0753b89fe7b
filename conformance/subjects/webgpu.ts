/** GPU kernels as subjects: one for every kernel of gpu/kernels and every way it is called. */
import { f16Values } from "../../core/dtype.ts";
import { recordAdd } from "../../gpu/kernels/plain/add.ts";
import { maxHeadDim, recordAttention } from "../../gpu/kernels/plain/attention.ts";
import { recordAttentionMix } from "../../gpu/kernels/plain/attention-mix.ts";
import { recordAttentionWeights } from "../../gpu/kernels/plain/attention-weights.ts";
import { recordAwqMatmul } from "../../gpu/kernels/plain/awq-matmul.ts";
import { recordAwqMatmulTiled } from "../../gpu/kernels/plain/awq-matmul-tiled.ts";
import { recordCacheWrite } from "../../gpu/kernels/plain/cache-write.ts";
import { recordEmbedding } from "../../gpu/kernels/plain/embedding.ts";
import { recordMatmul } from "../../gpu/kernels/plain/matmul.ts";
import { recordMatmulTiled } from "../../gpu/kernels/plain/matmul-tiled.ts";
import { recordRmsNorm } from "../../gpu/kernels/plain/rms-norm.ts";
import { recordRope } from "../../gpu/kernels/plain/rope.ts";
import { recordSiluMul } from "../../gpu/kernels/plain/silu-mul.ts";
import type { CacheDType } from "../../gpu/wgsl/cache.ts";
import { f16Bits } from "../arbitraries.ts";
import type { AttentionCase } from "../cases/attention.ts";
import { GUARD, JUNK } from "../compare.ts";
import type { AnySubject, Subject } from "../kit.ts";
import { renumberInvocations } from "../mutation/schedule.ts";
import type { AddCase } from "../ops/add.ts";
import type { AttentionMixCase } from "../ops/attention-mix.ts";
import type { AwqMatmulCase } from "../ops/awq-matmul.ts";
import type { CacheWriteCase } from "../ops/cache-write.ts";
import type { EmbeddingCase } from "../ops/embedding.ts";
import type { MatmulCase } from "../ops/matmul.ts";
import type { RmsNormCase } from "../ops/rms-norm.ts";
import type { RopeCase } from "../ops/rope.ts";
import type { SiluMulCase } from "../ops/silu-mul.ts";
import { intoOut, type Rig, runKernel } from "./rig.ts";
import { fixed16Subjects } from "./webgpu-fixed16.ts";
import { matrixSubjects } from "./webgpu-matrix.ts";
import { packedSubjects } from "./webgpu-packed.ts";
import { prefillSubjects } from "./webgpu-prefill.ts";
import { samplingSubjects } from "./webgpu-sampling.ts";

/** Rows of a dense matrix padded to whole words, as the loader lays them out, but with junk for padding: 65504, or as bf16 3·10³⁸. */
function paddedRows(data: Float32Array | Uint16Array, rows: number, K: number): ArrayBufferView {
  if (data instanceof Float32Array || K % 2 === 0) return data;
  const padded = new Uint16Array(rows * (K + 1)).fill(0x7bff);
  for (let n = 0; n < rows; n++) padded.set(data.subarray(n * K, (n + 1) * K), n * (K + 1));
  return padded;
}

const roundToF16 = (x: Float32Array): Float32Array => x.map((v) => f16Values()[f16Bits(v)]!);

/** Keys or values as the cache holds them. */
const asCache = (x: Float32Array, dtype: CacheDType): ArrayBufferView => (dtype === "f32" ? x : Uint16Array.from(x, f16Bits));

/** Every kernel on this device, in every way it is called. */
export function webgpuSubjects(rig: Rig): readonly AnySubject[] {
  return [
    ...renumbered(rig, ""),
    ...renumbered({ ...rig, workgroupsX: 2 }, "-two-workgroups").filter((s) => strided.some((v) => s.variant === `${v}-two-workgroups`)),
  ];
}

/** Every subject with its renumbered twins; `suffix` on the variants. */
function renumbered(rig: Rig, suffix: string): readonly AnySubject[] {
  const twins = [false, true].map((backwards) =>
    subjectsOf({ ...rig, rewrite: (kernel) => renumberInvocations(rig.rewrite ? rig.rewrite(kernel) : kernel, backwards) }),
  );
  return subjectsOf(rig).map((subject, i) => ({
    ...subject,
    variant: subject.variant + suffix,
    rerun: (c: unknown, out: Float32Array, backwards: boolean) => twins[backwards ? 1 : 0]![i]!.run(c, out),
  }));
}

/** Variants whose kernels loop over what a row of workgroups leaves. */
const strided: readonly string[] = ["matmul", "matmul-tiled", "silu-mul", "add", "penalize"];

function subjectsOf(rig: Rig): readonly AnySubject[] {
  const subject = <C>(
    op: string,
    kernel: string,
    run: (c: C, out: Float32Array) => Promise<void>,
    more: Partial<Subject<C>> = {},
  ): Subject<C> => ({ op, backend: "webgpu", variant: kernel, arithmetic: "f32", kernels: [kernel], run, ...more });

  const dense =
    (tiled: boolean) =>
    (c: MatmulCase, out: Float32Array): Promise<void> =>
      intoOut(rig, out, c.T, 0, (io) => {
        const { inFeatures: K, outFeatures: N, dtype, data } = c.weight;
        const buffers = {
          x: io.input("x", c.x),
          weight: io.input("weight", paddedRows(data, N, K)),
          bias: io.input("bias", c.bias ?? new Float32Array(1)),
          out: io.output("out", out.length),
        };
        const shape = { dtype, K, N, firstColumn: 0, columns: N, hasBias: c.bias !== null };
        if (tiled) recordMatmulTiled(io.recorder, { ...buffers, step: io.step }, shape);
        else recordMatmul(io.recorder, buffers, shape);
      });

  /** A weight in two pieces, as one larger than a binding lies. */
  const densePieces = (c: MatmulCase, out: Float32Array): Promise<void> =>
    intoOut(rig, out, c.T, 0, (io) => {
      const { inFeatures: K, outFeatures: columns, dtype, data } = c.weight;
      const first = Math.ceil(columns / 2);
      const bound = { x: io.input("x", c.x), bias: io.input("bias", c.bias ?? new Float32Array(1)), out: io.output("out", out.length) };
      for (const [firstColumn, N] of [[0, first] as const, [first, columns - first] as const]) {
        if (N === 0) continue;
        const piece = paddedRows(data.slice(firstColumn * K, (firstColumn + N) * K), N, K);
        const shape = { dtype, K, N, firstColumn, columns, hasBias: c.bias !== null };
        recordMatmul(io.recorder, { ...bound, weight: io.input("weight", piece) }, shape);
      }
    });

  const awq =
    (tiled: boolean) =>
    (c: AwqMatmulCase, out: Float32Array): Promise<void> =>
      intoOut(rig, out, c.T, 0, (io) => {
        const { inFeatures: K, outFeatures: N, groupSize, qweight, qzeros, scales } = c.weight;
        const buffers = {
          x: io.input("x", c.x),
          qweight: io.input("qweight", qweight),
          qzeros: io.input("qzeros", qzeros),
          scales: io.input("scales", scales),
          bias: io.input("bias", c.bias ?? new Float32Array(1)),
          out: io.output("out", out.length),
        };
        const shape = { K, N, groupSize, firstColumn: 0, columns: N, hasBias: c.bias !== null };
        if (tiled) recordAwqMatmulTiled(io.recorder, { ...buffers, step: io.step }, shape);
        else recordAwqMatmul(io.recorder, buffers, shape);
      });

  const cached = (dtype: CacheDType): Partial<Subject<AttentionCase>> => ({
    accepts: (c) => c.shape.Hd <= maxHeadDim,
    ...(dtype === "f16" ? { adapt: (c: AttentionCase) => ({ ...c, k: roundToF16(c.k), v: roundToF16(c.v) }) } : {}),
  });
  const attends = (dtype: CacheDType): Subject<AttentionCase> =>
    subject<AttentionCase>(
      "attention",
      "attention",
      (c, out) =>
        intoOut(rig, out, c.T, c.start, (io) => {
          const buffers = {
            step: io.step,
            q: io.input("q", c.q),
            keys: io.input("keys", asCache(c.k, dtype)),
            values: io.input("values", asCache(c.v, dtype)),
            out: io.output("out", out.length),
          };
          recordAttention(io.recorder, buffers, { ...c.shape, dtype });
        }),
      { variant: `attention-${dtype}-cache`, ...cached(dtype) },
    );
  const weighs = (dtype: CacheDType): Subject<AttentionCase> =>
    subject<AttentionCase>(
      "attention-weights",
      "attention-weights",
      (c, out) =>
        intoOut(rig, out, c.T, c.start, (io) => {
          const buffers = { step: io.step, q: io.input("q", c.q), keys: io.input("keys", asCache(c.k, dtype)) };
          recordAttentionWeights(io.recorder, { ...buffers, weights: io.output("weights", out.length) }, { ...c.shape, dtype });
        }),
      { variant: `attention-weights-${dtype}-cache`, ...cached(dtype) },
    );
  const mixes = (dtype: CacheDType): Subject<AttentionMixCase> =>
    subject<AttentionMixCase>(
      "attention-mix",
      "attention-mix",
      (c, out) =>
        intoOut(rig, out, c.T, c.start, (io) => {
          const buffers = { step: io.step, weights: io.input("weights", c.weights), values: io.input("values", asCache(c.v, dtype)) };
          recordAttentionMix(io.recorder, { ...buffers, out: io.output("out", out.length) }, { ...c.shape, dtype });
        }),
      {
        variant: `attention-mix-${dtype}-cache`,
        ...(dtype === "f16" ? { adapt: (c: AttentionMixCase) => ({ ...c, v: roundToF16(c.v) }) } : {}),
      },
    );
  const writes = (dtype: CacheDType): Subject<CacheWriteCase> =>
    subject<CacheWriteCase>(
      "cache-write",
      "cache-write",
      async (c, out) => {
        const words = dtype === "f32" ? c.keys.length : c.keys.length / 2;
        const [keys, values] = await runKernel(rig, c.T, c.start, (io) => {
          const buffers = {
            step: io.step,
            k: io.input("k", c.k),
            v: io.input("v", c.v),
            keys: io.output("keys", words, asCache(c.keys, dtype)),
            values: io.output("values", words, asCache(c.values, dtype)),
          };
          recordCacheWrite(io.recorder, buffers, { width: c.width, dtype });
        });
        const whole = new Uint32Array(out.buffer);
        for (const [i, cache] of [keys!, values!].entries()) {
          const inside = cache.subarray(GUARD, GUARD + words);
          const numbers =
            dtype === "f32"
              ? new Float32Array(inside.buffer, inside.byteOffset, words)
              : Float32Array.from(new Uint16Array(inside.buffer, inside.byteOffset, words * 2), (bits) => f16Values()[bits]!);
          out.set(numbers, i * c.keys.length);
          // A touched band of either cache shows in the bands of `out`.
          for (let j = 0; j < GUARD; j++) {
            if (cache[j] !== JUNK) whole[j] = cache[j]!;
            const rear = cache[GUARD + words + j]!;
            if (rear !== JUNK) whole[whole.length - GUARD + j] = rear;
          }
        }
      },
      { variant: `cache-write-${dtype}`, arithmetic: dtype === "f16" ? "f16-cache" : "f32" },
    );

  return [
    subject<EmbeddingCase>("embedding", "embedding", (c, out) =>
      intoOut(rig, out, c.ids.length, 0, (io) => {
        const { dtype, data, inFeatures: D, outFeatures: rows } = c.table;
        const buffers = { ids: io.input("ids", Uint32Array.from(c.ids)), out: io.output("out", out.length) };
        // In two pieces, as a table larger than a binding lies; the upper one first, so that nobody mends what the lower one spoils.
        const half = Math.ceil(rows / 2);
        for (const [firstRow, count] of [[half, rows - half] as const, [0, half] as const]) {
          if (count === 0) continue;
          const table = io.input("table", paddedRows(data.slice(firstRow * D, (firstRow + count) * D), count, D));
          recordEmbedding(io.recorder, { ...buffers, table }, { dtype, D, firstRow, rows: count });
        }
      }),
    ),
    subject<RmsNormCase>("rms-norm", "rms-norm", (c, out) =>
      intoOut(rig, out, c.T, 0, (io) => {
        const buffers = { step: io.step, x: io.input("x", c.x), weight: io.input("weight", c.weight), out: io.output("out", out.length) };
        recordRmsNorm(io.recorder, buffers, { D: c.weight.length, eps: c.eps });
      }),
    ),
    subject<RmsNormCase>(
      "rms-norm",
      "rms-norm",
      async (c, out) => {
        // Each row as the last of those before it: T dispatches of T' = 1 … T rows, row T' − 1 into row T' − 1 of `out`.
        const D = c.weight.length;
        for (let T = 1; T <= c.T; T++) {
          const [words] = await runKernel(rig, T, 0, (io) => {
            const x = io.input("x", c.x.slice(0, T * D));
            const buffers = { step: io.step, x, weight: io.input("weight", c.weight), out: io.output("out", D) };
            recordRmsNorm(io.recorder, buffers, { D, eps: c.eps, lastRow: true });
          });
          const whole = new Uint32Array(out.buffer);
          whole.set(words!.subarray(GUARD, GUARD + D), GUARD + (T - 1) * D);
          for (let j = 0; j < GUARD; j++) {
            if (words![j] !== JUNK) whole[j] = words![j]!;
            if (words![GUARD + D + j] !== JUNK) whole[whole.length - GUARD + j] = words![GUARD + D + j]!;
          }
        }
      },
      { variant: "rms-norm-last-row" },
    ),
    subject<MatmulCase>("matmul", "matmul", dense(false)),
    subject<MatmulCase>("matmul", "matmul", densePieces, { variant: "matmul-in-pieces" }),
    subject<MatmulCase>("matmul", "matmul-tiled", dense(true)),
    subject<AwqMatmulCase>("awq-matmul", "awq-matmul", awq(false)),
    subject<AwqMatmulCase>("awq-matmul", "awq-matmul-tiled", awq(true)),
    subject<RopeCase>("rope", "rope", (c, out) =>
      intoOut(rig, out, c.T, c.start, (io) => {
        const { halfDim, cos, sin } = c.tables;
        const table = new Float32Array(2 * cos.length);
        for (let i = 0; i < cos.length; i++) {
          table[2 * i] = cos[i]!;
          table[2 * i + 1] = sin[i]!;
        }
        const buffers = { step: io.step, table: io.input("table", table), x: io.output("x", out.length, c.x) };
        recordRope(io.recorder, buffers, { heads: c.heads, halfDim });
      }),
    ),
    writes("f32"),
    writes("f16"),
    weighs("f32"),
    weighs("f16"),
    mixes("f32"),
    mixes("f16"),
    attends("f32"),
    attends("f16"),
    subject<SiluMulCase>("silu-mul", "silu-mul", (c, out) =>
      intoOut(rig, out, 1, 0, (io) => {
        const buffers = { step: io.step, gate: io.output("gate", c.length, c.gate), up: io.input("up", c.up) };
        recordSiluMul(io.recorder, buffers, { width: c.length });
      }),
    ),
    subject<AddCase>("add", "add", (c, out) =>
      intoOut(rig, out, 1, 0, (io) => {
        const buffers = { step: io.step, x: io.output("x", c.length, c.a), y: io.input("y", c.b) };
        recordAdd(io.recorder, buffers, { width: c.length });
      }),
    ),
    ...packedSubjects(rig),
    ...samplingSubjects(rig),
    ...fixed16Subjects(rig),
    ...prefillSubjects(rig),
    ...matrixSubjects(rig),
  ];
}
