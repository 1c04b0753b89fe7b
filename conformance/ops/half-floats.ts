/** Conversions of 16-bit floats, bit for bit: core/dtype.ts against tables and searches of its own. */
import * as fc from "fast-check";
import { bf16Value, f16Bits, f16Values } from "../../core/dtype.ts";
import { bfloatNumber, halfNumbers, makeExpected, nearestHalf } from "../accuracy.ts";
import { type Recipe, recipe, values } from "../arbitraries.ts";
import { halves } from "../cases/words.ts";
import type { Kit } from "../kit.ts";

interface Spec {
  /** Values to be rounded: of a recipe, or the middle of every two neighbours with what lies beside it. */
  readonly x: Recipe | "middles";
  /** Patterns to be widened, from the first on. */
  readonly first: number;
  readonly count: number;
}
export interface HalfFloatsCase {
  readonly x: Float64Array;
  readonly patterns: Uint16Array;
}

/** The middle of every two neighbours of either sign, and the binary32 numbers beside it. */
function middles(): Float64Array {
  const known = halfNumbers();
  const all: number[] = [];
  for (let bits = 0; bits < 0x7c00; bits++) {
    const middle = (known[bits]! + (bits === 0x7bff ? 65536 : known[bits + 1]!)) / 2;
    for (const x of [middle, middle * (1 - 2 ** -24), middle * (1 + 2 ** -23)]) all.push(x, -x);
  }
  return Float64Array.from(all);
}

/** The bits of each value as a number, then two 16-bit halves of each pattern widened as binary16 and as bfloat16. */
function outputs(
  { x, patterns }: HalfFloatsCase,
  bitsOf: (x: number) => number,
  half: (bits: number) => number,
  bfloat: (bits: number) => number,
) {
  const out = new Float32Array(x.length + 4 * patterns.length);
  out.set(Float32Array.from(x, bitsOf));
  const words = (widen: (bits: number) => number): Float32Array => {
    const wide = Float32Array.from(patterns, widen);
    // One NaN for all.
    for (let i = 0; i < wide.length; i++) if (Number.isNaN(wide[i])) wide[i] = Number.NaN;
    return halves(new Uint32Array(wide.buffer));
  };
  out.set(words(half), x.length);
  out.set(words(bfloat), x.length + 2 * patterns.length);
  return out;
}

export const kit: Kit<Spec, HalfFloatsCase> = {
  name: "half-floats",
  formula: "bits of the f16 nearest x, ties to even; values of all f16 and bf16",
  reference: {
    arithmetic: "f64",
    run: (c, out) => out.set(outputs(c, f16Bits, (bits) => f16Values()[bits]!, bf16Value)),
  },
  spec: fc.record({ x: recipe(), first: fc.nat(65535), count: fc.constantFrom(1, 7, 256) }),
  boundaries: [{ x: "middles", first: 0, count: 65536 }],
  make: ({ x, first, count }) => ({
    x: x === "middles" ? middles() : Float64Array.from(values(x, 257)),
    patterns: Uint16Array.from({ length: count }, (_, i) => (first + i) & 0xffff),
  }),
  length: ({ x, patterns }) => x.length + 4 * patterns.length,
  expected(c) {
    const e = makeExpected(c.x.length + 4 * c.patterns.length);
    e.value.set(outputs(c, nearestHalf, (bits) => halfNumbers()[bits]!, bfloatNumber));
    return e;
  },
  laws: [],
  refusals: [],
  dotLike: false,
};
