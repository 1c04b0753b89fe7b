/** Norm, q, k and v, RoPE and the cache of one row: int4 weights in fixed16. */
import type { AwqMatrix } from "../../core/tensor.ts";
import type { AwqSpec } from "../cases/matrices.ts";
import { fixed16Product } from "../cases/products.ts";
import { type QkvRopeKit, qkvRopeKit } from "../cases/qkv-rope.ts";

export const kit: QkvRopeKit<AwqSpec, AwqMatrix> = qkvRopeKit("awq-qkv-rope-fixed16", fixed16Product);
