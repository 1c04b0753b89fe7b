/**
 * q, k, v = norm(x) · Wᵀ, W f16, bf16 or f32, one row; RoPE and the cache: as awq-qkv-rope-f32.ts, but for dense weights.
 * Workgroup memory at TEAM 64, P 8: 6 KiB. Limited by memory.
 */

import { type DenseBuffers, type DenseMatrix, denseValues } from "../../wgsl/decode/products.ts";
import { type QkvRopeKernel, qkvRopeCard } from "../../wgsl/decode/qkv-rope.ts";

export const denseQkvRope: QkvRopeKernel<"scaled", DenseBuffers, DenseMatrix> = qkvRopeCard("dense-qkv-rope", denseValues("scaled"));
