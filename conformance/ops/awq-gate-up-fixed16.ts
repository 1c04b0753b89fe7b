/** Norm, gate and up, and SiLU of one row: int4 weights in fixed16. */
import type { AwqMatrix } from "../../core/tensor.ts";
import { type GateUpKit, gateUpKit } from "../cases/gate-up.ts";
import type { AwqSpec } from "../cases/matrices.ts";
import { fixed16Product } from "../cases/products.ts";

export const kit: GateUpKit<AwqSpec, AwqMatrix> = gateUpKit("awq-gate-up-fixed16", fixed16Product);
