/**
 * q, k, v = norm(x) · Wᵀ, int4 × f32, one row; RoPE and the cache: as awq-qkv-rope-fixed16.ts, but of scaled = residual ∘
 * norm weight in planes, with f32 products and sums. Workgroup memory at TEAM 128, P 8: 11 KiB. Limited by latency.
 */

import { type Int4Buffers, type Int4Matrix, int4Values } from "../../wgsl/decode/products.ts";
import { type QkvRopeKernel, qkvRopeCard } from "../../wgsl/decode/qkv-rope.ts";

export const awqQkvRopeF32: QkvRopeKernel<"scaled", Int4Buffers, Int4Matrix> = qkvRopeCard("awq-qkv-rope-f32", int4Values("scaled"));
