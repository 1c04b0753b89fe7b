/**
 * What rounding left, made smaller: coordinate descent over the integers (each q moves to where the squared error of the
 * output is least, given all others), and the scales of the groups solved anew for the integers as they are.
 * The error of a row is e H eᵀ with e = w − ŵ; nothing here ever raises it.
 */
import { f16Bits, f16Values } from "../../dtype.ts";
import type { CpuOps } from "../../model/ops.ts";
import { type Gram, product } from "./gram.ts";
import type { Grids } from "./grid.ts";
import type { WeightMatrix } from "./scale-search.ts";

/** Rows of W at a time. */
const ROWS = 512;

/** Integers on their grids. */
export interface Rounded {
  /** [N, K] */
  readonly q: Uint8Array;
  /** The grids that they lie on. */
  readonly grids: Grids;
}

/** e H of each row, e = W − (q − z) s; [rows, K] from row `first` on. */
function gradients(
  ops: Pick<CpuOps, "matmul">,
  { W, K }: WeightMatrix,
  { H }: Pick<Gram, "H">,
  { q, grids }: Rounded,
  first: number,
  rows: number,
): { errors: Float32Array; turned: Float32Array } {
  const { groupSize, scales, zeros } = grids;
  const errors = new Float32Array(rows * K);
  for (let i = 0; i < errors.length; i++) {
    const at = first * K + i;
    const g = Math.floor(at / groupSize);
    errors[i] = W[at]! - (q[at]! - zeros[g]!) * scales[g]!;
  }
  return { errors, turned: product(ops, errors, H, rows, K, K) };
}

/** Moves single integers for at most `sweeps` passes over the inputs, or until none moves. */
export function descend(
  ops: Pick<CpuOps, "matmul">,
  matrix: WeightMatrix,
  gram: Gram,
  { q: given, grids }: Rounded,
  sweeps: number,
): Rounded {
  const { N, K } = matrix;
  const { H } = gram;
  const { bits, groupSize, scales } = grids;
  const top = 2 ** bits - 1;
  const q = given.slice();
  const slope = new Float64Array(K);
  for (let first = 0; first < N; first += ROWS) {
    const rows = Math.min(ROWS, N - first);
    const { turned } = gradients(ops, matrix, gram, { q, grids }, first, rows);
    for (let r = 0; r < rows; r++) {
      for (let k = 0; k < K; k++) slope[k] = turned[r * K + k]!;
      const row = (first + r) * K;
      for (let sweep = 0, moved = true; moved && sweep < sweeps; sweep++) {
        moved = false;
        for (let k = 0; k < K; k++) {
          const curvature = H[k * K + k]!;
          if (!(curvature > 0)) continue;
          const scale = scales[Math.floor((row + k) / groupSize)]!;
          const old = q[row + k]!;
          // With ŵ_k + d the error changes by −2 d (eH)_k + d² H_kk: least at d = (eH)_k / H_kk.
          const wanted = Math.min(top, Math.max(0, Math.round(old + slope[k]! / (curvature * scale))));
          if (wanted === old) continue;
          const d = (wanted - old) * scale;
          // f32 rounding of the slopes must not let two values change places for ever.
          if (!(2 * d * slope[k]! - d * d * curvature > 1e-6 * d * d * curvature)) continue;
          q[row + k] = wanted;
          moved = true;
          const column = k * K;
          for (let j = 0; j < K; j++) slope[j] = slope[j]! - d * H[column + j]!;
        }
      }
    }
  }
  return { q, grids };
}

/** Each row's scales, solved for the integers as they are and rounded to f16; kept where the error falls. */
export function refitScales(ops: Pick<CpuOps, "matmul">, matrix: WeightMatrix, gram: Gram, rounded: Rounded): Rounded {
  const { W, N, K } = matrix;
  const { H } = gram;
  const { q, grids } = rounded;
  const { groupSize: G, zeros } = grids;
  const groups = K / G;
  const scales = grids.scales.slice();
  const f16 = f16Values();
  for (let first = 0; first < N; first += ROWS) {
    const rows = Math.min(ROWS, N - first);
    // A[g, h] = v_g H_gh v_hᵀ and b[g] = v_g (w H)_gᵀ with v = q − z: the error is s A sᵀ − 2 b s + constant.
    const A = new Float64Array(rows * groups * groups);
    const b = new Float64Array(rows * groups);
    const turnedW = product(ops, W.subarray(first * K, (first + rows) * K), H, rows, K, K);
    const v = new Float32Array(rows * K);
    for (let i = 0; i < v.length; i++) v[i] = q[first * K + i]! - zeros[Math.floor((first * K + i) / G)]!;
    const part = new Float32Array(rows * G);
    const strip = new Float32Array(K * G);
    for (let h = 0; h < groups; h++) {
      for (let r = 0; r < rows; r++) part.set(v.subarray(r * K + h * G, r * K + (h + 1) * G), r * G);
      for (let k = 0; k < K; k++) strip.set(H.subarray(k * K + h * G, k * K + (h + 1) * G), k * G);
      const turned = product(ops, part, strip, rows, K, G);
      for (let r = 0; r < rows; r++)
        for (let k = 0; k < K; k++) {
          const g = Math.floor(k / G);
          const at = (r * groups + g) * groups + h;
          A[at] = A[at]! + v[r * K + k]! * turned[r * K + k]!;
          if (h === 0) b[r * groups + g] = b[r * groups + g]! + v[r * K + k]! * turnedW[r * K + k]!;
        }
    }
    for (let r = 0; r < rows; r++) {
      const own = A.subarray(r * groups * groups, (r + 1) * groups * groups);
      const right = b.subarray(r * groups, (r + 1) * groups);
      const at = (first + r) * groups;
      const errorOf = (s: ArrayLike<number>): number => {
        let error = 0;
        for (let g = 0; g < groups; g++) {
          let sum = -2 * right[g]!;
          for (let h = 0; h < groups; h++) sum += own[g * groups + h]! * s[h]!;
          error += s[g]! * sum;
        }
        return error;
      };
      const old = scales.subarray(at, at + groups);
      const solved = old.slice();
      // Group after group, each at its own minimum: A is positive, so this converges, and f16 is kept on the way.
      for (let round = 0; round < 8; round++)
        for (let g = 0; g < groups; g++) {
          const diagonal = own[g * groups + g]!;
          if (!(diagonal > 0)) continue;
          let rest = right[g]!;
          for (let h = 0; h < groups; h++) if (h !== g) rest -= own[g * groups + h]! * solved[h]!;
          const scale = f16[f16Bits(rest / diagonal)]!;
          if (scale > 0 && Number.isFinite(scale)) solved[g] = scale;
        }
      if (errorOf(solved) < errorOf(old)) scales.set(solved, at);
    }
  }
  return { q, grids: { ...grids, scales } };
}
