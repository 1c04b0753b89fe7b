/**
 * The f32 kernels against their bounds: every case is computed on the device, compared with the exact value within the derived
 * bound of WGSL's arithmetic, and its output looked at for poison left and guard bands touched.
 */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { f16Values } from "../../core/dtype.ts";
import type { AwqMatrix, DenseMatrix } from "../../core/model/weights.ts";
import type { AttentionShape } from "../../core/ops/attention.ts";
import { type RopeTables, ropeTables } from "../../core/ops/rope.ts";
import { recordAdd } from "../../gpu/kernels/add.ts";
import { recordAttention } from "../../gpu/kernels/attention.ts";
import { recordAttentionMix } from "../../gpu/kernels/attention-mix.ts";
import { recordAttentionWeights } from "../../gpu/kernels/attention-weights.ts";
import { recordAwqMatmul } from "../../gpu/kernels/awq-matmul.ts";
import { recordAwqMatmulTiled } from "../../gpu/kernels/awq-matmul-tiled.ts";
import { recordCacheWrite } from "../../gpu/kernels/cache-write.ts";
import { recordEmbedding } from "../../gpu/kernels/embedding.ts";
import { recordMatmul } from "../../gpu/kernels/matmul.ts";
import { recordMatmulTiled } from "../../gpu/kernels/matmul-tiled.ts";
import { recordRmsNorm } from "../../gpu/kernels/rms-norm.ts";
import { recordRope } from "../../gpu/kernels/rope.ts";
import { recordSiluMul } from "../../gpu/kernels/silu-mul.ts";
import { rowWords } from "../../gpu/wgsl/dense.ts";
import {
  type Expected,
  expectAdd,
  expectAttention,
  expectAttentionWeights,
  expectAwqMatmul,
  expectEmbedding,
  expectMatmul,
  expectRmsNorm,
  expectRope,
  expectSiluMul,
  wgsl,
} from "../accuracy.ts";
import { axis, bf16Bits, f16Bits, nibbleKinds, nibbleWords, recipe, scaleBits, scaleKinds, values } from "../arbitraries.ts";
import { compare, describeWorst, strayWrite } from "../compare.ts";
import { nothing, runCall, testDevice } from "./device.ts";

type F32 = Float32Array<ArrayBuffer>;
const f32 = (array: Float32Array): F32 => array as F32;

/** Poison, guards, bounds. */
function check(out: Float32Array, expected: Expected): void {
  expect(strayWrite(out)).toBeNull();
  const worst = compare(out, expected);
  if (worst && !(worst.headroom <= 1)) expect.fail(describeWorst(worst));
}

const RUNS = 24;
const hunt = <S>(arbitrary: fc.Arbitrary<S>, boundaries: readonly S[], law: (spec: S) => Promise<void>): Promise<void> =>
  fc.assert(fc.asyncProperty(arbitrary, law), { numRuns: RUNS, examples: boundaries.map((spec) => [spec] as [S]) });

const tame = { kind: "normal", exponent: 0, seed: 7 } as const;

describe("rms-norm on WebGPU", () => {
  const spec = fc.record({
    T: fc.integer({ min: 1, max: 4 }),
    D: axis(700),
    x: recipe(),
    w: recipe(),
    eps: fc.constantFrom<number>(1e-5, 1e-6, 0),
  });
  const boundaries = [1, 255, 256, 257, 511, 512, 513].map((D) => ({ T: 2, D, x: tame, w: tame, eps: 1e-5 }));

  it("stays within its bound", () =>
    hunt(spec, boundaries, async ({ T, D, x, w, eps }) => {
      const inputs = { x: f32(values(x, T * D)), weight: f32(values(w, D)) };
      const out = await runCall(await testDevice(), { inputs, out: T * D, T, record: (r, b) => recordRmsNorm(r, b, { D, eps }) });
      check(out, expectRmsNorm(inputs.x, inputs.weight, eps, T, wgsl));
    }));

  it("gives the last row alone the bits it has among all", async () => {
    const [T, D] = [5, 300];
    const inputs = { x: f32(values(tame, T * D)), weight: f32(values({ ...tame, seed: 1 }, D)) };
    const gpu = await testDevice();
    const all = await runCall(gpu, { inputs, out: T * D, T, record: (r, b) => recordRmsNorm(r, b, { D, eps: 1e-5 }) });
    const last = await runCall(gpu, { inputs, out: D, T, record: (r, b) => recordRmsNorm(r, b, { D, eps: 1e-5, lastRow: true }) });
    expect(strayWrite(last)).toBeNull();
    expect(last).toEqual(all.subarray((T - 1) * D));
  });
});

