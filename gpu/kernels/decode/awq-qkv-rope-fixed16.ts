/**
 * q, k, v = norm(x) · Wᵀ, int4 × fixed16, one row; RoPE and the cache (wgsl/decode/qkv-rope.ts, where buffers and work
 * are). digits: of residual ∘ norm weight, as awq-add-fixed16.ts leaves them. Workgroup memory at TEAM 128, P 8: 11 KiB.
 * Limited by latency.
 */

import { fixed16Digits, type Int4Buffers, type Int4Matrix } from "../../wgsl/decode/products.ts";
import { type QkvRopeKernel, qkvRopeCard } from "../../wgsl/decode/qkv-rope.ts";

export const awqQkvRopeFixed16: QkvRopeKernel<"digits", Int4Buffers, Int4Matrix> = qkvRopeCard("awq-qkv-rope-fixed16", fixed16Digits);
