/**
 * residual[n] += Σ_k x[k] · W[n, k] + bias[n], int4 × f32, one row: as awq-add-fixed16.ts, but with f32 products and
 * sums (wgsl/decode/products.ts). Workgroup memory at TEAM 128, TEAMS 4: 21 KiB. Limited by memory (N · K / 2 bytes) and
 * by some three instructions a weight.
 */
import { type AddKernel, addCard } from "../../wgsl/decode/add.ts";
import { type Int4Buffers, type Int4Matrix, int4Values } from "../../wgsl/decode/products.ts";

export const awqAddF32: AddKernel<"x_in", Int4Buffers, Int4Matrix> = addCard("awq-add-f32", int4Values("x_in"));
