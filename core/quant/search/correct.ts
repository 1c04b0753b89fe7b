/**
 * Weights that aim at the float model's outputs while they read what the quantized layers before them give. With x the
 * float inputs, x̃ the inputs as they will be, and r what the residual stream lacks by now, Ŵ x̃ is to be W x + r: the best
 * real weights are W + (W D + R) (H̃ + λI)⁻¹ with D = Σ (x − x̃) x̃ᵀ, R = Σ r x̃ᵀ, H̃ = Σ x̃ x̃ᵀ.
 * Source of the idea: Li et al. 2025, arXiv 2504.02692 (GPTAQ, asymmetric calibration); the residual is added here.
 */
import type { CpuOps } from "../../model/ops.ts";
import { factorOf } from "./compensate.ts";
import { type Gram, product } from "./gram.ts";
import type { WeightMatrix } from "./scale-search.ts";

/** Sums over the tokens of a difference times the inputs. */
export interface CrossSums {
  /** Length of the differences. */
  readonly N: number;
  readonly K: number;
  /** [N, K] */
  readonly sums: Float64Array;
}

export const makeCrossSums = (N: number, K: number): CrossSums => ({ N, K, sums: new Float64Array(N * K) });

/** Rows of a product at a time. */
const ROWS = 256;

/** x [T, K] with each column side by side: [K, T]. */
function columnsOf(x: Float32Array, T: number, K: number): Float32Array {
  const columns = new Float32Array(K * T);
  for (let t = 0; t < T; t++) for (let k = 0; k < K; k++) columns[k * T + t] = x[t * K + k]!;
  return columns;
}

/** Adds Σ_t (a[t] − b[t]) x[t]ᵀ; a, b [T, N], x [T, K]. */
export function addToCross(
  ops: Pick<CpuOps, "matmul">,
  { N, K, sums }: CrossSums,
  a: Float32Array,
  b: Float32Array,
  x: Float32Array,
  T: number,
): void {
  const difference = new Float32Array(T * N);
  for (let i = 0; i < difference.length; i++) difference[i] = a[i]! - b[i]!;
  const [left, right] = [columnsOf(difference, T, N), columnsOf(x, T, K)];
  for (let n = 0; n < N; n += ROWS) {
    const rows = Math.min(ROWS, N - n);
    const part = product(ops, left.subarray(n * T, (n + rows) * T), right, rows, K, T);
    for (let i = 0; i < part.length; i++) sums[n * K + i] = sums[n * K + i]! + part[i]!;
  }
}

/** What the calibration says about a linear's inputs against those of the float model. */
export interface Drift {
  /** D [K, K] */
  readonly inputs: CrossSums;
  /** R [N, K] */
  readonly residual: CrossSums | null;
}

/** W + (W D + R) (H̃ + λI)⁻¹, λ = damping · mean(diag H̃). @throws GureumError "range" as factorOf */
export function corrected(ops: CpuOps, { W, N, K }: WeightMatrix, gram: Gram, { inputs, residual }: Drift, damping: number): Float32Array {
  const { M } = factorOf(ops, gram, damping);
  // D by columns, so that W D is a product of rows.
  const turned = new Float32Array(K * K);
  for (let i = 0; i < K; i++) for (let j = 0; j < K; j++) turned[j * K + i] = inputs.sums[i * K + j]!;
  const missing = product(ops, W, turned, N, K, K);
  const out = W.slice();
  const row = new Float64Array(K);
  for (let n = 0; n < N; n++) {
    for (let k = 0; k < K; k++) row[k] = missing[n * K + k]! + (residual ? residual.sums[n * K + k]! : 0);
    // (MᵀM) y = b: first Mᵀ u = b from the last row up, then M y = u from the first down.
    for (let k = K - 1; k >= 0; k--) {
      const u = row[k]! / M[k * K + k]!;
      row[k] = u;
      for (let j = 0; j < k; j++) row[j] = row[j]! - M[k * K + j]! * u;
    }
    for (let k = 0; k < K; k++) {
      let sum = row[k]!;
      for (let j = 0; j < k; j++) sum -= M[k * K + j]! * row[j]!;
      row[k] = sum / M[k * K + k]!;
    }
    for (let k = 0; k < K; k++) out[n * K + k] = W[n * K + k]! + row[k]!;
  }
  return out;
}