/** A dense matrix and its rows as the GPU holds them. */
function dense(
  dtype: DenseMatrix["dtype"],
  N: number,
  K: number,
  numbers: Float32Array,
): { matrix: DenseMatrix; words: Uint32Array<ArrayBuffer> } {
  const data = dtype === "F32" ? numbers : Uint16Array.from(numbers, dtype === "F16" ? f16Bits : bf16Bits);
  const words = new Uint32Array(N * rowWords(dtype, K));
  const bytes = new Uint8Array(words.buffer);
  const rowBytes = K * data.BYTES_PER_ELEMENT;
  const source = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  for (let n = 0; n < N; n++) bytes.set(source.subarray(n * rowBytes, (n + 1) * rowBytes), n * rowWords(dtype, K) * 4);
  return { matrix: { kind: "dense", dtype, outFeatures: N, inFeatures: K, data }, words };
}
const dtypes = fc.constantFrom("F32" as const, "F16" as const, "BF16" as const);
const finite = recipe(["ones", "integers", "zeros", "equal", "oneHot", "normal", "positive", "cancelling", "outliers"]);

describe.each([
  { name: "matmul", tiled: false, edges: [1, 3, 4, 5, 9] },
  { name: "matmul-tiled", tiled: true, edges: [1, 31, 32, 33, 63, 64, 65] },
])("$name on WebGPU", ({ tiled, edges }) => {
  const run = async (T: number, N: number, K: number, dtype: DenseMatrix["dtype"], x: F32, w: Uint32Array<ArrayBuffer>, bias: F32 | null) =>
    runCall(await testDevice(), {
      inputs: { x, weight: w, bias: bias ?? nothing },
      out: T * N,
      T,
      record: (r, b) => {
        const shape = { dtype, K, N, firstColumn: 0, columns: N, hasBias: bias !== null };
        (tiled ? recordMatmulTiled : recordMatmul)(r, b, shape);
      },
    });
  const spec = fc.record({ T: axis(40), N: axis(80), K: axis(200), dtype: dtypes, x: recipe(), w: finite, bias: fc.boolean() });
  const boundaries = [
    ...edges.map((N) => ({ T: 2, N, K: 33, dtype: "F16" as const, x: tame, w: tame, bias: true })),
    ...edges.map((T) => ({ T, N: 5, K: 18, dtype: "BF16" as const, x: tame, w: tame, bias: false })),
    ...[1, 2, 15, 16, 17, 127, 128, 129].map((K) => ({ T: 3, N: 6, K, dtype: "F16" as const, x: tame, w: tame, bias: true })),
  ];

  it("stays within its bound", () =>
    hunt(spec, boundaries, async ({ T, N, K, dtype, x, w, bias }) => {
      const input = f32(values(x, T * K));
      const { matrix, words } = dense(dtype, N, K, values(w, N * K));
      const added = bias ? f32(values({ ...tame, seed: 3 }, N)) : null;
      check(await run(T, N, K, dtype, input, words, added), expectMatmul(input, matrix, added, T, wgsl));
    }));

  it("gives a row the same bits whatever rows come with it", async () => {
    const [T, N, K] = [37, 21, 130];
    const x = f32(values(tame, T * K));
    const { words } = dense("F16", N, K, values({ ...tame, seed: 2 }, N * K));
    const together = await run(T, N, K, "F16", x, words, null);
    for (const t of [0, 1, 31, 32, 36]) {
      const alone = await run(1, N, K, "F16", x.slice(t * K, (t + 1) * K), words, null);
      expect(alone).toEqual(together.subarray(t * N, (t + 1) * N));
    }
  });

  it("writes its own columns alone where the weight is one of several pieces", async () => {
    const [T, N, K] = [3, 70, 24];
    const x = f32(values(tame, T * K));
    const numbers = values({ ...tame, seed: 2 }, N * K);
    const { matrix } = dense("F16", N, K, numbers);
    const bias = f32(values({ ...tame, seed: 3 }, N));
    const cuts = [0, 33, 34, N];
    const pieces = cuts.slice(1).map((end, i) => dense("F16", end - cuts[i]!, K, numbers.slice(cuts[i]! * K, end * K)).words);
    const out = await runCall(await testDevice(), {
      inputs: { x, bias, w0: pieces[0]!, w1: pieces[1]!, w2: pieces[2]! },
      out: T * N,
      T,
      record: (r, b) =>
        [b.w0, b.w1, b.w2].forEach((weight, i) => {
          const shape = { dtype: "F16", K, N: cuts[i + 1]! - cuts[i]!, firstColumn: cuts[i]!, columns: N, hasBias: true } as const;
          (tiled ? recordMatmulTiled : recordMatmul)(r, { ...b, weight }, shape);
        }),
    });
    check(out, expectMatmul(x, matrix, bias, T, wgsl));
  });
});

