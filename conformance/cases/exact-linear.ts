/** Linears of `exact`, int4 or dense: a case, and what it gives by the ops of any backend. */
import { add } from "../../core/exact/numbers.ts";
import type { ExactOps } from "../../core/exact/ops.ts";
import type { Matrix } from "../../core/tensor.ts";

export interface ExactLinearCase<M extends Matrix = Matrix> {
  readonly T: number;
  /** Digits of x: three of 24 bits, four of 32. */
  readonly P: 3 | 4;
  /** Rows that a workgroup takes together. */
  readonly tile: number;
  readonly x: Float32Array;
  readonly weight: M;
  readonly bias: Float32Array | null;
  /** What the result is added to. */
  readonly initial: Float32Array | null;
}

/** A case's result by these ops. */
export function productsBy(ops: Pick<ExactOps, "linear">, { T, P, x, weight, bias, initial }: ExactLinearCase): Float32Array {
  const out = new Float32Array(T * weight.outFeatures);
  ops.linear({ weight, bias })(out, x, T, P === 3 ? 24 : 32);
  return initial ? out.map((y, i) => add(initial[i]!, y)) : out;
}
