/**
 * What a linear's inputs are like, summed over calibration tokens: H = Σ xᵀx and Σ |x|. With H the squared error of the
 * outputs for any change ΔW of the weight is tr(ΔW H ΔWᵀ), so the tokens themselves are not needed again. All products
 * go through the ops of the engine, whose bits do not depend on the number of threads.
 */
import type { CpuOps } from "../../model/ops.ts";

/** Moments of the inputs x [K] of one linear, or of several that read the same. */
export interface Gram {
  /** Inputs. */
  readonly K: number;
  /** [K, K], symmetric. */
  readonly H: Float32Array;
  /** [K], mean |x|. */
  readonly magnitude: Float64Array;
}

/** A Gram while tokens are being added. */
export interface GramSums {
  readonly K: number;
  /** [K, K]; only the upper half and blocks on the diagonal are filled. */
  readonly H: Float64Array;
  readonly magnitude: Float64Array;
  tokens: number;
  /** Inputs that are to be multiplied yet, [TOKENS, K], and how many. */
  readonly waiting: Float32Array;
  count: number;
}

export const makeGramSums = (K: number): GramSums => ({
  K,
  H: new Float64Array(K * K),
  magnitude: new Float64Array(K),
  tokens: 0,
  waiting: new Float32Array(TOKENS * K),
  count: 0,
});

/** Rows of a product at a time: what is below the diagonal in a block is summed for nothing. */
const blockOf = (K: number): number => Math.max(128, Math.ceil(K / 2048) * 128);
/** Tokens that are multiplied together. */
const TOKENS = 2048;

/** out[r, j] = Σ_k x[r, k] · y[j, k], f64 sums rounded once; x [rows, K], y [N, K]. */
export function product(ops: Pick<CpuOps, "matmul">, x: Float32Array, y: Float32Array, rows: number, N: number, K: number): Float32Array {
  const out = new Float32Array(rows * N);
  ops.matmul(out, x, { kind: "dense", dtype: "F32", outFeatures: N, inFeatures: K, data: y }, null, rows);
  return out;
}

/** Adds the products of what waits. */
function multiply(ops: Pick<CpuOps, "matmul">, gram: GramSums): void {
  const { K, H, waiting, count: T } = gram;
  if (T === 0) return;
  const columns = new Float32Array(K * T);
  for (let t = 0; t < T; t++) for (let k = 0; k < K; k++) columns[k * T + t] = waiting[t * K + k]!;
  const block = blockOf(K);
  for (let i = 0; i < K; i += block) {
    const rows = Math.min(block, K - i);
    const sums = product(ops, columns.subarray(i * T, (i + rows) * T), columns.subarray(i * T), rows, K - i, T);
    for (let r = 0; r < rows; r++) {
      const to = (i + r) * K + i;
      for (let j = 0; j < K - i; j++) H[to + j] = H[to + j]! + sums[r * (K - i) + j]!;
    }
  }
  gram.count = 0;
}

/** Adds T inputs, x [T, K]. */
export function addToGram(ops: Pick<CpuOps, "matmul">, gram: GramSums, x: Float32Array, T: number): void {
  const { K, magnitude, waiting } = gram;
  for (let t = 0; t < T; t++) {
    if (gram.count === TOKENS) multiply(ops, gram);
    const to = gram.count++ * K;
    for (let k = 0; k < K; k++) {
      const value = x[t * K + k]!;
      waiting[to + k] = value;
      magnitude[k] = magnitude[k]! + Math.abs(value);
    }
  }
  gram.tokens += T;
}

/** The Gram of all tokens added. */
export function finishGram(ops: Pick<CpuOps, "matmul">, gram: GramSums): Gram {
  multiply(ops, gram);
  const { K, H: sums, magnitude, tokens } = gram;
  const H = new Float32Array(K * K);
  for (let i = 0; i < K; i++)
    for (let j = i; j < K; j++) {
      H[i * K + j] = sums[i * K + j]!;
      H[j * K + i] = sums[i * K + j]!;
    }
  return { K, H, magnitude: magnitude.map((sum) => sum / tokens) };
}

/** The Gram of x ∘ 1/s: H[i, j] / (s[i] s[j]). */
export function scaleGram({ K, H, magnitude }: Gram, s: ArrayLike<number>): Gram {
  const scaled = new Float32Array(K * K);
  for (let i = 0; i < K; i++) for (let j = 0; j < K; j++) scaled[i * K + j] = H[i * K + j]! / (s[i]! * s[j]!);
  return { K, H: scaled, magnitude: magnitude.map((m, k) => m / s[k]!) };
}

/** Rows of ΔW that are multiplied together. */
const ROWS = 512;

/** Squared error of each output, summed over the tokens: ΔW[n] H ΔW[n]ᵀ for each row of ΔW [N, K]; [N]. */
export function outputErrors(ops: Pick<CpuOps, "matmul">, { K, H }: Pick<Gram, "K" | "H">, delta: Float32Array, N: number): Float64Array {
  const errors = new Float64Array(N);
  for (let n = 0; n < N; n += ROWS) {
    const rows = Math.min(ROWS, N - n);
    const part = delta.subarray(n * K, (n + rows) * K);
    const turned = product(ops, part, H, rows, K, K);
    for (let r = 0; r < rows; r++) {
      let sum = 0;
      for (let k = r * K; k < (r + 1) * K; k++) sum += turned[k]! * part[k]!;
      errors[n + r] = sum;
    }
  }
  return errors;
}

export const sumOf = (values: ArrayLike<number>): number => {
  let sum = 0;
  for (let i = 0; i < values.length; i++) sum += values[i]!;
  return sum;
};
