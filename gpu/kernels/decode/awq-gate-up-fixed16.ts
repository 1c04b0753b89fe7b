/**
 * h[f] = silu(g[f]) · u[f], g = norm(x) · Wgateᵀ, u = norm(x) · Wupᵀ, int4 × fixed16, one row (wgsl/decode/gate-up.ts,
 * where buffers and work are). digits: of residual ∘ norm weight, as awq-add-fixed16.ts leaves them. Workgroup memory at
 * TEAM 128, PER 28: 12 KiB. Limited by memory (F · K bytes).
 */
import { type GateUpKernel, gateUpCard } from "../../wgsl/decode/gate-up.ts";
import { fixed16Digits, type Int4Buffers, type Int4Matrix } from "../../wgsl/decode/products.ts";

export const awqGateUpFixed16: GateUpKernel<"digits", Int4Buffers, Int4Matrix> = gateUpCard("awq-gate-up-fixed16", fixed16Digits);
