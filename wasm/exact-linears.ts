/** Linears of `exact`: over kernels, or core/exact/linear.ts where a matrix is beyond what these add up exactly. The words are the same. */
import { exactLinear, linear } from "../core/exact/linear.ts";
import { clean } from "../core/exact/numbers.ts";
import type { ExactLinearOp } from "../core/exact/ops.ts";
import type { Linear } from "../core/tensor.ts";
import { exactAwqFrameBytes, exactAwqLinear, takesExactAwq } from "./exact-awq.ts";
import { denseRows, exactDenseFrameBytes, exactDenseLinear } from "./exact-dense.ts";
import type { Banks } from "./memory/banks.ts";
import type { Team } from "./threads/team.ts";

/** Frame bytes of a linear with up to K inputs and N outputs. */
export const exactFrameBytes = (K: number, N: number, threads: number): number =>
  Math.max(exactAwqFrameBytes(K, N, threads), exactDenseFrameBytes(K, N, threads));

export function makeExactLinears(team: Team, banks: Banks): (layer: Linear) => ExactLinearOp {
  let fixed = new Int32Array(0);
  const fixedRow = (K: number): Int32Array => {
    if (fixed.length < K) fixed = new Int32Array(K);
    return fixed;
  };
  return (layer) => {
    const { weight, bias } = layer;
    const values = bias === null ? null : bias.map(clean);
    if (weight.kind === "awq") {
      if (takesExactAwq(weight)) return exactAwqLinear(team, banks, fixedRow, weight, values);
    } else {
      const rows = denseRows(weight);
      if (rows) return exactDenseLinear(team, banks, fixedRow, weight, rows, values);
    }
    const prepared = exactLinear(layer);
    return (out, x, T, bits) => linear(out, x, prepared, T, bits);
  };
}