describe.each([
  { name: "awq-matmul", tiled: false },
  { name: "awq-matmul-tiled", tiled: true },
])("$name on WebGPU", ({ tiled }) => {
  const run = async (T: number, weight: AwqMatrix, x: F32, bias: F32 | null) => {
    const { inFeatures: K, outFeatures: N, groupSize } = weight;
    return runCall(await testDevice(), {
      inputs: {
        x,
        qweight: weight.qweight as Int32Array<ArrayBuffer>,
        qzeros: weight.qzeros as Int32Array<ArrayBuffer>,
        scales: weight.scales as Uint16Array<ArrayBuffer>,
        bias: bias ?? nothing,
      },
      out: T * N,
      T,
      record: (r, b) => {
        const shape = { K, N, groupSize, firstColumn: 0, columns: N, hasBias: bias !== null };
        (tiled ? recordAwqMatmulTiled : recordAwqMatmul)(r, b, shape);
      },
    });
  };
  interface AwqSpec {
    T: number;
    words: number;
    groups: number;
    groupSize: number;
    nibbles: (typeof nibbleKinds)[number];
    zeros: (typeof nibbleKinds)[number];
    scales: (typeof scaleKinds)[number];
    seed: number;
  }
  const make = ({ words, groups, groupSize, nibbles, zeros, scales, seed }: AwqSpec): AwqMatrix => ({
    kind: "awq",
    outFeatures: words * 8,
    inFeatures: groups * groupSize,
    groupSize,
    qweight: nibbleWords(nibbles, seed, groups * groupSize * words),
    qzeros: nibbleWords(zeros, seed + 1, groups * words),
    scales: scaleBits(scales, seed + 2, groups * words * 8),
  });
  const spec = fc.record({
    T: axis(36),
    words: axis(40),
    groups: fc.integer({ min: 1, max: 4 }),
    groupSize: axis(130),
    nibbles: fc.constantFrom(...nibbleKinds),
    zeros: fc.constantFrom(...nibbleKinds),
    scales: fc.constantFrom(...scaleKinds),
    seed: fc.nat(0xffff),
    x: recipe(),
    bias: fc.boolean(),
  });
  const base = {
    T: 2,
    words: 3,
    groups: 2,
    groupSize: 32,
    nibbles: "random",
    zeros: "random",
    scales: "usual",
    seed: 5,
    x: tame,
    bias: true,
  } as const;
  const boundaries = [
    ...[1, 7, 8, 9, 31, 32, 33].map((words) => ({ ...base, words })),
    ...[1, 31, 32, 33].map((T) => ({ ...base, T })),
    ...[1, 7, 8, 9, 15, 16, 17, 128].map((groupSize) => ({ ...base, groupSize })),
  ];

  it("stays within its bound", () =>
    hunt(spec, boundaries, async (s) => {
      const weight = make(s);
      const x = f32(values(s.x, s.T * weight.inFeatures));
      const bias = s.bias ? f32(values({ ...tame, seed: 3 }, weight.outFeatures)) : null;
      check(await run(s.T, weight, x, bias), expectAwqMatmul(x, weight, bias, s.T, wgsl, false));
    }));

  it("reads every nibble of a word from its own column", async () => {
    // x picks row k; scales 1, zeros 0: the output is the row's nibbles, exactly.
    const weight = make({ ...base, T: 1, words: 2, groups: 1, groupSize: 8, nibbles: "every", scales: "one" });
    (weight.qzeros as Int32Array).fill(0);
    const order = [0, 4, 1, 5, 2, 6, 3, 7];
    for (let k = 0; k < 8; k++) {
      const out = await run(
        1,
        weight,
        Float32Array.from({ length: 8 }, (_, i) => (i === k ? 1 : 0)),
        null,
      );
      const expected = Array.from({ length: 16 }, (_, n) => (weight.qweight[k * 2 + (n >> 3)]! >>> (4 * order[n & 7]!)) & 15);
      expect([...out]).toEqual(expected);
    }
  });

  it("gives a row the same bits whatever rows come with it", async () => {
    const weight = make({ ...base, words: 9, groups: 3, groupSize: 40, seed: 11 });
    const K = weight.inFeatures;
    const x = f32(values(tame, 37 * K));
    const together = await run(37, weight, x, null);
    for (const t of [0, 31, 32, 36]) {
      const alone = await run(1, weight, x.slice(t * K, (t + 1) * K), null);
      expect(alone).toEqual(together.subarray(t * weight.outFeatures, (t + 1) * weight.outFeatures));
    }
  });
});

