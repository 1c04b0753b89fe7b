/** Memory by which tensors come to the device (gpu/device/staging.ts): mapped spaces, and writes of the queue. */
import { afterAll, describe, expect, test } from "vitest";
import { allocate, freeAll, makeMemory, readRanges } from "../../../gpu/device/buffer.ts";
import { makeStaging } from "../../../gpu/device/staging.ts";
import { testDevice } from "./device.ts";

const gpu = await testDevice();
const memory = makeMemory(gpu);
afterAll(() => freeAll(memory));

const valueAt = (seed: number, at: number): number => (Math.imul(at + seed, 0x9e3779b1) >>> 24) & 0xff;
/** One space and part of another. */
const LENGTH = 8 * 2 ** 20 + 20;

describe.each([
  ["mapped spaces", true],
  ["writes of the queue", false],
] as const)("staging by %s", (_name, maps) => {
  test("leaves in each buffer what was read, from the byte it was asked for", async () => {
    const staging = makeStaging(gpu, maps);
    const buffers = [1, 2].map((seed) => ({ seed, first: 4 * seed, buffer: allocate(memory, `staged ${seed}`, LENGTH + 16) }));
    await Promise.all(
      buffers.map(({ seed, first, buffer }) =>
        staging.fill(buffer, first, LENGTH, async (byteOffset, target) => {
          await Promise.resolve();
          for (let i = 0; i < target.length; i++) target[i] = valueAt(seed, byteOffset + i);
        }),
      ),
    );
    for (const { seed, first, buffer } of buffers) {
      const [bytes] = await readRanges(gpu, "staged", [{ buffer, byteOffset: 0, byteLength: LENGTH + 16 }]);
      const read = new Uint8Array(bytes!);
      const wrong = read.findIndex((byte, at) => byte !== (at < first || at >= first + LENGTH ? 0 : valueAt(seed, at - first)));
      expect(wrong).toBe(-1);
    }
    await staging.close();
  });

  test("hands on what a read throws, and closes", async () => {
    const staging = makeStaging(gpu, maps);
    const buffer = allocate(memory, "staged", 64);
    await expect(staging.fill(buffer, 0, 64, () => Promise.reject(new Error("the disk is gone")))).rejects.toThrow("the disk is gone");
    await staging.close();
  });
});

test("writes of the queue are waited for when many bytes are under way", async () => {
  const waits: number[] = [];
  let written = 0;
  const queue = new Proxy(gpu.device.queue, {
    get(target, name) {
      if (name === "onSubmittedWorkDone")
        return () => {
          waits.push(written);
          return target.onSubmittedWorkDone();
        };
      if (name === "writeBuffer")
        return (_buffer: GPUBuffer, _at: number, bytes: Uint8Array) => {
          written += bytes.length;
        };
      const value = Reflect.get(target, name, target);
      return typeof value === "function" ? value.bind(target) : value;
    },
  });
  const device = new Proxy(gpu.device, {
    get(target, name) {
      if (name === "queue") return queue;
      const value = Reflect.get(target, name, target);
      return typeof value === "function" ? value.bind(target) : value;
    },
  });
  const staging = makeStaging({ ...gpu, device }, false);
  const buffer = allocate(memory, "staged", 16);
  await staging.fill(buffer, 0, 400 * 2 ** 20, async () => {});
  await staging.close();
  expect(waits).toEqual([192 * 2 ** 20, 384 * 2 ** 20]);
});
