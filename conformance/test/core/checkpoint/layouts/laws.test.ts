/** Every layout under the kit, and what each refuses. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { checkSymmetric, convertedScales, type Rounding, repeatedZeros } from "../../../../../core/checkpoint/convert.ts";
import { awq } from "../../../../../core/checkpoint/layouts/awq.ts";
import { compressedTensors } from "../../../../../core/checkpoint/layouts/compressed-tensors.ts";
import { gptq, gptqV2 } from "../../../../../core/checkpoint/layouts/gptq.ts";
import { layouts } from "../../../../../core/checkpoint/layouts/index.ts";
import type { Layout } from "../../../../../core/checkpoint/layouts/layout.ts";
import { bf16Value, type FloatDType, f16Bits, f16Values } from "../../../../../core/dtype.ts";
import { GureumError } from "../../../../../core/errors.ts";
import type { TensorRef } from "../../../../../core/model/weights.ts";
import { unpackNibbles } from "../../../../../core/quant/awq-format.ts";
import { type Int4, layoutLaws, type Packers, packInOrder } from "./kit.ts";

/** AutoAWQ's order of a word's eight columns. */
const awqColumn = [0, 2, 4, 6, 1, 3, 5, 7];
const alongN = (values: Uint8Array): Int32Array => packInOrder(values.length / 8, values, (word, i) => 8 * word + awqColumn[i]!);
const gptqPackers = (offset: 0 | 1): Packers => ({
  qweight: ({ shape: { N, K }, q }) => packInOrder((K * N) / 8, q, (word, i) => (8 * Math.floor(word / N) + i) * N + (word % N)),
  qzeros: ({ z }) =>
    packInOrder(
      z.length / 8,
      z.map((zero) => zero - offset),
      (word, i) => 8 * word + i,
    ),
  zeros: [offset, 15],
});

layoutLaws(awq, { qweight: ({ q }) => alongN(q), qzeros: ({ z }) => alongN(z), zeros: [0, 15] });
layoutLaws(gptq, gptqPackers(1));
layoutLaws(gptqV2, gptqPackers(0));
layoutLaws(compressedTensors, {
  qweight: ({ shape: { N, K }, q }) => packInOrder((K * N) / 8, q, (word, i) => ((8 * word + i) % K) * N + Math.floor((8 * word) / K)),
  qzeros: ({ shape: { N, groups }, z }) =>
    packInOrder((groups * N) / 8, z, (word, i) => (word % groups) * N + 8 * Math.floor(word / groups) + i),
  zeros: [0, 15],
});

it("every layout that is read is under these laws", () => {
  expect(layouts).toEqual([awq, gptq, gptqV2, compressedTensors]);
});

const words = (layout: Layout, name: "qweight" | "qzeros", given: Int32Array, shape: Int4["shape"]): Int32Array =>
  (layout[name].toAwq as (words: Int32Array, shape: Int4["shape"]) => Int32Array)(given, shape);
const refusal = (body: () => unknown): string => {
  try {
    body();
  } catch (error) {
    expect(error).toBeInstanceOf(GureumError);
    return `${(error as GureumError).code} ${(error as Error).message}`;
  }
  return "read";
};

describe("what readers of GPTQ disagree about", () => {
  const shape = { N: 8, K: 8, groups: 1 };

  it("a stored zero point of 15 is refused in version 1, naming group and output, and is 15 in version 2", () => {
    expect(refusal(() => words(gptq, "qzeros", Int32Array.of(0x77f77777), shape))).toMatch(
      /^unsupported group 0, output 5: a stored zero point of 15, .* — save the checkpoint with checkpoint_format gptq_v2$/,
    );
    expect(unpackNibbles(words(gptqV2, "qzeros", Int32Array.of(0x77f77777), shape))[5]).toBe(15);
  });

  it("inputs in act-order are refused; a group index in order is not", () => {
    const check = (index: number[], K: number, groups: number): string =>
      refusal(() => gptq.checks[0]!.check(new Uint8Array(Int32Array.from(index).buffer), { N: 8, K, groups }));
    expect(check([0, 0, 1, 1], 4, 2)).toBe("read");
    expect(check([0, 1, 0, 1], 4, 2)).toMatch(
      /^unsupported inputs in act-order \(g_idx\), expected group 0 for input 1, got 1 — quantize with desc_act false/,
    );
  });
});

describe("compressed-tensors' weight_shape", () => {
  it("must be the shape that the config gives", () => {
    const check = (n: bigint, k: bigint): string =>
      refusal(() => compressedTensors.checks[0]!.check(new Uint8Array(BigInt64Array.of(n, k).buffer), { N: 8, K: 16, groups: 1 }));
    expect(check(8n, 16n)).toBe("read");
    expect(check(16n, 8n)).toMatch(
      /^shape shape, expected \[8, 16\], got \[16, 8\] — check that config.json and the weights are of one release$/,
    );
  });
});

