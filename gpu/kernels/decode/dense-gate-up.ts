/**
 * h[f] = silu(g[f]) · u[f], g = norm(x) · Wgateᵀ, u = norm(x) · Wupᵀ, W f16, bf16 or f32, one row: as
 * awq-gate-up-f32.ts, but for dense weights. Workgroup memory at TEAM 64, PER 16: 4 KiB. Limited by memory (4 F · K
 * bytes, 8 for f32).
 */
import { type GateUpKernel, gateUpCard } from "../../wgsl/decode/gate-up.ts";
import { type DenseBuffers, type DenseMatrix, denseValues } from "../../wgsl/decode/products.ts";

export const denseGateUp: GateUpKernel<"scaled", DenseBuffers, DenseMatrix> = gateUpCard("dense-gate-up", denseValues("scaled"));
