/** A linear layer of either storage: picks `matmul` or `awqMatmul`. */
import type { Linear } from "../tensor.ts";
import { awqMatmul } from "./awq-matmul.ts";
import { matmul } from "./matmul.ts";

/** out [T, N] = x [T, K] W + bias. @throws GureumError "shape" */
export function linear(out: Float32Array, x: Float32Array, { weight, bias }: Linear, T: number): void {
  if (weight.kind === "awq") awqMatmul(out, x, weight, bias, T);
  else matmul(out, x, weight, bias, T);
}
