/**
 * Our conversions of 16-bit floats against independent ones: binary16 against a package of its own, bfloat16 against
 * DataView.
 */
import { Float16Array, f16round, getFloat16, setFloat16 } from "@petamoriken/float16";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { bf16Value, f16Bits, f16Values, widenFloats } from "../../../core/dtype.ts";

const view = new DataView(new ArrayBuffer(8));
/** Bits of the binary16 nearest to `value`, by the other implementation. */
function otherBits(value: number): number {
  setFloat16(view, 0, value);
  return view.getUint16(0);
}
/** The next f64 above or below, by its bits. */
function neighbour(value: number, step: 1n | -1n): number {
  view.setFloat64(0, value);
  view.setBigInt64(0, view.getBigInt64(0) + (value < 0 ? -step : step));
  return view.getFloat64(0);
}
const isNaN16 = (bits: number): boolean => (bits & 0x7fff) > 0x7c00;

describe("binary16", () => {
  const table = f16Values();

  it("has the value that an independent implementation gives each of the 65,536 patterns, and comes back to the same bits", () => {
    for (let bits = 0; bits < 65536; bits++) {
      view.setUint16(0, bits);
      const value = getFloat16(view, 0);
      if (!Object.is(table[bits], value)) expect.fail(`0x${bits.toString(16)}: ${table[bits]}, the other gives ${value}`);
      if (f16Bits(value) !== (isNaN16(bits) ? 0x7e00 : bits))
        expect.fail(`0x${bits.toString(16)} becomes 0x${f16Bits(value).toString(16)}`);
    }
  });

  it("rounds as it on both sides of every border between two neighbours, and on the border itself", () => {
    for (let bits = 0; bits < 0x7c00; bits++) {
      const next = bits + 1 === 0x7c00 ? 65536 : table[bits + 1]!;
      const border = (table[bits]! + next) / 2;
      for (const value of [border, neighbour(border, 1n), neighbour(border, -1n)])
        for (const signed of [value, -value])
          if (f16Bits(signed) !== otherBits(signed))
            expect.fail(`${signed}: 0x${f16Bits(signed).toString(16)}, not 0x${otherBits(signed).toString(16)}`);
    }
  });

  it("rounds any f64 as it, in one rounding", () => {
    fc.assert(
      fc.property(fc.oneof(fc.double(), fc.double({ min: -70000, max: 70000 }), fc.double({ min: -1e-4, max: 1e-4 })), (value) => {
        const bits = f16Bits(value);
        expect(bits).toBe(Number.isNaN(value) ? 0x7e00 : otherBits(value));
        expect(table[bits]).toEqual(f16round(value));
      }),
      { numRuns: 5000 },
    );
  });

  it("widens an array as its Float16Array holds it", () => {
    const bits = Uint16Array.from({ length: 65536 }, (_, i) => i);
    expect(widenFloats(bits.buffer, "F16")).toEqual(Float32Array.from(new Float16Array(bits.buffer)));
  });
});

describe("bfloat16", () => {
  it("is the upper half of an f32, for each of the 65,536 patterns", () => {
    const bits = Uint16Array.from({ length: 65536 }, (_, i) => i);
    const wide = widenFloats(bits.buffer, "BF16");
    for (let i = 0; i < 65536; i++) {
      view.setUint32(0, i * 65536);
      if (!Object.is(bf16Value(i), view.getFloat32(0)) || !Object.is(wide[i], view.getFloat32(0))) expect.fail(`0x${i.toString(16)}`);
    }
  });
});
