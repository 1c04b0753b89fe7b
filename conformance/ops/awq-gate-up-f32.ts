/** Norm, gate and up, and SiLU of one row: int4 weights in f32. */
import type { AwqMatrix } from "../../core/tensor.ts";
import { type GateUpKit, gateUpKit } from "../cases/gate-up.ts";
import type { AwqSpec } from "../cases/matrices.ts";
import { f32Product } from "../cases/products.ts";

export const kit: GateUpKit<AwqSpec, AwqMatrix> = gateUpKit("awq-gate-up-f32", f32Product);
