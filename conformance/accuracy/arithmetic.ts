/**
 * The two arithmetics that bounds are stated for, as data: how far one operation of each may be from the exact result.
 * Sources: WGSL (W3C), sections "Floating Point Evaluation" and "Accuracy of Concrete Floating Point Expressions";
 * Higham, Accuracy and Stability of Numerical Algorithms (2nd ed. 2002), chapters 2 and 3. Derivations:
 * docs/accuracy.md.
 */

/** Largest finite f32. */
export const F32_MAX: number = (2 - 2 ** -23) * 2 ** 127;
/** Smallest normal f32: what is smaller may be flushed to zero. */
export const F32_TINY: number = 2 ** -126;

/**
 * Error of one operation. Relative errors are in units of 1, not ULP: n ULP of an f32 is at most n · 2⁻²³ of its value.
 */
export interface Arithmetic {
  /** Whose arithmetic it is. */
  readonly name: "f64" | "wgsl";
  /** Bits of a significand. */
  readonly precision: number;
  /** Relative error of +, −, × (and of a conversion that rounds), and the same as a share of the result's ULP. */
  readonly u: number;
  /** `u` as a share of the result's ULP. */
  readonly ulps: number;
  /** Absolute error of one operation whose result is subnormal. */
  readonly eta: number;
  /** Inputs of magnitude below this may be read as zero. */
  readonly flushed: number;
  /** Relative error of x / y. */
  readonly division: number;
  /** Relative error of 1 / √x. */
  readonly inverseSqrt: number;
  /**
   * Relative error of exp(x), and its absolute error where the result is subnormal: as many ULP, but of 2⁻¹⁴⁹, or a
   * flush.
   */
  exp(x: number): number;
  /** Absolute error of exp(x) where the result is subnormal. */
  expEta(x: number): number;
  /** Relative and absolute error of storing a result as f32. */
  readonly store: number;
  /** Absolute error of storing a number. */
  readonly storeEta: number;
  /** An intermediate of larger magnitude is infinite. */
  readonly max: number;
}

/**
 * The CPU reference: IEEE f64 rounded to nearest, one rounding to f32 at the end. ECMAScript leaves the accuracy of
 * Math.exp to the engine; 1 ULP is what fdlibm, which V8 uses, promises.
 */
export const f64: Arithmetic = {
  name: "f64",
  precision: 53,
  u: 2 ** -53,
  ulps: 0.5,
  eta: 2 ** -1074,
  flushed: 0,
  division: 2 ** -53,
  inverseSqrt: 2 ** -52,
  exp: () => 2 ** -52,
  expEta: () => 2 ** -1074,
  store: 2 ** -24,
  storeEta: 2 ** -150,
  max: Number.MAX_VALUE,
};

/**
 * f32 in WGSL. No rounding mode is specified: a correctly rounded result is either neighbour, so u is a whole ULP,
 * 2⁻²³. Subnormals may be flushed, as inputs and as results. Division: 2.5 ULP; inverseSqrt: 2 ULP; exp: 3 + 2|x| ULP.
 */
export const wgsl: Arithmetic = {
  name: "wgsl",
  precision: 24,
  u: 2 ** -23,
  ulps: 1,
  eta: F32_TINY,
  flushed: F32_TINY,
  division: 2.5 * 2 ** -23,
  inverseSqrt: 2 * 2 ** -23,
  exp: (x) => (3 + 2 * Math.abs(x)) * 2 ** -23,
  expEta: (x) => Math.max(F32_TINY, (3 + 2 * Math.abs(x)) * 2 ** -149),
  store: 0,
  storeEta: 0,
  max: F32_MAX,
};

/**
 * Sums of f16 products by subgroup matrices. WGSL's draft states no accuracy; hardware aligns a product's terms and the
 * sum so far to the largest and truncates each (Fasi, Higham, Mikaitis, Pranesh, Numerical behavior of NVIDIA tensor
 * cores, PeerJ CS 2021): a step of 16 terms errs by at most 18 ULP of the largest magnitude, of 8 terms by 10, where a
 * chain would have as many as terms. So 1.25 ULP a term. f16 operands below 2⁻¹⁴ may be read as zero.
 */
export const matrixSums: Arithmetic = { ...wgsl, u: 1.25 * 2 ** -23, ulps: 1.25, flushed: 2 ** -14 };

/** γ_n = n·u / (1 − n·u), Higham lemma 3.1: n roundings in a row change a value by at most this much, relatively. */
export function gamma(n: number, u: number): number {
  const nu = n * u;
  return nu < 1 ? nu / (1 - nu) : Infinity;
}

/** (1 + a)(1 + b)… − 1: relative errors one after the other. */
export function compose(...errors: readonly number[]): number {
  let product = 1;
  for (const e of errors) product *= 1 + e;
  // The product of numbers near 1 loses the low bits that the sum keeps; both are lower estimates of the exact value by
  // less than 2⁻⁵⁰.
  return Math.max(
    product - 1,
    errors.reduce((s, e) => s + e, 0),
  );
}

const wide = new Float64Array(1);
const wideWords = new Uint32Array(wide.buffer);

/** 2^e of a whole number e, by its bits where it is normal: each term of each bound asks for it, and `2 ** e` takes long. */
export function powerOfTwo(e: number): number {
  if (e < -1022 || e > 1023) return 2 ** e;
  wideWords[0] = 0;
  wideWords[1] = (e + 1023) << 20;
  return wide[0]!;
}

/** 2^⌊log₂ |x|⌋ of a normal f64. */
const binade = (x: number): number => {
  wide[0] = x;
  return powerOfTwo(((wideWords[1]! >>> 20) & 2047) - 1023);
};

/**
 * What one rounding to the arithmetic's precision may change |x| by: at most u·|x|, less high in a binade. No
 * subnormals: see η.
 */
export const ulp = (x: number, { precision, ulps }: Arithmetic): number => (x === 0 ? 0 : binade(x) * powerOfTwo(1 - precision) * ulps);

/** Distance between neighbouring f32 at |x|: 2⁻¹⁴⁹ among subnormals. */
export function ulpF32(x: number): number {
  const magnitude = Math.min(Math.abs(x), F32_MAX);
  return magnitude >= F32_TINY ? binade(magnitude) * 2 ** -23 : 2 ** -149;
}

/** What an op should give: the exact value as nearly as f64 says it, and how far a computation may be from it. */
export interface Expected {
  /** The exact values, rounded to f64. */
  readonly value: Float64Array;
  /** Infinity: any value, NaN included, since an intermediate may overflow. */
  readonly bound: Float64Array;
}

/** Room for the values and bounds of `length` elements. */
export const makeExpected = (length: number): Expected => ({ value: new Float64Array(length), bound: new Float64Array(length) });

/**
 * Sets one output: `error` from the arithmetic's operations, plus the store. A result whose largest intermediate `peak`
 * may leave the range is unbounded.
 */
export function expect(e: Expected, i: number, value: number, error: number, peak: number, a: Arithmetic): void {
  e.value[i] = value;
  const stored = error + (Math.abs(value) + error) * a.store + a.storeEta;
  e.bound[i] = peak * (1 + 2 ** -20) + error < a.max && Math.abs(value) + stored < F32_MAX ? stored : Infinity;
}
