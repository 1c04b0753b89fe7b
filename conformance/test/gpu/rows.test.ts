/**
 * What the kernels owe to the way the model calls them: a row's bits do not depend on the rows that come with it (so
 * every chunk size gives the same text), the pieces of a split weight fit together, and a long context stays within its
 * bound. The laws of each op are in conformance/ops.
 */
import { describe, expect, it } from "vitest";
import { allocate, freeAll, makeMemory } from "../../../gpu/device/buffer.ts";
import { SCORE_TILE } from "../../../gpu/kernels/exact/exact-scores-matrix.ts";
import { attention } from "../../../gpu/kernels/plain/attention.ts";
import { awqMatmul } from "../../../gpu/kernels/plain/awq-matmul.ts";
import { awqMatmulTiled } from "../../../gpu/kernels/plain/awq-matmul-tiled.ts";
import { matmul } from "../../../gpu/kernels/plain/matmul.ts";
import { matmulTiled } from "../../../gpu/kernels/plain/matmul-tiled.ts";
import { rmsNorm } from "../../../gpu/kernels/plain/rms-norm.ts";
import { attentionPrefillMatrix } from "../../../gpu/kernels/prefill/attention-prefill-matrix.ts";
import { cachePositions } from "../../../gpu/model/sequence.ts";
import { makeRecorder, prepareByRows, recordKernel, submit } from "../../../gpu/pipeline/recorder.ts";
import { scoredAtOnce } from "../../../gpu/programs/exact-buffers.ts";
import { expectAttention, wgsl } from "../../accuracy.ts";
import { finiteF16Bits, nibbleWords, scaleBits, values } from "../../arbitraries.ts";
import { compare, describeWorst, strayWrite } from "../../compare.ts";
import { nothing, runCall, testDevice } from "./device.ts";

const numbers = (seed: number, length: number): Float32Array<ArrayBuffer> =>
  values({ kind: "normal", exponent: 0, seed }, length) as Float32Array<ArrayBuffer>;

const rowsOf = <A extends Float32Array>(array: A, t: number, T: number, width: number): A => array.slice(t * width, (t + T) * width) as A;

describe("rms-norm on WebGPU", () => {
  it("gives the last row alone the bits it has among all", async () => {
    const [T, D] = [5, 300];
    const inputs = { x: numbers(7, T * D), weight: numbers(1, D) };
    const gpu = await testDevice();
    const all = await runCall(gpu, { inputs, out: T * D, T, record: (r, b) => recordKernel(r, rmsNorm, b, { D, eps: 1e-5 }) });
    const last = await runCall(gpu, { inputs, out: D, T, record: (r, b) => recordKernel(r, rmsNorm, b, { D, eps: 1e-5, lastRow: true }) });
    expect(strayWrite(last)).toBeNull();
    expect(last).toEqual(rowsOf(all, T - 1, 1, D));
  });
});

describe.each([matmul, matmulTiled])("$name on WebGPU", (kernel) => {
  const [T, N, K] = [70, 75, 66];
  const x = numbers(7, T * K);
  const weight = Uint16Array.from(numbers(2, N * K), finiteF16Bits);
  const bias = numbers(3, N);
  /** Columns from `cuts[i]` to `cuts[i + 1]` lie in a buffer each. */
  const run = async (t: number, rows: number, cuts: readonly number[]): Promise<Float32Array> => {
    const pieces = cuts.slice(1).map((end, i) => ({ firstColumn: cuts[i]!, N: end - cuts[i]! }));
    const weights = pieces.map(({ firstColumn, N }, i) => [`weight${i}`, weight.slice(firstColumn * K, (firstColumn + N) * K)] as const);
    return runCall<string>(await testDevice(), {
      inputs: { x: rowsOf(x, t, rows, K), bias, ...Object.fromEntries(weights) },
      out: rows * N,
      T: rows,
      record(r, b) {
        const buffers = { step: b.step!, x: b.x!, bias: b.bias!, out: b.out! };
        pieces.forEach((piece, i) => {
          recordKernel(r, kernel, { ...buffers, weight: b[`weight${i}`]! }, { dtype: "F16", K, columns: N, hasBias: true, ...piece });
        });
      },
    });
  };

  it("gives a row the same bits whatever rows come with it", async () => {
    const together = await run(0, T, [0, N]);
    for (const t of [0, 1, 31, 32, 63, 64, 69]) expect(await run(t, 1, [0, N])).toEqual(rowsOf(together, t, 1, N));
    expect(await run(9, 40, [0, N])).toEqual(rowsOf(together, 9, 40, N));
  });

  it("gives the same bits where the weight lies in pieces", async () => {
    const pieces = await run(0, T, [0, 33, 34, N]);
    expect(strayWrite(pieces)).toBeNull();
    expect([...pieces]).toEqual([...(await run(0, T, [0, N]))]);
  });
});

