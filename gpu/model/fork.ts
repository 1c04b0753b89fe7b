/** What a forked session takes over from its origin. */
import type { Session } from "../../core/model/engine.ts";
import type { Memory } from "../device/buffer.ts";

/** What a session's host side holds: its ids, how many are in the cache, and whether logits wait to be sampled. */
export interface Held {
  readonly ids: readonly number[];
  readonly fed: number;
  readonly hasPending: boolean;
}
export const nothingHeld: Held = { ids: [], fed: 0, hasPending: false };

/** A session just opened, with the buffers that a fork fills. */
export interface Opened<Sequence> {
  readonly session: Session;
  readonly memory: Memory;
  readonly sequence: Sequence;
  /** [V] */
  readonly logits: GPUBuffer;
}

/** The first bytes of each buffer, a layer each. */
export function copyBuffers(encoder: GPUCommandEncoder, from: readonly GPUBuffer[], to: readonly GPUBuffer[], bytes: number): void {
  if (bytes > 0) for (const [i, buffer] of from.entries()) encoder.copyBufferToBuffer(buffer, 0, to[i]!, 0, bytes);
}
