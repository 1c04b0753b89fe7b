/** The contract of a program: a whole way to feed tokens, from ids to logits. What a plan takes is in plan.ts. */
import type { LlamaConfig } from "../../core/config.ts";
import { type ListedPart, unlistedPart } from "../../core/model/layer.ts";
import type { LinearRef, LlamaWeightRefs } from "../../core/model/weights.ts";
import type { Memory } from "../device/buffer.ts";
import type { Capabilities, Refusal } from "../device/capabilities.ts";
import type { ForwardContext } from "../model/sequence.ts";
import type { Kernel, Span } from "../pipeline/kernel.ts";
import type { PreparedDispatch } from "../pipeline/recorder.ts";
import type { CacheDType } from "../wgsl/cache.ts";
import type { GpuArithmetic, VariantStep, WeightLayout } from "./steps.ts";

/** What a program works on. */
export interface ProgramContext {
  /** Owns every buffer that `prepare` makes. */
  readonly memory: Memory;
  readonly forward: ForwardContext;
  /** [V] f32: where `head` leaves the logits of the last row. */
  readonly logits: GPUBuffer;
  /** Positions that the session has room for. */
  readonly maxContext: number;
  /** Most rows fed at a time: what `chunk` gave. */
  readonly chunk: number;
}

/**
 * A program made ready. Replaying it means: ids in `sequence.ids`, {T, start} in `sequence.step`, then `layers` in
 * order for these T rows, and `head` in order where the logits of the last row are wanted.
 * `layers` reads cache positions below start + T that are written, writes start … start + T − 1, and leaves what `head`
 * reads; so `head` comes before the layers of any program run again. Each dispatch sees all that those before it wrote,
 * in the same pass or an earlier one; no other wait is needed. Programs share the caches: one may go on where another
 * has stopped.
 */
export interface Feeder {
  readonly layers: readonly PreparedDispatch[];
  readonly head: readonly PreparedDispatch[];
  /** What must be waited for before T rows are fed; nothing where absent. @throws as `prepare` of gpu/pipeline/recorder.ts */
  ready?(T: number): Promise<void>;
}

export interface Program {
  readonly name: string;
  /**
   * The step among whose variants it is listed, since it computes the linears in a way of its own; absent for the plain
   * steps.
   */
  readonly step?: VariantStep;
  /** Numbers of rows that it feeds. */
  readonly rows: Span;
  /** What it runs: their features, limits and matrices are what it needs of a device. */
  readonly kernels: readonly Kernel[];
  readonly arithmetic: GpuArithmetic;
  /** The layout of int4 weights that it reads, and the cache; absent where either will do. */
  readonly layout?: WeightLayout;
  readonly cache?: CacheDType;
  /**
   * Parts of a layer that it computes, by their names in the weight tree: `refusal` refuses a layer that has another.
   */
  readonly parts: readonly ListedPart[];
  /**
   * What stands against it in the model's shapes, parts and dtypes, and in the device's limits; its kernels' needs
   * apart.
   */
  refusal(config: LlamaConfig, refs: LlamaWeightRefs, capabilities: Capabilities): Refusal | undefined;
  /** Rows that it is best fed at a time, in a session of `maxContext` positions. */
  chunk(capabilities: Capabilities, config: LlamaConfig, maxContext: number): number;
  /**
   * Allocates, records and compiles; submits nothing. Several programs may be prepared at once.
   * @throws GureumError as `prepare` of gpu/pipeline/recorder.ts
   */
  prepare(context: ProgramContext): Promise<Feeder>;
}

/** A layer's part that is not among `parts`, as a refusal: nothing that a checkpoint brings is skipped in silence. */
export function partRefusal(parts: readonly ListedPart[], { layers }: LlamaWeightRefs): Refusal | undefined {
  const part = unlistedPart(layers, parts);
  return part ? { code: "unsupported", reason: `it does not compute ${part}` } : undefined;
}

/** Every linear of every layer. */
export const linearsOf = ({ layers }: LlamaWeightRefs): LinearRef[] =>
  layers.flatMap((layer) => Object.values(layer)).filter((part): part is LinearRef => part !== null && "inFeatures" in part);
