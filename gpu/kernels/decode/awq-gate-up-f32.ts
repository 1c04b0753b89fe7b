/**
 * h[f] = silu(g[f]) · u[f], g = norm(x) · Wgateᵀ, u = norm(x) · Wupᵀ, int4 × f32, one row: as awq-gate-up-fixed16.ts,
 * but of scaled = residual ∘ norm weight in planes, with f32 products and sums. Workgroup memory at TEAM 128, PER 28: 12
 * KiB. Limited by memory (F · K bytes) and by some three instructions a weight.
 */
import { type GateUpKernel, gateUpCard } from "../../wgsl/decode/gate-up.ts";
import { type Int4Buffers, type Int4Matrix, int4Values } from "../../wgsl/decode/products.ts";

export const awqGateUpF32: GateUpKernel<"scaled", Int4Buffers, Int4Matrix> = gateUpCard("awq-gate-up-f32", int4Values("scaled"));