describe("a layout without zero points", () => {
  it("has 8 for each", async () => {
    const ref = repeatedZeros("k", { N: 16, K: 32, groups: 2 });
    const bytes = new Uint8Array(ref.byteLength);
    await ref.readInto(0, bytes);
    expect([...new Set(unpackNibbles(new Int32Array(bytes.buffer)))]).toEqual([8]);
    expect(ref.byteLength).toBe(2 * 2 * 4);
  });
});

describe("zero points that the config calls symmetric", () => {
  const check = ({ qzeros: { toAwq } }: Layout, word: number): string =>
    refusal(() => toAwq !== "as stored" && checkSymmetric(toAwq(Int32Array.of(word), { N: 8, K: 8, groups: 1 })));

  it("are 8, however a layout stores them, or refused", () => {
    expect([check(gptq, 0x77777777), check(gptqV2, 0x88888888 | 0), check(compressedTensors, 0x88888888 | 0)]).toEqual([
      "read",
      "read",
      "read",
    ]);
    // All 9: a file of version 2 that says it is of version 1.
    for (const [layout, word] of [
      [gptq, 0x88888888 | 0],
      [gptq, 0x77777677],
      [gptqV2, 0x77777777],
      [compressedTensors, 0x08888888],
    ] as const)
      expect(check(layout, word)).toMatch(/^unsupported zero points other than 8, though the config says symmetric — set sym .* gptq_v2$/);
  });
});

describe("scales", () => {
  const refOf = (dtype: FloatDType, shape: number[], bytes: Uint8Array): TensorRef => ({
    key: "k.scales",
    dtype,
    shape,
    byteLength: bytes.length,
    async readInto(byteOffset, target) {
      target.set(bytes.subarray(byteOffset, byteOffset + target.length));
    },
  });
  const readScales = async (dtype: FloatDType, stored: Uint16Array | Float32Array, rounding: Rounding, transposed = false) => {
    const shape = { N: stored.length / 2, K: 16, groups: 2 };
    const layout = transposed ? compressedTensors : awq;
    const ref = convertedScales(refOf(dtype, [], new Uint8Array(stored.slice().buffer)), layout.scales, shape, rounding);
    const bytes = new Uint8Array(ref.byteLength);
    // In two parts, as readers do.
    await ref.readInto(0, bytes.subarray(0, 2));
    await ref.readInto(2, bytes.subarray(2));
    return new Uint16Array(bytes.buffer);
  };

  it("of bf16 are read exactly where f16 has the number, else rounded to the nearest and counted", async () => {
    const rounding = { numbers: 0, tensors: 0 };
    const all = Uint16Array.from({ length: 0x7f80 }, (_, bits) => bits).filter((bits) => Math.abs(bf16Value(bits)) < 65520);
    const even = all.subarray(0, all.length & ~1);
    const bits = await readScales("BF16", even, rounding);
    const inexact = even.filter((b, i) => f16Values()[bits[i]!] !== bf16Value(b));
    for (const [i, b] of even.entries()) if (bits[i] !== f16Bits(bf16Value(b))) expect.fail(`0x${b.toString(16)}`);
    expect(rounding).toEqual({ numbers: inexact.length, tensors: 1 });
    // Scales of real models, 2^-14 up, have eight bits at most, of which f16 holds eleven.
    for (const b of inexact) expect(bf16Value(b)).toBeLessThan(2 ** -16);
  });

  it("of f32 are read exactly where f16 has the number, and nothing is counted", async () => {
    const rounding = { numbers: 0, tensors: 0 };
    const stored = Float32Array.of(1, 0.5, 65504, 2 ** -24);
    expect(await readScales("F32", stored, rounding)).toEqual(Uint16Array.from(stored, f16Bits));
    expect(rounding).toEqual({ numbers: 0, tensors: 0 });
    await readScales("F32", Float32Array.of(0.1, 1, 1, 1), rounding);
    expect(rounding).toEqual({ numbers: 1, tensors: 1 });
  });

  it("beyond f16 are refused, naming the element", async () => {
    await expect(readScales("F32", Float32Array.of(1, 65520), { numbers: 0, tensors: 0 })).rejects.toMatchObject({
      code: "range",
      message: '"k.scales": scale at element 1, expected at most 65504 (f16), got 65520 — take another int4 release of the model',
    });
  });

  it("lie transposed in compressed-tensors", async () => {
    const bits = fc.array(fc.integer({ min: 0, max: 0x7bff }), { minLength: 16, maxLength: 16 });
    await fc.assert(
      fc.asyncProperty(bits, async (values) => {
        const stored = Uint16Array.from(values);
        const got = await readScales("F16", stored, { numbers: 0, tensors: 0 }, true);
        for (let n = 0; n < 8; n++) for (let g = 0; g < 2; g++) expect(got[g * 8 + n]).toBe(stored[n * 2 + g]);
      }),
    );
  });
});
