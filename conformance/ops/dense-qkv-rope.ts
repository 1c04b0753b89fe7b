/** Norm, q, k and v, RoPE and the cache of one row: dense weights. */
import type { DenseMatrix } from "../../core/tensor.ts";
import { type DenseSpec, denseProduct } from "../cases/products.ts";
import { type QkvRopeKit, qkvRopeKit } from "../cases/qkv-rope.ts";

export const kit: QkvRopeKit<DenseSpec, DenseMatrix> = qkvRopeKit("dense-qkv-rope", denseProduct);
