/**
 * Tensors on their way from their files to the device, in parts of a few megabytes: into memory that the device copies
 * from where a tensor lies in its buffer as in its file, through the host where its rows are checked or rearranged.
 * Host memory stays at some tens of megabytes whatever the model's size.
 */
import type { TensorRef } from "../../core/model/weights.ts";
import { type Memory, settle } from "../device/buffer.ts";
import { guarded, waited } from "../device/device.ts";
import { makeStaging, QUEUED_BYTES } from "../device/staging.ts";

/** Bytes read at a time. */
const PART_BYTES = 8 * 2 ** 20;

export interface Stream {
  /** Bytes of a tensor into a buffer, as they are. The copies are submitted when this resolves. */
  whole(ref: TensorRef, buffer: GPUBuffer, range?: { fromByte: number; byteLength: number; toByte: number }): Promise<void>;
  /**
   * A tensor in parts of whole rows, in order; `use` writes each to the device, and the part is valid until it returns.
   */
  parts(ref: TensorRef, rowBytes: number, use: (bytes: Uint8Array<ArrayBuffer>, firstRow: number) => void): Promise<void>;
  /** Waits until the device has all that was written. @throws GureumError "out-of-memory", "device-lost" */
  drain(): Promise<void>;
  /** Waits for what is under way, failed or not, and gives its memory back. */
  close(): Promise<void>;
}

/**
 * @param total bytes of all tensors
 * @param onProgress after each part: bytes read so far, and in all
 */
export function makeStream(memory: Memory, total: number, onProgress?: (bytesDone: number, bytesTotal: number) => void): Stream {
  const { gpu } = memory;
  const staging = makeStaging(gpu);
  let done = 0;
  let queued = 0;
  const progress = (bytes: number): void => {
    done += bytes;
    onProgress?.(done, total);
  };
  const drain = async (): Promise<void> => {
    await settle(memory);
    await guarded(gpu, "upload", () => gpu.device.queue.submit([]));
    await waited(gpu, "upload", gpu.device.queue.onSubmittedWorkDone());
    queued = 0;
  };
  progress(0);
  return {
    whole: (ref, buffer, { fromByte, byteLength, toByte } = { fromByte: 0, byteLength: ref.byteLength, toByte: 0 }) =>
      staging.fill(buffer, toByte, byteLength, async (byteOffset, target) => {
        await ref.readInto(fromByte + byteOffset, target);
        progress(target.length);
      }),
    async parts(ref, rowBytes, use) {
      const rows = ref.byteLength / rowBytes;
      const rowsAtOnce = Math.max(1, Math.min(rows, Math.floor(PART_BYTES / rowBytes)));
      const space = new Uint8Array(rowsAtOnce * rowBytes);
      for (let row = 0; row < rows; row += rowsAtOnce) {
        const part = space.subarray(0, Math.min(rowsAtOnce, rows - row) * rowBytes);
        await ref.readInto(row * rowBytes, part);
        use(part, row);
        progress(part.length);
        queued += part.length;
        if (queued >= QUEUED_BYTES) await drain();
      }
    },
    drain,
    close: staging.close,
  };
}
