/** Laws of the AWQ GEMM layout, and AutoAWQ's own dequantization as oracle. */
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { memorySource } from "../../../../core/checkpoint/byte-source.ts";
import { openSafetensors, readTensor, type Safetensors } from "../../../../core/checkpoint/safetensors.ts";
import { f16Bits, f16Values, roundHalfEven } from "../../../../core/dtype.ts";
import { GureumError } from "../../../../core/errors.ts";
import {
  columnOfNibble,
  dequantize,
  dequantizeToF16,
  packNibbles,
  shiftOfColumn,
  unpackNibbles,
} from "../../../../core/quant/awq-format.ts";
import { quantize } from "../../../../core/quant/search/grid.ts";
import type { AwqMatrix } from "../../../../core/tensor.ts";

const word = fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 });

describe("packNibbles, unpackNibbles", () => {
  it("are inverse to each other on all words", () => {
    fc.assert(
      fc.property(fc.array(word, { maxLength: 40 }), (words) => {
        const packed = Int32Array.from(words);
        expect(packNibbles(unpackNibbles(packed))).toEqual(packed);
      }),
    );
    fc.assert(
      fc.property(fc.array(fc.nat(15), { maxLength: 40 }), (values) => {
        const whole = Uint8Array.from(values.slice(0, values.length - (values.length % 8)));
        expect(unpackNibbles(packNibbles(whole))).toEqual(whole);
      }),
    );
  });

  it("decode the probe word 0x76543210 to 0 4 1 5 2 6 3 7", () => {
    expect([...unpackNibbles(Int32Array.of(0x76543210))]).toEqual([0, 4, 1, 5, 2, 6, 3, 7]);
  });

  it("use two tables that are each other's inverse", () => {
    for (let i = 0; i < 8; i++) expect(shiftOfColumn[columnOfNibble[i]!]).toBe(4 * i);
  });

  it("treat words as unsigned: 0xffffffff is eight fifteens", () => {
    expect([...unpackNibbles(Int32Array.of(-1))]).toEqual(new Array(8).fill(15));
  });

  it("refuse what does not fit", () => {
    expect(() => packNibbles(new Uint8Array(7))).toThrow(GureumError);
    expect(() => packNibbles(Uint8Array.of(0, 0, 0, 16, 0, 0, 0, 0))).toThrow(/value 3: int4, expected 0 to 15, got 16/);
  });
});

describe("f16Bits", () => {
  const table = f16Values();

  it("returns every finite half to its bits", () => {
    for (let bits = 0; bits < 65536; bits++) if ((bits & 0x7c00) !== 0x7c00) expect(f16Bits(table[bits]!)).toBe(bits);
  });

  it("chooses the nearest half, ties to even", () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 0x7bfe }), fc.double({ min: 0, max: 1, noNaN: true }), (bits, at) => {
        const low = table[bits]!;
        const high = table[bits + 1]!;
        const value = low + (high - low) * at;
        const chosen = f16Bits(value);
        const below = value - low;
        const above = high - value;
        if (below !== above) expect(chosen).toBe(below < above ? bits : bits + 1);
        else expect(chosen).toBe(bits % 2 === 0 ? bits : bits + 1);
      }),
      {
        examples: [
          [5, 0.5],
          [6, 0.5],
          [0x3ff, 0.5],
          [0, 0.5],
          [0x7bfe, 0.5],
        ],
      },
    );
  });

  it("overflows at 65520 and keeps the sign of zero", () => {
    expect(f16Bits(65519.999)).toBe(0x7bff);
    expect(f16Bits(65520)).toBe(0x7c00);
    expect(f16Bits(-Infinity)).toBe(0xfc00);
    expect(f16Bits(-0)).toBe(0x8000);
    expect(f16Bits(Number.NaN) & 0x7fff).toBeGreaterThan(0x7c00);
  });

  it("rounds halves to even integers", () => {
    for (const [x, y] of [
      [0.5, 0],
      [1.5, 2],
      [2.5, 2],
      [-0.5, 0],
      [-1.5, -2],
      [7.49, 7],
    ] as const)
      expect(roundHalfEven(x) + 0).toBe(y);
  });
});

/** A weight [N, K] in groups of G, its scale spread over many magnitudes. */
const weightMatrix = fc
  .record({
    n: fc.constantFrom(8, 16),
    groups: fc.integer({ min: 1, max: 3 }),
    groupSize: fc.constantFrom(1, 2, 7, 32),
    exponent: fc.integer({ min: -30, max: 12 }),
  })
  .chain(({ n, groups, groupSize, exponent }) => {
    const k = groups * groupSize;
    return fc
      .array(fc.float({ min: -1, max: 1, noNaN: true }), { minLength: n * k, maxLength: n * k })
      .map((values) => ({ n, k, groupSize, weight: Float32Array.from(values, (v) => v * 2 ** exponent) }));
  });

