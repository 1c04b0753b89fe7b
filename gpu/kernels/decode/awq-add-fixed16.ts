/**
 * residual[n] += Σ_k x̂[k] · W[n, k] + bias[n], int4 × fixed16, one row: o_proj and down_proj with their residual add,
 * and what the next norm and linear read (wgsl/decode/add.ts, where the buffers are). Each lane quantizes its blocks of
 * x_in itself. Workgroup memory at TEAM 128, TEAMS 4: 21 KiB. Limited by memory (N · K / 2 bytes) and by the time from
 * dispatch to first byte and from last byte to the next dispatch.
 */
import { type AddKernel, addCard } from "../../wgsl/decode/add.ts";
import { fixed16Values, type Int4Buffers, type Int4Matrix } from "../../wgsl/decode/products.ts";

export const awqAddFixed16: AddKernel<"x_in", Int4Buffers, Int4Matrix> = addCard("awq-add-fixed16", fixed16Values);
