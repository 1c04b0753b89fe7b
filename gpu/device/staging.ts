/**
 * Memory that the host fills and the device copies from, a few spaces by turns: what is read from a file lies there at
 * once, without the copy and the fresh memory that `writeBuffer` takes for every call.
 */
import { usage } from "./buffer.ts";
import { type Gpu, guarded, waited } from "./device.ts";

const SPACE_BYTES = 8 * 2 ** 20;
/** Spaces that are read into, copied from or waited for at once. */
const SPACES = 6;
const MAP_MODE_WRITE = 2;

export interface Staging {
  /**
   * Fills `byteLength` bytes of a buffer from byte `first` on, multiples of 4, with what `read` puts into each part of
   * them. The copies are submitted when this resolves. Calls may overlap.
   */
  fill(
    buffer: GPUBuffer,
    first: number,
    byteLength: number,
    read: (byteOffset: number, target: Uint8Array) => Promise<void>,
  ): Promise<void>;
  /** Waits for every part under way, failed ones too, and gives the spaces back. */
  close(): Promise<void>;
}

/** @throws GureumError "out-of-memory", "device-lost", from `fill` */
export function makeStaging(gpu: Gpu): Staging {
  const { device } = gpu;
  /** Each space once it is mapped; rejected once a part of it failed. */
  const spaces: Promise<GPUBuffer>[] = Array.from({ length: SPACES }, (_, i) =>
    guarded(gpu, "staging", () =>
      device.createBuffer({ label: `staging ${i}`, size: SPACE_BYTES, usage: usage.MAP_WRITE | usage.COPY_SRC, mappedAtCreation: true }),
    ),
  );
  for (const space of spaces) space.catch(() => {}); // reported by the part that waits for it
  const made: Promise<GPUBuffer>[] = [...spaces];
  let turn = 0;

  const part = (
    buffer: GPUBuffer,
    first: number,
    byteOffset: number,
    byteLength: number,
    read: (byteOffset: number, target: Uint8Array) => Promise<void>,
  ): Promise<GPUBuffer> => {
    const i = turn++ % SPACES;
    const copied = spaces[i]!.then(async (space) => {
      await read(byteOffset, new Uint8Array(space.getMappedRange(0, byteLength)));
      return guarded(gpu, "upload", () => {
        space.unmap();
        const encoder = device.createCommandEncoder({ label: "upload" });
        encoder.copyBufferToBuffer(space, 0, buffer, first + byteOffset, byteLength);
        device.queue.submit([encoder.finish()]);
        return space;
      });
    });
    spaces[i] = copied.then((space) => waited(gpu, "upload", space.mapAsync(MAP_MODE_WRITE)).then(() => space));
    spaces[i].catch(() => {});
    return copied;
  };

  return {
    async fill(buffer, first, byteLength, read) {
      const parts: Promise<GPUBuffer>[] = [];
      for (let at = 0; at < byteLength; at += SPACE_BYTES)
        parts.push(part(buffer, first, at, Math.min(SPACE_BYTES, byteLength - at), read));
      await Promise.all(parts);
    },
    async close() {
      await Promise.allSettled(spaces);
      for (const result of await Promise.allSettled(made)) if (result.status === "fulfilled") result.value.destroy();
    },
  };
}