describe("embedding on WebGPU", () => {
  it("gives the table's rows exactly, from one buffer or several", () =>
    hunt(
      fc.record({
        V: fc.integer({ min: 1, max: 40 }),
        D: axis(600),
        dtype: dtypes,
        w: recipe(),
        seed: fc.nat(999),
        pieces: fc.integer({ min: 1, max: 3 }),
      }),
      [255, 256, 257, 511, 512, 513].map((D) => ({ V: 5, D, dtype: "F16" as const, w: tame, seed: 1, pieces: 2 })),
      async ({ V, D, dtype, w, seed, pieces }) => {
        const numbers = values(w, V * D).map((v) => (dtype === "F16" ? Math.max(-65504, Math.min(65504, v)) : v));
        const { matrix } = dense(dtype, V, D, numbers);
        const ids = Array.from({ length: 6 }, (_, i) => (i === 0 ? V - 1 : i === 1 ? 0 : (seed * (i + 3)) % V));
        const each = Math.ceil(V / pieces);
        const cuts = Array.from({ length: Math.ceil(V / each) }, (_, i) => ({ firstRow: i * each, rows: Math.min(each, V - i * each) }));
        const tables = Object.fromEntries(
          cuts.map(({ firstRow, rows }, i) => [`t${i}`, dense(dtype, rows, D, numbers.slice(firstRow * D, (firstRow + rows) * D)).words]),
        );
        const out = await runCall<string>(await testDevice(), {
          inputs: { ids: Uint32Array.from(ids), ...tables },
          out: ids.length * D,
          T: ids.length,
          record: (r, b) => {
            cuts.forEach((cut, i) => {
              recordEmbedding(r, { ids: b.ids!, table: b[`t${i}`]!, out: b.out! }, { dtype, D, ...cut });
            });
          },
        });
        check(out, expectEmbedding(matrix, ids, wgsl));
      },
    ));
});

const turnsOf = ({ cos, sin }: RopeTables): F32 => {
  const turns = new Float32Array(cos.length * 2);
  for (let i = 0; i < cos.length; i++) {
    turns[2 * i] = cos[i]!;
    turns[2 * i + 1] = sin[i]!;
  }
  return turns;
};

describe("rope on WebGPU", () => {
  it("stays within its bound", () =>
    hunt(
      fc.record({
        T: fc.integer({ min: 1, max: 4 }),
        heads: axis(9),
        halfDim: axis(70),
        start: fc.integer({ min: 0, max: 4000 }),
        x: recipe(),
      }),
      [1, 31, 32, 33, 63, 64, 65].map((halfDim) => ({ T: 2, heads: 2, halfDim, start: 9, x: tame })),
      async ({ T, heads, halfDim, start, x }) => {
        const tables = ropeTables(
          { headDim: halfDim * 2, ropeTheta: 10000, ropeScaling: { type: "none" }, maxPositionEmbeddings: 4096 },
          start + T,
        );
        const input = values(x, T * heads * halfDim * 2);
        const out = await runCall(await testDevice(), {
          inputs: { table: turnsOf(tables) },
          out: input,
          T,
          start,
          record: (r, b) => recordRope(r, { step: b.step, table: b.table, x: b.out }, { heads, halfDim }),
        });
        check(out, expectRope(input, tables, start, T, heads, wgsl));
      },
    ));
});

describe("silu-mul on WebGPU", () => {
  it("stays within its bound, from gates of −∞'s neighbourhood to those of +∞'s", () =>
    hunt(
      fc.record({ T: fc.integer({ min: 1, max: 3 }), width: axis(700), gate: recipe(), up: recipe() }),
      [
        ...[1, 255, 256, 257].map((width) => ({ T: 1, width, gate: tame, up: tame })),
        { T: 1, width: 64, gate: { kind: "outliers", exponent: 4, seed: 2 } as const, up: tame },
      ],
      async ({ T, width, gate, up }) => {
        const g = values(gate, T * width);
        const inputs = { up: f32(values(up, T * width)) };
        const out = await runCall(await testDevice(), {
          inputs,
          out: g,
          T,
          record: (r, b) => recordSiluMul(r, { step: b.step, gate: b.out, up: b.up }, { width }),
        });
        check(out, expectSiluMul(g, inputs.up, T * width, wgsl));
      },
    ));
});

