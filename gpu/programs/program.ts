/** What a plan is made of. */
import type { LlamaConfig } from "../../core/config.ts";
import type { LlamaWeightRefs } from "../../core/model/weights.ts";
import type { Capabilities, Refusal } from "../device/capabilities.ts";
import type { Kernel } from "../pipeline/kernel.ts";
import type { CacheDType } from "../wgsl/cache.ts";

/** Rows from which on a product counts as one of many rows. */
export const FEW_ROWS = 8;

export type VariantStep = "linear" | "linear-prefill" | "dense" | "dense-prefill";

/** How int4 weights lie in GPU memory: as the checkpoint packs them, or as gpu/kernels/layout/awq-repack.ts does. */
export type WeightLayout = "checkpoint" | "repacked";

/**
 * How int4 linears compute. "f32": f32 activations, products and sums. "fixed16": activations as 16-bit block fixed point and exact
 * integer block sums (core/quant/fixed16.ts), of single tokens, and of prompts where it is asked for by the variant's name. "f16": prompts
 * with f16 operands, f32 sums and residual. Traces, and logits of more than the last position, are always in f32.
 */
export type GpuArithmetic = "f32" | "fixed16" | "f16";

export interface Variant {
  readonly step: VariantStep;
  readonly name: string;
  /** What it runs: their features and limits are what it needs of the device. */
  readonly kernels: readonly Kernel[];
  readonly arithmetic: GpuArithmetic;
  /** The layout of int4 weights that it reads; absent where it reads none. */
  readonly layout?: WeightLayout;
  /** The cache that it needs; absent where either will do. */
  readonly cache?: CacheDType;
  /** What it wants of the model's shapes. */
  readonly refusal?: (capabilities: Capabilities, config: LlamaConfig, refs: LlamaWeightRefs) => Refusal | undefined;
}

/** What runs. */
export interface Plan {
  readonly taken: Readonly<Record<VariantStep, Variant>>;
  readonly layout: WeightLayout;
  readonly cache: CacheDType;
}
