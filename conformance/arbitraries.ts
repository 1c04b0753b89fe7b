/**
 * Arbitraries that hunt. A case is drawn as a small JSON-able spec (shapes, and a recipe for each array), which is what
 * shrinks, what a failure prints and what `--replay` reads; arrays are made from it deterministically.
 */
import * as fc from "fast-check";
import { F32_MAX, nearestHalf } from "./accuracy.ts";

/** Kinds of data, from tame to nasty: shrinking goes to the left. */
export const dataKinds = [
  "ones", // every value 1
  "integers", // −8 … 8: sums and products are exact
  "zeros", // +0 and −0
  "equal", // one value everywhere
  "oneHot", // one value, else 0
  "normal", // Gaussian
  "positive", // |Gaussian|: partial sums grow
  "cancelling", // pairs v, −v in random places and a small rest: the sum is far below its terms
  "mixed", // ±2^k with k from −30 to 30
  "outliers", // Gaussian with one value in 16 a thousand times larger
  "f16Overflow", // magnitudes from 60,000 to 10⁶: beyond f16
  "tiny", // magnitudes from 2⁻¹⁴⁹ to 2⁻¹²⁰: subnormals and their neighbours
  "huge", // magnitudes from 2¹⁰⁰ to 2¹²⁷: products overflow
] as const;
export type DataKind = (typeof dataKinds)[number];

/** Values of an array: `kind`, times 2^exponent where that means something. */
export interface Recipe {
  readonly kind: DataKind;
  readonly exponent: number;
  readonly seed: number;
}

/** Gaussian of unit size. */
export const plain: Recipe = { kind: "normal", exponent: 0, seed: 1 };

/** A recipe of one of `kinds` (all of them but `huge` unless told). */
export function recipe(kinds: readonly DataKind[] = dataKinds.slice(0, -1), exponents = 4): fc.Arbitrary<Recipe> {
  return fc.record({
    kind: fc.constantFrom(...kinds),
    exponent: fc.integer({ min: -exponents, max: exponents }),
    seed: fc.nat(0xffff),
  });
}

