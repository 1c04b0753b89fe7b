/** Norm, gate and up, and SiLU of one row: dense weights. */
import type { DenseMatrix } from "../../core/tensor.ts";
import { type GateUpKit, gateUpKit } from "../cases/gate-up.ts";
import { type DenseSpec, denseProduct } from "../cases/products.ts";

export const kit: GateUpKit<DenseSpec, DenseMatrix> = gateUpKit("dense-gate-up", denseProduct);