describe("add on WebGPU", () => {
  it("stays within its bound", () =>
    hunt(
      fc.record({ T: fc.integer({ min: 1, max: 3 }), width: axis(700), x: recipe(), y: recipe() }),
      [1, 255, 256, 257].map((width) => ({ T: 1, width, x: tame, y: tame })),
      async ({ T, width, x, y }) => {
        const a = values(x, T * width);
        const inputs = { y: f32(values(y, T * width)) };
        const out = await runCall(await testDevice(), {
          inputs,
          out: a,
          T,
          record: (r, b) => recordAdd(r, { step: b.step, x: b.out, y: b.y }, { width }),
        });
        check(out, expectAdd(a, inputs.y, T * width, wgsl));
      },
    ));
});

describe("cache-write on WebGPU", () => {
  it("puts f32 rows where their positions are, bit for bit, and touches no other", async () => {
    const [T, start, width] = [3, 2, 10];
    const k = f32(values(tame, T * width));
    const v = f32(values({ ...tame, seed: 8 }, T * width));
    const before = values({ kind: "ones", exponent: 0, seed: 0 }, 7 * width);
    for (const [name, x] of [
      ["keys", k],
      ["values", v],
    ] as const) {
      const out = await runCall(await testDevice(), {
        inputs: { k, v, other: new Float32Array(7 * width) },
        out: before,
        T,
        start,
        record: (r, b) => {
          const caches = name === "keys" ? { keys: b.out, values: b.other } : { keys: b.other, values: b.out };
          recordCacheWrite(r, { step: b.step, k: b.k, v: b.v, ...caches }, { width, dtype: "f32" });
        },
      });
      const expected = before.slice();
      expected.set(x, start * width);
      expect(out).toEqual(expected);
    }
  });

  it("rounds to one of the two f16 neighbours, the largest f16 beyond the range", async () => {
    const x = f32(values({ kind: "mixed", exponent: 0, seed: 4 }, 256));
    x.set([65504, -65504, 65520, 1e6, -1e30, 0, 2 ** -24, 1 + 2 ** -11]);
    const table = f16Values();
    for (const name of ["keys", "values"]) {
      const out = await runCall(await testDevice(), {
        inputs: { k: x, v: x, other: new Float32Array(256) },
        out: 128,
        T: 1,
        record: (r, b) => {
          const caches = name === "keys" ? { keys: b.out, values: b.other } : { keys: b.other, values: b.out };
          recordCacheWrite(r, { step: b.step, k: b.k, v: b.v, ...caches }, { width: 256, dtype: "f16" });
        },
      });
      expect(strayWrite(out)).toBeNull();
      const halves = new Uint16Array(out.buffer, out.byteOffset, 256);
      for (let i = 0; i < 256; i++) {
        const clamped = Math.max(-65504, Math.min(65504, x[i]!));
        const step = Math.max(2 ** -24, 2 ** (Math.floor(Math.log2(Math.abs(clamped) || 2 ** -24)) - 10));
        // Below 2⁻¹⁴ a device may flush to zero.
        const flushed = Math.abs(clamped) < 2 ** -14 && table[halves[i]!] === 0;
        expect(flushed || Math.abs(table[halves[i]!]! - clamped) < step, `${x[i]} became ${table[halves[i]!]}`).toBe(true);
      }
    }
  });
});

