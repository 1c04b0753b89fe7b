/**
 * Keys and values beyond an f16 cache. The kernels that write it note the first position (gpu/wgsl/cache.ts); the note comes back
 * with what is read anyway, ids or logits, and ends in one line that names the step.
 */
import { GureumError } from "../../core/errors.ts";
import type { Taps } from "../../core/model/trace.ts";
import { type Range, readRanges, writeBytes } from "../device/buffer.ts";
import { notedPosition } from "../wgsl/cache.ts";
import type { GpuSequence } from "./sequence.ts";
import { forwardTraced } from "./traced.ts";

/** Where the note lies. */
export const notedRange = ({ context }: GpuSequence): Range => {
  const { buffer, offset, size } = context.sequence.noted;
  return { buffer, byteOffset: offset, byteLength: size };
};

/** Takes back a note of a position from `length` on: what was there is no longer part of the sequence. */
export async function clearNoted(self: GpuSequence, length: number): Promise<void> {
  if (self.context.sequence.cacheDType === "f32") return;
  const range = notedRange(self);
  if (length > 0) {
    const [bytes] = await readRanges(self.gpu, "cache", [range]);
    const position = notedPosition(new Uint32Array(bytes!)[0]!);
    if (position === null || position < length) return;
  }
  writeBytes(self.gpu, range.buffer, range.byteOffset, new Uint8Array(range.byteLength));
}

/** The first `length` numbers of a buffer, with the note. @throws GureumError "non-finite" where there is one; as readRanges */
export async function readUnlessNoted(self: GpuSequence, buffer: GPUBuffer, length: number, ids: readonly number[]): Promise<Float32Array> {
  const [numbers, note] = await readRanges(self.gpu, buffer.label, [{ buffer, byteOffset: 0, byteLength: length * 4 }, notedRange(self)]);
  const position = notedPosition(new Uint32Array(note!)[0]!);
  if (position !== null) throw await beyondF16(self, ids, position);
  return new Float32Array(numbers!);
}

/** The error for a note: the position is fed again by the plain steps, to name the first layer. */
export async function beyondF16(self: GpuSequence, ids: readonly number[], position: number): Promise<GureumError> {
  let found: { name: string; value: number } | undefined;
  const taps: Taps = {
    values: new Map(),
    wants: (name) => /\.(kRope|v)$/.test(name),
    steers: () => false,
    visit(name, _shape, data) {
      const value = data.find((x) => !(Math.abs(x) <= 65504));
      if (value !== undefined) found ??= { name, value };
    },
  };
  await forwardTraced(self, [ids[position]!], position, false, taps);
  return new GureumError("non-finite", {
    where: found?.name ?? "keys and values",
    what: `beyond the f16 cache at position ${position}`,
    expected: "magnitudes up to 65504",
    ...(found ? { got: `${found.value}` } : {}),
    remedy: "use an f32 cache (--kv-cache f32) or the CPU backend",
  });
}