/** Uniform numbers in [0, 1): Mulberry32 (T. Ettinger), seeded. */
export function uniform(seed: number): () => number {
  let state = (seed ^ 0x9e3779b9) | 0;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

const gaussian = (next: () => number): number => Math.sqrt(-2 * Math.log(1 - next())) * Math.cos(2 * Math.PI * next());

/** The array of a recipe: f32 values. */
export function values({ kind, exponent, seed }: Recipe, length: number): Float32Array {
  const out = new Float32Array(length);
  const next = uniform(seed);
  const unit = 2 ** exponent;
  const sign = (): number => (next() < 0.5 ? -1 : 1);
  const integer = (n: number): number => Math.floor(next() * n);
  switch (kind) {
    case "ones":
      return out.fill(1);
    case "integers":
      return out.map(() => integer(17) - 8);
    case "zeros":
      return out.map(() => sign() * 0);
    case "equal":
      return out.fill(gaussian(next) * unit);
    case "oneHot":
      out[integer(length)] = sign() * unit;
      return out;
    case "normal":
      return out.map(() => gaussian(next) * unit);
    case "positive":
      return out.map(() => Math.abs(gaussian(next)) * unit);
    case "cancelling": {
      const order = Array.from({ length }, (_, i) => i);
      for (let i = length - 1; i > 0; i--) {
        const j = integer(i + 1);
        [order[i], order[j]] = [order[j]!, order[i]!];
      }
      for (let i = 0; i + 1 < length; i += 2) {
        const v = gaussian(next) * unit * 1000;
        out[order[i]!] = v;
        out[order[i + 1]!] = -v;
      }
      if (length % 2) out[order[length - 1]!] = gaussian(next) * unit;
      return out;
    }
    case "mixed":
      return out.map(() => sign() * 2 ** (integer(61) - 30) * (1 + next()));
    case "outliers":
      return out.map(() => gaussian(next) * unit * (integer(16) === 0 ? 1000 : 1));
    case "f16Overflow":
      return out.map(() => sign() * (60_000 + next() * 940_000));
    case "tiny":
      return out.map(() => sign() * 2 ** -149 * Math.floor(2 ** (next() * 29)));
    case "huge":
      return out.map(() => sign() * Math.min(F32_MAX, 2 ** (100 + next() * 28)));
  }
}

/** The numbers on both sides of each edge, up to `max`. */
export const around = (edges: readonly number[], max: number): number[] =>
  [...new Set(edges.flatMap((n) => [n - 1, n, n + 1]))].filter((n) => n >= 1 && n <= max).sort((a, b) => a - b);

/**
 * A length from 1 to `max`: small, anywhere, or on either side of the sizes that tiles, subgroups and workgroups have.
 * Shrinks towards 1 from all three.
 */
export function axis(max: number, step = 1, edges: readonly number[] = [2, 4, 8, 16, 32, 64, 128, 256, 512]): fc.Arbitrary<number> {
  const most = Math.floor(max / step);
  return fc
    .oneof(
      { withCrossShrink: true },
      fc.integer({ min: 1, max: Math.min(most, 9) }),
      fc.constantFrom(...around([1, ...edges.map((n) => Math.max(1, Math.floor(n / step)))], most)),
      fc.integer({ min: 1, max: most }),
    )
    .map((n) => n * step);
}

const f32 = new Float32Array(1);
const f32Bits = new Uint32Array(f32.buffer);

/** Bits of the f16 next to an f32, to nearest, ties to even; the largest finite one for what f16 does not hold. */
export function finiteF16Bits(value: number): number {
  const bits = nearestHalf(Math.fround(value));
  return (bits & 0x8000) | Math.min(bits & 0x7fff, 0x7bff);
}

/** Bits of the bfloat16 below or at a value in magnitude: the upper half of its f32 bits. */
export function bf16Bits(value: number): number {
  f32[0] = value;
  return f32Bits[0]! >>> 16;
}

/** Kinds of f16 scale of an AWQ group. */
export const scaleKinds = ["one", "powers", "usual", "ends"] as const;
export type ScaleKind = (typeof scaleKinds)[number];

/**
 * f16 bits of `length` scales: 1; powers of two; 0.001 … 0.05 as in checkpoints; the ends of f16, subnormals and zero
 * included.
 */
export function scaleBits(kind: ScaleKind, seed: number, length: number): Uint16Array {
  const next = uniform(seed);
  const ends = [0x0001, 0x03ff, 0x0400, 0x0401, 0x7bff, 0x7800, 0x0000, 0x3c00, 0x1400];
  return Uint16Array.from({ length }, () => {
    if (kind === "one") return 0x3c00;
    if (kind === "powers") return finiteF16Bits(2 ** (Math.floor(next() * 17) - 8));
    if (kind === "usual") return finiteF16Bits(0.001 + next() * 0.049);
    return ends[Math.floor(next() * ends.length)]!;
  });
}

/** Kinds of packed nibbles. */
export const nibbleKinds = ["eights", "every", "random", "ends"] as const;
export type NibbleKind = (typeof nibbleKinds)[number];

/** `length` words of eight nibbles: all 8; 0 … 15 in turn; random; 0 and 15. */
export function nibbleWords(kind: NibbleKind, seed: number, length: number): Int32Array {
  const next = uniform(seed);
  return Int32Array.from({ length }, (_, i) => {
    let word = 0;
    for (let j = 0; j < 8; j++) {
      const value =
        kind === "eights"
          ? 8
          : kind === "every"
            ? (i * 8 + j + seed) & 15
            : kind === "random"
              ? Math.floor(next() * 16)
              : next() < 0.5
                ? 0
                : 15;
      word |= value << (4 * j);
    }
    return word;
  });
}
