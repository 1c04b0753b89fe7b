/**
 * residual[n] += Σ_k x[k] · W[n, k] + bias[n], W f16, bf16 or f32, one row: as awq-add-fixed16.ts, but for dense weights,
 * with f32 products and sums (wgsl/decode/products.ts). Workgroup memory at TEAM 64, TEAMS 8: 19 KiB. Limited by memory (N
 * · K · 2 bytes, 4 for f32).
 */
import { type AddKernel, addCard } from "../../wgsl/decode/add.ts";
import { type DenseBuffers, type DenseMatrix, denseValues } from "../../wgsl/decode/products.ts";

export const denseAdd: AddKernel<"x_in", DenseBuffers, DenseMatrix> = addCard("dense-add", denseValues("x_in"));
