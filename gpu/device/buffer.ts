/**
 * GPU memory with an owner: every buffer belongs to a `Memory`, which counts bytes and destroys what it holds. Uploads
 * in parts, reads through a staging buffer.
 */
import { GureumError } from "../../core/errors.ts";
import { checkAlive, type Gpu, guarded, scoped, waited } from "./device.ts";

/** GPUBufferUsage and GPUMapMode, which are absent as values in Node. */
export const usage = { MAP_READ: 1, MAP_WRITE: 2, COPY_SRC: 4, COPY_DST: 8, UNIFORM: 64, STORAGE: 128 } as const;
const MAP_MODE_READ = 1;

/** Buffers with one lifetime. */
export interface Memory {
  readonly gpu: Gpu;
  readonly buffers: Set<GPUBuffer>;
  byteLength: number;
  /** The first refused allocation, found out later; see `settle`. */
  readonly pending: Promise<GureumError | undefined>[];
}

export const makeMemory = (gpu: Gpu): Memory => ({ gpu, buffers: new Set(), byteLength: 0, pending: [] });

/**
 * A zeroed buffer of at least `byteLength` bytes, rounded up to 16. Whether the device had the memory turns out in
 * `settle`.
 * @throws GureumError "limit" beyond the device's buffer or binding size
 */
export function allocate(
  memory: Memory,
  label: string,
  byteLength: number,
  flags: number = usage.STORAGE | usage.COPY_DST | usage.COPY_SRC,
): GPUBuffer {
  const size = Math.max(16, Math.ceil(byteLength / 16) * 16);
  const { maxBufferSize, maxStorageBufferBindingSize } = memory.gpu.capabilities.limits;
  const most = flags & usage.STORAGE ? Math.min(maxBufferSize, maxStorageBufferBindingSize) : maxBufferSize;
  if (size > most)
    throw new GureumError("limit", {
      where: label,
      what: "buffer",
      expected: `at most ${most} bytes on this device`,
      got: `${size}`,
      remedy: "ask for a shorter context or an f16 cache, or use the CPU backend",
    });
  const { value: buffer, settled } = scoped(memory.gpu, label, () => memory.gpu.device.createBuffer({ label, size, usage: flags }));
  memory.pending.push(settled);
  memory.buffers.add(buffer);
  memory.byteLength += size;
  return buffer;
}

/** Waits for the verdict on every allocation so far. @throws GureumError "out-of-memory", "device-lost" */
export async function settle(memory: Memory): Promise<void> {
  const verdicts = await Promise.all(memory.pending.splice(0));
  const refused = verdicts.find((error) => error !== undefined);
  if (refused) throw refused;
}

export function free(memory: Memory, buffer: GPUBuffer): void {
  if (!memory.buffers.delete(buffer)) return;
  memory.byteLength -= buffer.size;
  buffer.destroy();
}

/** Destroys every buffer of `memory`. */
export function freeAll(memory: Memory): void {
  for (const buffer of [...memory.buffers]) free(memory, buffer);
}

/** A buffer that holds `data`, padded with zeros to a multiple of 16 bytes. @throws GureumError "limit" */
export function upload(memory: Memory, label: string, data: ArrayBufferView<ArrayBuffer>, flags?: number): GPUBuffer {
  const buffer = allocate(memory, label, data.byteLength, flags);
  writeBytes(memory.gpu, buffer, 0, new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
  return buffer;
}

/** Writes bytes at a multiple of 4; other lengths are padded with zeros. */
export function writeBytes(gpu: Gpu, buffer: GPUBuffer, byteOffset: number, bytes: Uint8Array<ArrayBuffer>): void {
  checkAlive(gpu, buffer.label);
  let padded = bytes;
  if (bytes.length % 4 !== 0) {
    padded = new Uint8Array(Math.ceil(bytes.length / 4) * 4);
    padded.set(bytes);
  }
  gpu.device.queue.writeBuffer(buffer, byteOffset, padded);
}

/** A range to read back. */
export interface Range {
  readonly buffer: GPUBuffer;
  readonly byteOffset: number;
  readonly byteLength: number;
}

/**
 * Copies of ranges (multiples of 4 bytes) after all work submitted so far; one staging buffer and one wait for all of
 * them.
 * @throws GureumError "device-lost", "out-of-memory"
 */
export async function readRanges(gpu: Gpu, where: string, ranges: readonly Range[]): Promise<ArrayBuffer[]> {
  const total = ranges.reduce((sum, range) => sum + range.byteLength, 0);
  if (total === 0) return ranges.map(() => new ArrayBuffer(0));
  let staging: GPUBuffer | undefined;
  try {
    await guarded(gpu, where, () => {
      const { device } = gpu;
      staging = device.createBuffer({ label: `${where} (staging)`, size: total, usage: usage.MAP_READ | usage.COPY_DST });
      const encoder = device.createCommandEncoder({ label: where });
      let at = 0;
      for (const { buffer, byteOffset, byteLength } of ranges) {
        encoder.copyBufferToBuffer(buffer, byteOffset, staging, at, byteLength);
        at += byteLength;
      }
      device.queue.submit([encoder.finish()]);
    });
    const mapped = staging!;
    await waited(gpu, where, mapped.mapAsync(MAP_MODE_READ));
    const bytes = mapped.getMappedRange();
    let at = 0;
    return ranges.map(({ byteLength }) => {
      at += byteLength;
      return bytes.slice(at - byteLength, at);
    });
  } finally {
    staging?.destroy();
  }
}

/** The first `length` numbers of a buffer of f32. @throws as readRanges */
export async function readF32(gpu: Gpu, buffer: GPUBuffer, length: number, offset: number = 0): Promise<Float32Array<ArrayBuffer>> {
  const [bytes] = await readRanges(gpu, buffer.label, [{ buffer, byteOffset: offset * 4, byteLength: length * 4 }]);
  return new Float32Array(bytes!);
}