describe.each([awqMatmul, awqMatmulTiled])("$name on WebGPU", (kernel) => {
  it("gives a row the same bits whatever rows come with it", async () => {
    const [T, words, groups, groupSize] = [37, 35, 3, 40];
    const [K, N] = [groups * groupSize, words * 8];
    const x = numbers(7, T * K);
    const weight = {
      qweight: nibbleWords("random", 11, K * words) as Int32Array<ArrayBuffer>,
      qzeros: nibbleWords("random", 12, groups * words) as Int32Array<ArrayBuffer>,
      scales: scaleBits("usual", 13, groups * N) as Uint16Array<ArrayBuffer>,
    };
    const run = async (t: number, rows: number): Promise<Float32Array> =>
      runCall(await testDevice(), {
        inputs: { x: rowsOf(x, t, rows, K), bias: nothing, ...weight },
        out: rows * N,
        T: rows,
        record: (r, b) => recordKernel(r, kernel, b, { K, N, groupSize, firstColumn: 0, columns: N, hasBias: false }),
      });
    const together = await run(0, T);
    for (const t of [0, 31, 32, 36]) expect(await run(t, 1)).toEqual(rowsOf(together, t, 1, N));
  });
});

describe("attention on WebGPU", () => {
  const shape = { H: 4, G: 2, Hd: 16, window: null } as const;
  const [qWidth, kWidth] = [shape.H * shape.Hd, shape.G * shape.Hd];

  it("gives a query the same bits in whatever chunk it comes", async () => {
    const [T, start] = [5, 254];
    const inputs = { q: numbers(1, T * qWidth), keys: numbers(2, (start + T) * kWidth), values: numbers(3, (start + T) * kWidth) };
    const run = async (t: number, rows: number): Promise<Float32Array> =>
      runCall(await testDevice(), {
        inputs: { ...inputs, q: rowsOf(inputs.q, t, rows, qWidth) },
        out: rows * qWidth,
        T: rows,
        start: start + t,
        record: (r, b) => recordKernel(r, attention, b, { ...shape, dtype: "f32" }),
      });
    const together = await run(0, T);
    for (let t = 0; t < T; t++) expect(await run(t, 1)).toEqual(rowsOf(together, t, 1, qWidth));
  });

  it("stays within its bound at a context of 4,099 positions", async () => {
    const [T, start] = [3, 4096];
    const c = { q: numbers(1, T * qWidth), k: numbers(2, (start + T) * kWidth), v: numbers(3, (start + T) * kWidth), start, T, shape };
    const out = await runCall(await testDevice(), {
      inputs: { q: c.q, keys: c.k, values: c.v },
      out: c.q.length,
      T,
      start,
      record: (r, b) => recordKernel(r, attention, b, { ...shape, dtype: "f32" }),
    });
    expect(strayWrite(out)).toBeNull();
    const worst = compare(out, expectAttention(c, wgsl, Math.ceil((start + T) / 128)))!;
    if (!(worst.headroom <= 1)) expect.fail(describeWorst(worst));
  });
});

describe("a session's caches", () => {
  it("hold every position that the tiles of a prompt reach, wherever it begins", () => {
    const shape = { H: 4, G: 2, Hd: 64, window: null };
    for (const maxContext of [1, 63, 64, 65, 100, 128, 129, 300])
      for (let start = 0; start < maxContext; start++)
        for (const T of [1, 17, 64, 65, maxContext - start].filter((T) => start + T <= maxContext)) {
          const reached = attentionPrefillMatrix.sizes(shape, T, start).k_cache / (2 * shape.G * shape.Hd);
          expect(reached, `${T} rows from ${start} of ${maxContext}`).toBeLessThanOrEqual(cachePositions(maxContext));
        }
  });
});

describe("the scores that `exact` holds at once", () => {
  it("are those of all rows, of whole tiles of matrices, or of fewer rows than a tile has", () => {
    for (const H of [1, 9, 32, 71])
      for (const maxContext of [64, 3000, 4096, 5000, 131_072])
        for (const rows of [1, 17, 128, 600, 1024]) {
          const held = scoredAtOnce(rows, H, maxContext);
          expect(held === rows || held % SCORE_TILE === 0 || held < SCORE_TILE, `${held} of ${rows} rows`).toBe(true);
          expect(held).toBeLessThanOrEqual(rows);
          if (held > 1) expect(4 * held * H * maxContext).toBeLessThanOrEqual(128 * 2 ** 20);
        }
  });
});

describe("what is prepared by rows", () => {
  it("compiles for the rows that are asked for alone, and refuses others until they are", async () => {
    const gpu = await testDevice();
    const memory = makeMemory(gpu);
    try {
      const recorder = makeRecorder();
      const room = (label: string): GPUBuffer => allocate(memory, label, 4096);
      const buffers = { step: allocate(memory, "step", 256, 0x40 | 0x8), x: room("x"), weight: room("weight"), out: room("out") };
      recordKernel(recorder, rmsNorm, buffers, { D: 19, eps: 1e-5 }, { rows: { from: 1, to: 17 } });
      recordKernel(recorder, rmsNorm, buffers, { D: 21, eps: 1e-5 }, { rows: { from: 17, to: Infinity } });
      const { dispatches, ready } = await prepareByRows(recorder, memory);
      const compiled = (): boolean[] => dispatches.map(({ pipeline }) => pipeline !== undefined);
      expect(compiled()).toEqual([false, false]);
      await ready(4);
      expect(compiled()).toEqual([true, false]);
      await submit(memory, dispatches, 4);
      await expect(submit(memory, dispatches, 20)).rejects.toThrow(/rms-norm: is not compiled/);
      await ready(20);
      expect(compiled()).toEqual([true, true]);
      await submit(memory, dispatches, 20);
    } finally {
      freeAll(memory);
    }
  });
});
