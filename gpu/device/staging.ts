/**
 * Memory that the host fills and the device copies from, a few spaces by turns: what is read from a file lies there at
 * once, without the copy and the fresh memory that `writeBuffer` takes for every call. Where a mapped range is a copy
 * itself, the spaces are the host's own and `writeBuffer` brings them.
 */
import { usage } from "./buffer.ts";
import { type Gpu, guarded, waited } from "./device.ts";

const SPACE_BYTES = 8 * 2 ** 20;
/** Spaces that are read into, copied from or waited for at once. */
const SPACES = 6;
const MAP_MODE_WRITE = 2;
/** Bytes handed to the queue before it is waited for: WebGPU copies each write into memory of its own until then. */
export const QUEUED_BYTES: number = 192 * 2 ** 20;

/** Puts the bytes from `byteOffset` on into `target`. */
type Read = (byteOffset: number, target: Uint8Array) => Promise<void>;

export interface Staging {
  /**
   * Fills `byteLength` bytes of a buffer from byte `first` on, multiples of 4, with what `read` puts into each part of
   * them. The copies are submitted when this resolves. Calls may overlap.
   */
  fill(buffer: GPUBuffer, first: number, byteLength: number, read: Read): Promise<void>;
  /** Waits for every part under way, failed ones too, and gives the spaces back. */
  close(): Promise<void>;
}

/**
 * @param maps false: by `writeBuffer` nevertheless. Deno's `getMappedRange` hands out a copy of the mapped bytes, and reading
 * them takes 0.4 s for a space where they lie on the card.
 * @throws GureumError "out-of-memory", "device-lost", from `fill`
 */
export const makeStaging = (gpu: Gpu, maps: boolean = !("Deno" in globalThis)): Staging => (maps ? mappedStaging(gpu) : queuedStaging(gpu));

/** What `fill` does with each part of its bytes. */
const inParts =
  <T>(part: (buffer: GPUBuffer, first: number, byteOffset: number, byteLength: number, read: Read) => Promise<T>): Staging["fill"] =>
  async (buffer, first, byteLength, read) => {
    const parts: Promise<T>[] = [];
    for (let at = 0; at < byteLength; at += SPACE_BYTES) parts.push(part(buffer, first, at, Math.min(SPACE_BYTES, byteLength - at), read));
    await Promise.all(parts);
  };

function queuedStaging(gpu: Gpu): Staging {
  const { queue } = gpu.device;
  const spaces: Promise<Uint8Array<ArrayBuffer>>[] = Array.from({ length: SPACES }, async () => new Uint8Array(SPACE_BYTES));
  let turn = 0;
  let queued = 0;
  let drained: Promise<undefined> = Promise.resolve(undefined);
  return {
    fill: inParts((buffer, first, byteOffset, byteLength, read) => {
      const i = turn++ % SPACES;
      const written = spaces[i]!.then(async (space) => {
        const bytes = space.subarray(0, byteLength);
        await read(byteOffset, bytes);
        await drained;
        await guarded(gpu, "upload", () => queue.writeBuffer(buffer, first + byteOffset, bytes));
        queued += byteLength;
        if (queued >= QUEUED_BYTES) {
          queued = 0;
          drained = guarded(gpu, "upload", () => queue.submit([])).then(() => waited(gpu, "upload", queue.onSubmittedWorkDone()));
          drained.catch(() => {}); // reported by the part that waits for it
        }
        return space;
      });
      spaces[i] = written;
      spaces[i].catch(() => {});
      return written;
    }),
    async close() {
      await Promise.allSettled([...spaces, drained]);
    },
  };
}

function mappedStaging(gpu: Gpu): Staging {
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

  const part = (buffer: GPUBuffer, first: number, byteOffset: number, byteLength: number, read: Read): Promise<GPUBuffer> => {
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
    fill: inParts(part),
    async close() {
      await Promise.allSettled(spaces);
      for (const result of await Promise.allSettled(made)) if (result.status === "fulfilled") result.value.destroy();
    },
  };
}
