/** Tensors as the library hands them out. */
import { Float16Array as OwnFloat16Array } from "@petamoriken/float16";
import { describe, expect, it } from "vitest";
import { memoryStore } from "../../core/checkpoint/byte-source.ts";
import { encodeSafetensors } from "../../core/checkpoint/safetensors.ts";
import { embeddedModel, openTensors } from "../../index.ts";

const store = async (...entries: Parameters<typeof encodeSafetensors>[0]) =>
  memoryStore("m", new Map([["model.safetensors", await encodeSafetensors(entries)]]));

describe("openTensors", () => {
  it("gives f16 as numbers, in the host's Float16Array where it has one", async () => {
    const { read, names } = await openTensors(embeddedModel());
    expect(names).toHaveLength(187);
    const { dtype, shape, data } = await read("model.norm.weight");
    expect([dtype, shape]).toEqual(["F16", [256]]);
    expect(data).toBeInstanceOf((globalThis as { Float16Array?: typeof OwnFloat16Array }).Float16Array ?? OwnFloat16Array);
    expect(Array.from(data as OwnFloat16Array).every((value) => value > 0 && value < 100)).toBe(true);
  });

  it("gives each dtype its array, and BF16 as f32", async () => {
    const bytes = Uint8Array.of(0x80, 0x3f, 0x00, 0xc0, 1, 0, 0, 0);
    for (const [dtype, shape, expected] of [
      ["BF16", [4], Float32Array.of(1, -2, 2 ** -133, 0)],
      ["I32", [2], Int32Array.of(-1073725568, 1)],
      ["U64", [1], BigUint64Array.of(0x1c0003f80n)],
      ["F8_E4M3", [8], bytes],
    ] as const) {
      const { read } = await openTensors(await store({ name: "a", dtype, shape, data: bytes }));
      expect((await read("a")).data).toEqual(expected);
    }
  });

  it("names the tensor that is missing", async () => {
    const { read } = await openTensors(await store({ name: "a", dtype: "U8", shape: [1], data: Uint8Array.of(1) }));
    await expect(read("b")).rejects.toMatchObject({ code: "missing-tensor", message: 'm: no tensor "b"' });
  });
});
