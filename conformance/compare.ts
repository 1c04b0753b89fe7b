/** Comparing outputs: against expected values within bounds, with one another, and looking for poison. */
import { argmax } from "../core/sample/sampler.ts";
import { type Expected, ulpF32 } from "./accuracy.ts";

/** A NaN that no arithmetic makes: fills outputs before a run. */
export const POISON = 0x7fc5a5a5;
/**
 * Fills the guard bands around outputs and what lies behind inputs: 347321008128 as f32, and unlike most words as
 * anything else.
 */
export const JUNK = 0x52a1bb4d;
/** Elements of a guard band: 256 bytes, WebGPU's storage offset alignment. */
export const GUARD = 64;

/** An output of `length` elements, poison, between two guard bands of junk. */
export function makeOutput(length: number): Float32Array {
  const words = new Uint32Array(length + 2 * GUARD).fill(JUNK).fill(POISON, GUARD, GUARD + length);
  return new Float32Array(words.buffer, GUARD * 4, length);
}

/** The first thing wrong with where a subject wrote: an output left as it was, or a guard band touched. */
export function strayWrite(out: Float32Array): string | null {
  const words = new Uint32Array(out.buffer);
  for (let i = 0; i < words.length; i++) {
    const inside = i >= GUARD && i < GUARD + out.length;
    if (inside ? words[i] === POISON : words[i] !== JUNK)
      return inside ? `element ${i - GUARD} was not written` : `wrote outside, at element ${i - GUARD}`;
  }
  return null;
}

/** The worst element of a comparison. */
export interface Worst {
  /** Which element. */
  readonly index: number;
  /** The exact value. */
  readonly expected: number;
  /** The subject's. */
  readonly got: number;
  /** Absolute. */
  readonly error: number;
  /** What the error may be. */
  readonly bound: number;
  /** error ÷ bound; 0 where both are 0. */
  readonly headroom: number;
  /**
   * Largest error in units of the last place of the expected value, over the elements whose bound leaves it a correct
   * bit.
   */
  readonly ulp: number;
}

/**
 * Compares element by element; null where no element has a finite bound. A NaN where a number is due has headroom ∞.
 */
export function compare(out: Float32Array, { value, bound }: Expected): Worst | null {
  let worst: Worst | null = null;
  let ulp = 0;
  for (let i = 0; i < value.length; i++) {
    const b = bound[i]!;
    if (b === Infinity) continue;
    const got = out[i]!;
    const error = Number.isNaN(got) ? Infinity : Math.abs(got - value[i]!);
    const headroom = error === 0 ? 0 : error / b;
    if (b < Math.abs(value[i]!) / 2) ulp = Math.max(ulp, error / ulpF32(value[i]!));
    if (!worst || headroom > worst.headroom) worst = { index: i, expected: value[i]!, got, error, bound: b, headroom, ulp: 0 };
  }
  return worst ? { ...worst, ulp } : null;
}

const number = (x: number): string => (Number.isInteger(x) && Math.abs(x) < 1e6 ? `${x}` : x.toPrecision(9));

/** "element 3: expected 1.5, got 1.7, error 0.2, bound 0.1 (2 × the bound)" */
export const describeWorst = (w: Worst): string =>
  `element ${w.index}: expected ${number(w.expected)}, got ${number(w.got)}, error ${w.error.toExponential(3)}, bound ${w.bound.toExponential(3)} (${w.headroom.toPrecision(3)} × the bound)`;

const bitsOf = (x: Float32Array): Uint32Array => new Uint32Array(x.buffer, x.byteOffset, x.length);

/** null where the bits agree from `from` on (in `a`) and `fromB` (in `b`) over `length`; +0 and −0 count as equal. */
export function sameBits(
  a: Float32Array,
  b: Float32Array,
  from = 0,
  fromB: number = from,
  length: number = a.length - from,
): string | null {
  const x = bitsOf(a);
  const y = bitsOf(b);
  for (let i = 0; i < length; i++) {
    if (
      x[from + i] !== y[fromB + i] &&
      !(a[from + i] === 0 && b[fromB + i] === 0) &&
      !(Number.isNaN(a[from + i]) && Number.isNaN(b[fromB + i]))
    )
      return `element ${from + i}: ${a[from + i]} and ${b[fromB + i]} are not the same bits`;
  }
  return null;
}

/** null where a value is within `bound` of another; for laws that compare sums over outputs. */
export function within(what: string, got: number, expected: number, bound: number): string | null {
  if (bound === Infinity || Math.abs(got - expected) <= bound) return null;
  return `${what}: expected ${expected}, got ${got}, bound ${bound.toExponential(3)}`;
}

/** KL(p ‖ q) of the softmaxes of two rows of logits, in nats; f64. */
export function divergence(p: Float32Array, q: Float32Array): number {
  const logs = (x: Float32Array): Float64Array => {
    const max = x[argmax(x)]!;
    const sum = x.reduce((s, v) => s + Math.exp(v - max), 0);
    return Float64Array.from(x, (v) => v - max - Math.log(sum));
  };
  const [a, b] = [logs(p), logs(q)];
  return a.reduce((s, v, i) => s + Math.exp(v) * (v - b[i]!), 0);
}
