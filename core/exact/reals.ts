/**
 * Real numbers as integers of 2^−128: what the tables of `exact` are computed with, so that no library's exp, log or cosine shows in them.
 * Every function is off by less than 2^−110 for the arguments used here; an f32 taken from it is the nearest one unless the real number lies
 * that close to a tie, which none of the tests' tables came within 2^−60 of. Series and Newton's method; nothing is taken from elsewhere.
 */

/** Fraction bits. */
export const BITS = 128n;
export const ONE: bigint = 1n << BITS;

export const times = (a: bigint, b: bigint): bigint => (a * b) >> BITS;
export const over = (a: bigint, b: bigint): bigint => (a << BITS) / b;

/** An f64 as it stands; bits below 2^−128 are cut off. */
export function realOf(x: number): bigint {
  let scale = 0;
  while (!Number.isInteger(x * 2 ** scale) && scale < 1074) scale++;
  return (BigInt(x * 2 ** scale) << BITS) >> BigInt(scale);
}

export const LN2: bigint = (() => {
  // ln 2 = 2 artanh(1/3)
  let sum = 0n;
  let power = ONE / 3n;
  for (let i = 1n; power !== 0n; i += 2n, power /= 9n) sum += power / i;
  return 2n * sum;
})();

/** e^x, x at most some 2^7: 2^k e^r with |r| small, the series for r. */
export function exp(x: bigint): bigint {
  const k = x / LN2 - (x < 0n ? 1n : 0n);
  let r = x - k * LN2;
  // 32 halvings of r would cost as many squarings: eight of them and a series of some twenty terms are enough.
  r >>= 8n;
  let term = ONE;
  let sum = ONE;
  for (let i = 1n; term !== 0n; i++) {
    term = times(term, r) / i;
    sum += term;
  }
  for (let i = 0; i < 8; i++) sum = times(sum, sum);
  return k >= 0n ? sum << k : sum >> -k;
}

/** ln x, x > 0: of m in [1, 2) by Newton's method on exp. */
export function ln(x: bigint): bigint {
  const k = BigInt(x.toString(2).length) - 1n - BITS;
  const m = k >= 0n ? x >> k : x << -k;
  // A guess good to 2^−40 or so; each step doubles the bits, and what the guess was does not show.
  let y = BigInt(Math.round(Math.log(Number(m >> (BITS - 60n)) / 2 ** 60) * 2 ** 40)) << (BITS - 40n);
  for (let i = 0; i < 3; i++) {
    const e = exp(y);
    y += 2n * over(m - e, m + e);
  }
  return k * LN2 + y;
}

export const PI: bigint = (() => {
  // Machin: π = 16 arctan(1/5) − 4 arctan(1/239)
  const arctan = (n: bigint): bigint => {
    let sum = 0n;
    let power = ONE / n;
    for (let i = 1n, sign = 1n; power !== 0n; i += 2n, sign = -sign, power /= n * n) sum += (sign * power) / i;
    return sum;
  };
  return 16n * arctan(5n) - 4n * arctan(239n);
})();

/** cos x and sin x, any x below some 2^20: a quarter turn at most by the series, after the whole turns are gone. */
export function turn(x: bigint): { readonly cos: bigint; readonly sin: bigint } {
  const quarter = PI / 2n;
  const turns = (x + quarter / 2n) / quarter - (x + quarter / 2n < 0n ? 1n : 0n);
  const r = x - turns * quarter;
  const square = times(r, r);
  let c = ONE;
  let s = r;
  let termC = ONE;
  let termS = r;
  for (let i = 1n; termC !== 0n || termS !== 0n; i++) {
    termC = -times(termC, square) / ((2n * i - 1n) * (2n * i));
    termS = -times(termS, square) / (2n * i * (2n * i + 1n));
    if (termC === -1n) termC = 0n;
    if (termS === -1n) termS = 0n;
    c += termC;
    s += termS;
  }
  switch (((turns % 4n) + 4n) % 4n) {
    case 0n:
      return { cos: c, sin: s };
    case 1n:
      return { cos: -s, sin: c };
    case 2n:
      return { cos: -c, sin: -s };
    default:
      return { cos: s, sin: -c };
  }
}

/** √x of a whole number, by Newton's method. */
export function root(n: number): bigint {
  const target = BigInt(n) << (2n * BITS);
  let r = BigInt(Math.ceil(Math.sqrt(n))) << BITS;
  for (;;) {
    const next = (r + target / r) >> 1n;
    if (next >= r) return r;
    r = next;
  }
}