describe("quantize", () => {
  it("is undone by dequantize within half a step where a group's range holds zero", () => {
    fc.assert(
      fc.property(weightMatrix, ({ n, k, groupSize, weight }) => {
        const matrix = quantize(weight, n, k, groupSize);
        const back = dequantize(matrix);
        const scales = matrix.scales;
        for (let row = 0; row < n; row++) {
          for (let start = 0; start < k; start += groupSize) {
            const group = weight.subarray(row * k + start, row * k + start + groupSize);
            const min = Math.min(...group);
            const max = Math.max(...group);
            if (min > 0 || max < 0) continue;
            const scale = f16Values()[scales[(start / groupSize) * n + row]!]!;
            const bound = scale / 2 + Math.max(0, max - min - 15 * scale);
            for (const [i, w] of group.entries()) {
              const error = Math.abs(back[(start + i) * n + row]! - w);
              // |q·s − w| is computed in f64 from exact operands; w / s is rounded once, by at most 2^-53 of 15 steps.
              expect(error).toBeLessThanOrEqual(bound + 15 * scale * 2 ** -52);
            }
          }
        }
      }),
    );
  });

  it("uses AutoAWQ's scale, zero point and half-to-even rounding", () => {
    const weight = new Float32Array(16);
    weight.set([-3, 12, 0.5, 1.5, 2.5, -0.5, 7, -2.5], 0);
    weight.set([0, 0, 0, 0, 0, 0, 0, 0], 8);
    const whole = new Float32Array(8 * 8);
    whole.set(weight);
    const matrix = quantize(whole, 8, 8, 8);
    expect(f16Values()[matrix.scales[0]!]).toBe(1);
    expect(unpackNibbles(matrix.qzeros)[0]).toBe(3);
    const q = unpackNibbles(matrix.qweight);
    expect(Array.from({ length: 8 }, (_, k) => q[k * 8])).toEqual([0, 15, 3, 5, 5, 3, 10, 1]);
    expect(matrix.scales[1]).toBe(f16Bits(1e-5 / 15));
  });

  it("refuses NaN, infinity, overflowing scales and shapes that do not divide", () => {
    const weight = new Float32Array(64);
    weight[9] = Number.NaN;
    expect(() => quantize(weight, 8, 8, 8)).toThrow(/row 1, input 1: weight, got NaN/);
    weight.set([3e38, -3e38], 8);
    expect(() => quantize(weight, 8, 8, 8)).toThrow(
      /scale of a group of weights, expected at most 65504 .* — look for a damaged weight there/,
    );
    expect(() => quantize(new Float32Array(64), 8, 8, 3)).toThrow(/multiple of the group size 3/);
    expect(() => quantize(new Float32Array(36), 9, 4, 4)).toThrow(/a multiple of 8, got 9/);
    expect(() => quantize(new Float32Array(8), 8, 8, 8)).toThrow(/expected 64, got 8/);
  });
});

describe("dequantize", () => {
  it("checks the lengths of its arrays", () => {
    const matrix = quantize(new Float32Array(64), 8, 8, 4);
    expect(() => dequantize({ ...matrix, qzeros: new Int32Array(1) })).toThrow(/elements of qzeros, expected 2, got 1/);
    expect(() => dequantizeToF16({ ...matrix, scales: new Uint16Array(1) })).toThrow(/elements of scales/);
  });

  it("uses the scale and zero point of each row's own group, for all bits", () => {
    fc.assert(
      fc.property(
        fc.record({
          groups: fc.integer({ min: 1, max: 3 }),
          groupSize: fc.integer({ min: 1, max: 5 }),
          words: fc.integer({ min: 1, max: 2 }),
          seed: fc.integer(),
        }),
        ({ groups, groupSize, words, seed }) => {
          let state = seed | 1;
          const next = (): number => {
            state = (Math.imul(state, 1664525) + 1013904223) | 0;
            return state;
          };
          const k = groups * groupSize;
          const n = 8 * words;
          const matrix: AwqMatrix = {
            kind: "awq",
            outFeatures: n,
            inFeatures: k,
            groupSize,
            qweight: Int32Array.from({ length: k * words }, next),
            qzeros: Int32Array.from({ length: groups * words }, next),
            scales: Uint16Array.from({ length: groups * n }, () => next() & 0x3fff),
          };
          const q = unpackNibbles(matrix.qweight);
          const z = unpackNibbles(matrix.qzeros);
          const weights = dequantize(matrix);
          for (let row = 0; row < k; row++)
            for (let column = 0; column < n; column++) {
              const at = Math.floor(row / groupSize) * n + column;
              expect(weights[row * n + column]).toBe((q[row * n + column]! - z[at]!) * f16Values()[matrix.scales[at]!]!);
            }
        },
      ),
    );
  });
});

async function checkGoldens(path: string, minimumCases: number): Promise<void> {
  const file = await openSafetensors(memorySource(path, new Uint8Array(readFileSync(`${path}.safetensors`))));
  const { cases } = JSON.parse(readFileSync(`${path}.json`, "utf8")) as {
    cases: { name: string; K: number; N: number; group_size: number }[];
  };
  expect(cases.length).toBeGreaterThanOrEqual(minimumCases);
  for (const { name, K, N, group_size } of cases) {
    const matrix: AwqMatrix = {
      kind: "awq",
      outFeatures: N,
      inFeatures: K,
      groupSize: group_size,
      qweight: new Int32Array(await buffer(file, `${name}.qweight`)),
      qzeros: new Int32Array(await buffer(file, `${name}.qzeros`)),
      scales: new Uint16Array(await buffer(file, `${name}.scales`)),
    };
    const expected = new Uint16Array(await buffer(file, `${name}.w_fp16`));
    const got = dequantizeToF16(matrix);
    const differs = got.findIndex((bits, i) => bits !== expected[i]);
    expect(`${name}: first difference at ${differs}`).toBe(`${name}: first difference at -1`);
    expect(got.length).toBe(expected.length);
  }
}

async function buffer(file: Safetensors, name: string): Promise<ArrayBuffer> {
  return (await readTensor(file, name)).buffer as ArrayBuffer;
}

describe("dequantizeToF16", () => {
  it("gives AutoAWQ's bits on the committed goldens", () =>
    checkGoldens(fileURLToPath(new URL("../../fixtures/data/awq-linear", import.meta.url)), 11));

  const fixtures = process.env.GUREUM_FIXTURES;
  it.skipIf(!fixtures)("gives AutoAWQ's bits on the full set (GUREUM_FIXTURES)", () => checkGoldens(`${fixtures}/golden/awq/linear`, 18));
});