describe("attention on WebGPU", () => {
  interface AttentionSpec {
    T: number;
    start: number;
    groups: number;
    perGroup: number;
    Hd: number;
    window: number | null;
    f16: boolean;
    q: Parameters<typeof values>[0];
    kv: Parameters<typeof values>[0];
  }
  const spec: fc.Arbitrary<AttentionSpec> = fc.record({
    T: fc.integer({ min: 1, max: 5 }),
    start: axis(300),
    groups: fc.integer({ min: 1, max: 2 }),
    perGroup: fc.integer({ min: 1, max: 3 }),
    Hd: axis(40, 2),
    window: fc.option(axis(200)),
    f16: fc.boolean(),
    q: recipe(["ones", "zeros", "equal", "oneHot", "normal", "outliers", "cancelling"], 2),
    kv: recipe(["ones", "zeros", "equal", "oneHot", "normal", "outliers", "cancelling"], 2),
  });
  const base: AttentionSpec = {
    T: 3,
    start: 0,
    groups: 2,
    perGroup: 2,
    Hd: 8,
    window: null,
    f16: false,
    q: tame,
    kv: { ...tame, seed: 9 },
  };
  const boundaries = [
    ...[0, 124, 125, 126, 127, 128, 253, 254].map((start) => ({ ...base, start })),
    ...[1, 2, 127, 128, 129].map((window) => ({ ...base, start: 200, window })),
    ...[2, 126, 128, 130, 254, 256].map((Hd) => ({ ...base, T: 1, start: 20, Hd, f16: true })),
  ];
  const make = ({ T, start, groups, perGroup, Hd, window, f16, q, kv }: AttentionSpec) => {
    const shape: AttentionShape = { H: groups * perGroup, G: groups, Hd, window };
    const stored = (seed: number): { numbers: F32; bytes: ArrayBufferView<ArrayBuffer> } => {
      const raw = f32(values({ ...kv, seed: kv.seed + seed }, (start + T) * groups * Hd));
      if (!f16) return { numbers: raw, bytes: raw };
      const bits = Uint16Array.from(raw, f16Bits);
      return { numbers: Float32Array.from(bits, (b) => f16Values()[b]!), bytes: bits };
    };
    const k = stored(0);
    const v = stored(1);
    const params = { ...shape, dtype: f16 ? "f16" : "f32" } as const;
    return {
      c: { q: f32(values(q, T * shape.H * Hd)), k: k.numbers, v: v.numbers, start, T, shape },
      keys: k.bytes,
      cached: v.bytes,
      params,
    };
  };

  it("stays within its bound", () =>
    hunt(spec, boundaries, async (s) => {
      const { c, keys, cached, params } = make(s);
      const out = await runCall(await testDevice(), {
        inputs: { q: c.q, keys, values: cached },
        out: c.q.length,
        T: s.T,
        start: s.start,
        record: (r, b) => recordAttention(r, b, params),
      });
      check(out, expectAttention(c, wgsl, Math.ceil((s.start + s.T) / 128)));
    }));

  it("has weights within their bound, 0 where a key is not seen", () =>
    hunt(spec, boundaries, async (s) => {
      const { c, keys, params } = make(s);
      const out = await runCall(await testDevice(), {
        inputs: { q: c.q, keys },
        out: s.T * params.H * (s.start + s.T),
        T: s.T,
        start: s.start,
        record: (r, b) => recordAttentionWeights(r, { step: b.step, q: b.q, keys: b.keys, weights: b.out }, params),
      });
      check(out, expectAttentionWeights(c, wgsl));
    }));

  it("in two steps stays within the bound of one", () =>
    hunt(spec, boundaries, async (s) => {
      const { c, keys, cached, params } = make(s);
      const weights = new Float32Array(s.T * params.H * (s.start + s.T));
      const out = await runCall(await testDevice(), {
        inputs: { q: c.q, keys, values: cached, weights },
        out: c.q.length,
        T: s.T,
        start: s.start,
        record: (r, b) => {
          recordAttentionWeights(r, b, params);
          recordAttentionMix(r, b, params);
        },
      });
      check(out, expectAttention(c, wgsl, 1));
    }));

  it("holds at a context of 4,099 positions", async () => {
    const s = { ...base, start: 4096, T: 3, Hd: 16, groups: 1 };
    const { c, keys, cached, params } = make(s);
    const out = await runCall(await testDevice(), {
      inputs: { q: c.q, keys, values: cached },
      out: c.q.length,
      T: s.T,
      start: s.start,
      record: (r, b) => recordAttention(r, b, params),
    });
    check(out, expectAttention(c, wgsl, Math.ceil((s.start + s.T) / 128)));
  });

  it("gives a query the same bits in whatever chunk it comes", async () => {
    const s = { ...base, start: 150, T: 5 };
    const { c, keys, cached, params } = make(s);
    const run = async (t: number, T: number) =>
      runCall(await testDevice(), {
        inputs: { q: c.q.slice(t * params.H * params.Hd, (t + T) * params.H * params.Hd), keys, values: cached },
        out: T * params.H * params.Hd,
        T,
        start: s.start + t,
        record: (r, b) => recordAttention(r, b, params),
      });
    const together = await run(0, 5);
    for (let t = 0; t < 5; t++)
      expect(await run(t, 1)).toEqual(together.subarray(t * params.H * params.Hd, (t + 1) * params.H * params.Hd));
  });
});
