/** Bounds of the ops without a sum: add, SiLU · up, rotary embedding, embedding lookup. */
import type { DenseMatrix } from "../../core/tensor.ts";
import { type Arithmetic, compose, type Expected, expect, makeExpected } from "./arithmetic.ts";
import { denseElement } from "./linear.ts";

/** An operand's contribution where it is small enough to be read as zero. */
const flush = (a: Arithmetic, ...operands: readonly number[]): number => {
  let sum = 0;
  for (const x of operands) if (Math.abs(x) < a.flushed) sum += Math.abs(x);
  return sum;
};

/** a + b: one rounding. */
export function expectAdd(x: Float32Array, y: Float32Array, length: number, a: Arithmetic): Expected {
  const e = makeExpected(length);
  for (let i = 0; i < length; i++) {
    const sum = x[i]! + y[i]!;
    expect(e, i, sum, Math.abs(sum) * (a.u + 2 ** -53) + flush(a, x[i]!, y[i]!, sum), Math.abs(sum), a);
  }
  return e;
}

/**
 * g / (1 + exp(−g)) · up. With E = exp(−g): a relative error ε of E is one of ε·E/(1 + E) of the denominator; then the
 * addition, the division and the product round. g · (1 / (1 + E)) costs one rounding more, which is granted.
 * Where E leaves the range the division is by infinity: 0 is within the bound since |g·e^g| is then tiny; NaN is not.
 */
export function expectSiluMul(gate: Float32Array, up: Float32Array, length: number, a: Arithmetic): Expected {
  const e = makeExpected(length);
  for (let i = 0; i < length; i++) {
    const g = gate[i]!;
    const E = Math.exp(-g);
    const y = (g / (1 + E)) * up[i]!;
    const share = E === Infinity ? 1 : E / (1 + E);
    const relative = compose(share * a.exp(g), a.u, a.division, a.u, a.u, 4 * 2 ** -53);
    // The quotient is outside the domain that WGSL gives division once 1 + E > 2¹²⁶; the result is then at most 2⁻¹¹⁸ · |up|.
    const outside = a.name === "wgsl" && E > 2 ** 126 ? Math.abs(y) : 0;
    // A subnormal exponential is off by expEta, times g and up.
    const small = E < 1 / a.expEta(g) && E > a.expEta(g) ? 0 : a.expEta(g) * Math.abs(g * up[i]!);
    const error =
      Math.abs(y) * relative +
      outside +
      small * (1 + relative) +
      a.eta * (1 + Math.abs(up[i]!)) +
      (flush(a, g, up[i]!) > 0 ? Math.abs(y) : 0);
    expect(e, i, y, error, Math.max(Math.abs(y), Math.abs(g)), a);
  }
  return e;
}

/**
 * One component of a rotated pair: a·cos − b·sin (`sign` −1) or b·cos + a·sin. cos and sin come from an f64 table that an f32
 * kernel holds rounded (u each), and are known within `angle`; two products, one addition.
 */
function rotated(
  first: number,
  c: number,
  second: number,
  s: number,
  angle: number,
  a: Arithmetic,
): { value: number; error: number; peak: number } {
  const p = first * c;
  const q = second * s;
  const M = Math.abs(p) + Math.abs(q);
  const value = p + q;
  const table = a.name === "f64" ? 0 : a.u;
  const lost = (x: number, y: number, product: number): number => (flush(a, x, y) > 0 ? Math.abs(product) : 0);
  const known = (Math.abs(first) + Math.abs(second)) * angle * (1 + 2 ** -10);
  const error = M * compose(table, a.u, a.u, 2 ** -52) + known + 3 * a.eta + lost(first, c, p) + lost(second, s, q);
  return { value, error, peak: M };
}

/** Angles of RoPE. */
export interface RopeTable {
  /** Hd / 2. */
  readonly halfDim: number;
  /** The position of the first row. */
  readonly first: number;
  /** [positions, Hd / 2], from `first` on. */
  readonly cos: Float64Array;
  /** [positions, Hd / 2] */
  readonly sin: Float64Array;
  /** How far cos and sin of a table that others made may be from these. */
  readonly error: Float64Array;
}

/** The half-rotation of x [T, heads, Hd] at positions start … start + T − 1. */
export function expectRope(x: Float32Array, tables: RopeTable, start: number, T: number, heads: number, a: Arithmetic): Expected {
  const half = tables.halfDim;
  const e = makeExpected(T * heads * half * 2);
  for (let t = 0; t < T; t++) {
    for (let h = 0; h < heads; h++) {
      for (let i = 0; i < half; i++) {
        const at = (t * heads + h) * half * 2 + i;
        const row = (start - tables.first + t) * half + i;
        const [c, s, angle] = [tables.cos[row]!, tables.sin[row]!, tables.error[row]!];
        const low = rotated(x[at]!, c, x[at + half]!, -s, angle, a);
        const high = rotated(x[at + half]!, c, x[at]!, s, angle, a);
        expect(e, at, low.value, low.error, low.peak, a);
        expect(e, at + half, high.value, high.error, high.peak, a);
      }
    }
  }
  return e;
}

/** Rows of a table: exact, but that an f32 subnormal may be flushed on its way. */
export function expectEmbedding(table: DenseMatrix, ids: readonly number[], a: Arithmetic): Expected {
  const D = table.inFeatures;
  const e = makeExpected(ids.length * D);
  for (let t = 0; t < ids.length; t++) {
    for (let d = 0; d < D; d++) {
      const value = denseElement(table, ids[t]!, d);
      e.value[t * D + d] = value;
      e.bound[t * D + d] = flush(a, value);
    }
  }
  return e;
}

/** Largest finite f16 and smallest normal one. */
const F16_MAX = 65504;
const F16_TINY = 2 ** -14;

/**
 * A value kept as f16, clamped to what f16 holds: either neighbour, since WGSL's conversion has no rounding mode; a subnormal may
 * be flushed on the way in or out.
 */
export function expectF16(value: number): { value: number; bound: number } {
  const clamped = Math.max(-F16_MAX, Math.min(F16_MAX, value));
  const magnitude = Math.abs(clamped);
  if (magnitude < F16_TINY) return { value: clamped, bound: magnitude === 0 ? 0 : Math.max(magnitude, 2 ** -24) };
  const ulp = 2 ** (Math.floor(Math.log2(magnitude)) - 10);
  return { value: clamped, bound: Number.isInteger(clamped / ulp) ? 0 : ulp };
}
