/**
 * Rounding with error compensation: inputs are rounded one after the other, and each takes up what those before it got
 * wrong, as far as the inputs' second moments allow. With H + λI = MᵀM, M lower triangular, the squared error of an
 * output is Σ_i M_ii² (t_i − ŵ_i)², t_i = w_i + Σ_{j<i} (M_ij / M_ii) (w_j − ŵ_j): so each t_i goes to the nearest value.
 * These are the weights of GPTQ, which works with the factor of the inverse instead.
 * Source: Frantar et al. 2022, arXiv 2210.17323, algorithm 1; Chen et al. 2025, arXiv 2507.18553 (GPTQ as Babai's
 * nearest plane).
 */
import { GureumError } from "../../errors.ts";
import type { CpuOps } from "../../model/ops.ts";
import { type Gram, product } from "./gram.ts";
import { type Grids, roundToGrid } from "./grid.ts";
import type { WeightMatrix } from "./scale-search.ts";

/** The factor of H, and the order in which inputs are rounded. */
export interface Factor {
  /** Inputs. */
  readonly K: number;
  /** [K, K], lower triangular, rows and columns in `order`. */
  readonly M: Float32Array;
  /** The input that is rounded at each step. */
  readonly order: Int32Array;
}

/** Columns that are treated together before those behind them hear of it. */
const BLOCK = 128;
/** Rows of W at a time. */
const ROWS = 512;

/**
 * M with MᵀM = H + damping · mean(diag H) · I, in order. `falling`: inputs with the largest second moments first.
 * @throws GureumError "range" where H is not positive definite with this damping
 */
export function factorOf(ops: Pick<CpuOps, "matmul">, { K, H }: Pick<Gram, "K" | "H">, damping: number, falling = false): Factor {
  const order = Int32Array.from({ length: K }, (_, i) => i);
  if (falling) order.sort((a, b) => H[b * K + b]! - H[a * K + a]! || a - b);
  let trace = 0;
  for (let i = 0; i < K; i++) trace += H[i * K + i]!;
  const add = damping * (trace / K) || 1;
  const M = new Float32Array(K * K);
  for (let i = 0; i < K; i++) {
    const row = order[i]! * K;
    for (let j = 0; j <= i; j++) M[i * K + j] = H[row + order[j]!]!;
    M[i * K + i] = M[i * K + i]! + add;
  }
  // From the last rows up: row k of M is row k of what is left of H over the root of its diagonal.
  for (let end = K; end > 0; end -= BLOCK) {
    const begin = Math.max(0, end - BLOCK);
    for (let k = end - 1; k >= begin; k--) {
      const pivot = M[k * K + k]!;
      if (!(pivot > 0))
        throw new GureumError("range", {
          where: "quantize",
          what: "second moments of the inputs",
          expected: "a positive definite matrix",
          got: `a pivot of ${pivot}`,
          remedy: "raise the damping, or give more calibration tokens",
        });
      const root = Math.sqrt(pivot);
      for (let j = 0; j <= k; j++) M[k * K + j] = M[k * K + j]! / root;
      // H_ij − M_ki M_kj for the rows of the block that are still to come.
      for (let i = begin; i < k; i++) {
        const factor = M[k * K + i]!;
        for (let j = 0; j <= i; j++) M[i * K + j] = M[i * K + j]! - factor * M[k * K + j]!;
      }
    }
    // The same for all rows above the block at once: H[:begin, :begin] − M[block]ᵀ M[block].
    const width = end - begin;
    const turned = new Float32Array(begin * width);
    for (let k = begin; k < end; k++) for (let j = 0; j < begin; j++) turned[j * width + k - begin] = M[k * K + j]!;
    for (let i = 0; i < begin; i += BLOCK) {
      const rows = Math.min(BLOCK, begin - i);
      const columns = i + rows;
      const sums = product(ops, turned.subarray(i * width, (i + rows) * width), turned.subarray(0, columns * width), rows, columns, width);
      for (let r = 0; r < rows; r++) for (let j = 0; j <= i + r; j++) M[(i + r) * K + j] = M[(i + r) * K + j]! - sums[r * columns + j]!;
    }
  }
  return { K, M, order };
}

/** q [N, K] of W [N, K] on the given grids; W is left as it is. */
export function compensate(ops: Pick<CpuOps, "matmul">, { W, N, K }: WeightMatrix, { M, order }: Factor, grids: Grids): Uint8Array {
  const { bits, groupSize, scales, zeros } = grids;
  const top = 2 ** bits - 1;
  const groups = K / groupSize;
  const q = new Uint8Array(N * K);
  for (let first = 0; first < N; first += ROWS) {
    const rows = Math.min(ROWS, N - first);
    /** Σ_j M_ij (w_j − ŵ_j) over the blocks that are done. */
    const carried = new Float64Array(rows * K);
    for (let begin = 0; begin < K; begin += BLOCK) {
      const end = Math.min(K, begin + BLOCK);
      const width = end - begin;
      const errors = new Float32Array(rows * width);
      for (let r = 0; r < rows; r++) {
        const row = (first + r) * K;
        for (let i = begin; i < end; i++) {
          let sum = carried[r * K + i]!;
          for (let j = begin; j < i; j++) sum += M[i * K + j]! * errors[r * width + j - begin]!;
          const k = order[i]!;
          const w = W[row + k]!;
          const g = (first + r) * groups + Math.floor(k / groupSize);
          const value = roundToGrid(w + sum / M[i * K + i]!, scales[g]!, zeros[g]!, top);
          q[row + k] = value;
          errors[r * width + i - begin] = w - (value - zeros[g]!) * scales[g]!;
        }
      }
      if (end === K) continue;
      // What later columns hear of this block: errors · M[later, block]ᵀ.
      const later = new Float32Array((K - end) * width);
      for (let i = end; i < K; i++) later.set(M.subarray(i * K + begin, i * K + end), (i - end) * width);
      const sums = product(ops, errors, later, rows, K - end, width);
      for (let r = 0; r < rows; r++)
        for (let i = end; i < K; i++) carried[r * K + i] = carried[r * K + i]! + sums[r * (K - end) + i - end]!;
    }
  }
  return q;
}
