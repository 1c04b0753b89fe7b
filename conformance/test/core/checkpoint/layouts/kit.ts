/**
 * The laws of a quantization layout, the same for each: packers written here from the layout's definition make its
 * tensors out of any q, z and s; what is read is these numbers, the weights are (q − z) · s bit for bit, and packing
 * what was read gives the stored words again.
 */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { fieldsOf } from "../../../../../core/checkpoint/fields.ts";
import { detectLayout } from "../../../../../core/checkpoint/layouts/index.ts";
import type { Int4Shape, Layout, StoredWords } from "../../../../../core/checkpoint/layouts/layout.ts";
import { f16Values } from "../../../../../core/dtype.ts";
import { parseJson } from "../../../../../core/json.ts";
import { dequantize, unpackNibbles } from "../../../../../core/quant/awq-format.ts";
import type { AwqMatrix } from "../../../../../core/tensor.ts";

/** q [K, N] and z [groups, N], 0 to 15. */
export interface Int4 {
  readonly shape: Int4Shape;
  readonly q: Uint8Array;
  readonly z: Uint8Array;
}

/** Words of eight values each, the first in the lowest bits; `at(word, i)` says which value. */
export function packInOrder(words: number, values: Uint8Array, at: (word: number, i: number) => number): Int32Array {
  return Int32Array.from({ length: words }, (_, word) => {
    let bits = 0;
    for (let i = 0; i < 8; i++) bits |= values[at(word, i)]! << (4 * i);
    return bits;
  });
}

/** How a layout stores an int4 linear, from its definition. */
export interface Packers {
  readonly qweight: (linear: Int4) => Int32Array;
  readonly qzeros: (linear: Int4) => Int32Array;
  /** The zero points that the layout can store. */
  readonly zeros: readonly [number, number];
}

const arbitraryInt4 = ([low, high]: readonly [number, number]): fc.Arbitrary<Int4> =>
  fc
    .record({ n: fc.integer({ min: 1, max: 4 }), perGroup: fc.integer({ min: 1, max: 3 }), groups: fc.integer({ min: 1, max: 3 }) })
    .chain(({ n, perGroup, groups }) => {
      const shape: Int4Shape = { N: 8 * n, K: 8 * perGroup * groups, groups };
      const bytes = (length: number, min: number, max: number) =>
        fc.array(fc.integer({ min, max }), { minLength: length, maxLength: length }).map((values) => Uint8Array.from(values));
      return fc.record({ shape: fc.constant(shape), q: bytes(shape.K * shape.N, 0, 15), z: bytes(groups * shape.N, low, high) });
    });

const read = ({ toAwq }: StoredWords, words: Int32Array, shape: Int4Shape): Int32Array =>
  toAwq === "as stored" ? words : toAwq(words, shape);

const written = ({ fromAwq }: StoredWords, words: Int32Array, shape: Int4Shape): Int32Array =>
  fromAwq === "as stored" ? words : fromAwq(words, shape);

export function layoutLaws(layout: Layout, packers: Packers): void {
  describe(`the layout ${layout.name}`, () => {
    it("has the shapes that its words fill", () => {
      fc.assert(
        fc.property(arbitraryInt4(packers.zeros), (linear) => {
          const count = (shape: readonly number[]): number => shape.reduce((product, size) => product * size, 1);
          expect(count(layout.qweight.shape(linear.shape))).toBe(packers.qweight(linear).length);
          expect(count(layout.qzeros.shape(linear.shape))).toBe(packers.qzeros(linear).length);
        }),
      );
    });

    it("reads the q and z that were stored, so the weights are (q − z) · s bit for bit", () => {
      fc.assert(
        fc.property(arbitraryInt4(packers.zeros), fc.integer({ min: 1, max: 0x7bff }), (linear, scale) => {
          const { shape, q, z } = linear;
          const { N, K, groups } = shape;
          const qweight = read(layout.qweight, packers.qweight(linear), shape);
          const qzeros = read(layout.qzeros, packers.qzeros(linear), shape);
          expect(unpackNibbles(qweight)).toEqual(q);
          expect(unpackNibbles(qzeros)).toEqual(z);
          const scales = Uint16Array.from({ length: groups * N }, (_, i) => ((scale + 97 * i) % 0x7bff) + 1);
          const matrix: AwqMatrix = { kind: "awq", outFeatures: N, inFeatures: K, groupSize: K / groups, qweight, qzeros, scales };
          const weights = dequantize(matrix);
          for (let k = 0; k < K; k++)
            for (let n = 0; n < N; n++) {
              const at = Math.floor((k * groups) / K) * N + n;
              expect(weights[k * N + n]).toBe((q[k * N + n]! - z[at]!) * f16Values()[scales[at]!]!);
            }
        }),
        { numRuns: 30 },
      );
    });

    it("writes the words that it read, and reads the words that it wrote", () => {
      fc.assert(
        fc.property(arbitraryInt4(packers.zeros), (linear) => {
          for (const name of ["qweight", "qzeros"] as const) {
            const stored = packers[name](linear);
            const inMemory = read(layout[name], stored, linear.shape);
            expect(written(layout[name], inMemory, linear.shape)).toEqual(stored);
            expect(read(layout[name], written(layout[name], inMemory, linear.shape), linear.shape)).toEqual(inMemory);
          }
        }),
      );
    });

    it("writes further tensors that its own reading accepts, and a config that it detects", () => {
      fc.assert(
        fc.property(arbitraryInt4(packers.zeros), fc.boolean(), ({ shape }, whole) => {
          for (const { check, content, shape: sizes } of layout.checks) {
            if (!content) continue;
            const values = content(shape);
            expect(values).toHaveLength(sizes(shape).reduce((product, size) => product * size, 1));
            expect(() => check(new Uint8Array(values.buffer), shape)).not.toThrow();
          }
          const groupSize = whole ? "whole" : shape.K / shape.groups;
          const config = layout.config({ groupSize, symmetric: false, unconverted: [] });
          const fields = fieldsOf(parseJson(new TextEncoder().encode(JSON.stringify(config))), "quantization_config");
          expect(detectLayout(fields)).toEqual({ layout: layout.name, groupSize, symmetric: false });
        }),
        { numRuns: 20 },
      );
    });

    it("loses nothing: stored again, what was read gives the same words", () => {
      fc.assert(
        fc.property(arbitraryInt4(packers.zeros), (linear) => {
          const { shape } = linear;
          const stored = { qweight: packers.qweight(linear), qzeros: packers.qzeros(linear) };
          const again: Int4 = {
            shape,
            q: unpackNibbles(read(layout.qweight, stored.qweight, shape)),
            z: unpackNibbles(read(layout.qzeros, stored.qzeros, shape)),
          };
          expect(packers.qweight(again)).toEqual(stored.qweight);
          expect(packers.qzeros(again)).toEqual(stored.qzeros);
        }),
      );
    });
  });
}
