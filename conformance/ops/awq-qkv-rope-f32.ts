/** Norm, q, k and v, RoPE and the cache of one row: int4 weights in f32. */
import type { AwqMatrix } from "../../core/tensor.ts";
import type { AwqSpec } from "../cases/matrices.ts";
import { f32Product } from "../cases/products.ts";
import { type QkvRopeKit, qkvRopeKit } from "../cases/qkv-rope.ts";

export const kit: QkvRopeKit<AwqSpec, AwqMatrix> = qkvRopeKit("awq-qkv-rope-f32", f32Product);
