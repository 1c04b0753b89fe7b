/** What goes wrong on a device ends in a named error, and what was allocated is destroyed. */
import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Checkpoint, openCheckpoint } from "../../../core/checkpoint/weights.ts";
import { embeddedModelPath } from "../../../core/host/embedded.ts";
import { directoryStore } from "../../../core/host/node.ts";
import type { LlamaWeightRefs, TensorRef } from "../../../core/model/weights.ts";
import { greedy } from "../../../core/sample/sampler.ts";
import { allocate, freeAll, makeMemory, settle } from "../../../gpu/device/buffer.ts";
import { adoptDevice, closeDevice, type Gpu, guarded, openDevice } from "../../../gpu/device/device.ts";
import { rmsNorm } from "../../../gpu/kernels/plain/rms-norm.ts";
import { loadGpuModel } from "../../../gpu/model/model.ts";
import { makeRecorder, prepare, record } from "../../../gpu/pipeline/recorder.ts";

let gpu: Gpu;
let checkpoint: Checkpoint;
beforeAll(async () => {
  gpu = await openDevice({ portable: true });
  checkpoint = await openCheckpoint(directoryStore(embeddedModelPath()));
});
afterAll(async () => {
  if (gpu) closeDevice(gpu);
  await checkpoint?.close();
});

const load = (on: Gpu, refs: LlamaWeightRefs = checkpoint.refs) => loadGpuModel(on, checkpoint.config, refs);

describe("a device that is lost", () => {
  it("is named in every call that follows, and the model can be loaded again", async () => {
    const first = await openDevice({ portable: true });
    const model = await load(first);
    const session = model.createSession(64);
    await session.prefill([1, 2, 3]);
    const batch = model.createBatch(2, 16);
    await batch.prefill(0, [1, 2]);
    const under = session.decode(greedy, 32);
    first.device.destroy();
    await expect(under).rejects.toMatchObject({ code: "device-lost", message: expect.stringContaining("load the model again") });
    await expect(session.prefill([4])).rejects.toMatchObject({ code: "device-lost" });
    await expect(session.forward([4], { logits: "all" })).rejects.toMatchObject({ code: "device-lost" });
    await expect(session.forward([4], { trace: ["finalNorm"] })).rejects.toMatchObject({ code: "device-lost" });
    // Its first step compiles: of what that starts at once, each fails, and none goes unheard.
    await expect(batch.decode([{ slot: 0, sampling: greedy }], 1)).rejects.toMatchObject({ code: "device-lost" });
    expect(() => model.createSession(8)).toThrow(/device was lost/);
    await expect(load(first)).rejects.toMatchObject({ code: "device-lost" });
    session.dispose();
    model.dispose();

    const second = await openDevice({ portable: true });
    const again = await load(second);
    const other = again.createSession(16);
    await other.prefill([1, 2, 3]);
    expect((await other.decode(greedy, 2)).ids).toHaveLength(2);
    again.dispose();
    closeDevice(second);
  });
});

describe("a device without memory", () => {
  /** A device that answers every allocation as one does that is full. */
  const full = (): Gpu => {
    const device = new Proxy(gpu.device, {
      get(target, name) {
        const value: unknown = Reflect.get(target, name);
        if (name === "pushErrorScope") return (filter: GPUErrorFilter) => filters.push(filter) && target.pushErrorScope(filter);
        if (name === "popErrorScope")
          return async () => {
            const filter = filters.pop();
            const error = await target.popErrorScope();
            return filter === "out-of-memory" ? { message: "not enough memory left" } : error;
          };
        return typeof value === "function" ? value.bind(target) : value;
      },
    });
    const filters: GPUErrorFilter[] = [];
    return { ...gpu, device, pipelines: new Map() };
  };

  it("is named when weights are loaded", async () => {
    await expect(load(full())).rejects.toMatchObject({ code: "out-of-memory", message: expect.stringContaining("not enough memory left") });
  });

  it("is named when buffers are settled", async () => {
    const memory = makeMemory(full());
    allocate(memory, "keys", 1024);
    await expect(settle(memory)).rejects.toMatchObject({ code: "out-of-memory", message: expect.stringContaining("keys") });
    freeAll(memory);
  });
});

describe("a device that is too small", () => {
  it("is named with the limit where a cache does not fit a binding", async () => {
    const limits = { ...gpu.capabilities.limits, maxStorageBufferBindingSize: 1 << 20 };
    const model = await load({ ...gpu, capabilities: { ...gpu.capabilities, limits } });
    expect(() => model.createSession(100_000)).toThrow(
      expect.objectContaining({
        code: "limit",
        message: expect.stringMatching(/expected at most 1048576 bytes on this device.*shorter context/),
      }),
    );
    model.dispose();
  });

  it("is named where a kernel needs a feature it has not", async () => {
    const memory = makeMemory(gpu);
    const recorder = makeRecorder();
    record(recorder, {
      kernel: { ...rmsNorm, features: ["subgroups"] },
      buffers: {
        step: allocate(memory, "s", 16),
        x: allocate(memory, "x", 16),
        weight: allocate(memory, "w", 16),
        out: allocate(memory, "o", 16),
      },
      params: { D: 4, eps: 0 },
      workgroups: () => [1, 1, 1],
    });
    await expect(prepare(recorder, memory)).rejects.toMatchObject({
      code: "missing-feature",
      message: expect.stringContaining("subgroups"),
    });
    freeAll(memory);
  });
});

describe("an adapter that is not there", () => {
  it("is named with the remedy", async () => {
    await expect(openDevice({ adapter: "no adapter of this name" })).rejects.toMatchObject({
      code: "no-adapter",
      message: expect.stringMatching(/expected one of 0: .*got "no adapter of this name".*CPU backend/),
    });
  });

  it("is named on a machine without any driver", async () => {
    // The Vulkan loader reads its list of drivers once per process, so this needs another process.
    const script = `
      const { openDevice } = await import(${JSON.stringify(new URL("../../../gpu/device/device.ts", import.meta.url).href)});
      try { await openDevice(); console.log("opened"); } catch (error) { console.log(error.code + ": " + error.message); }
      Deno.exit(0);`;
    const env = { ...process.env, VK_DRIVER_FILES: "/nonexistent", VK_ICD_FILENAMES: "/nonexistent", DENO_WEBGPU_BACKEND: "vulkan" };
    const { stdout } = await promisify(execFile)("npx", ["deno", "eval", script], { env });
    expect(stdout).toMatch(/^no-adapter: webgpu: no adapter answers.*CPU backend/);
  });
});

describe("a refused command", () => {
  it("is an error of its own, with the device's words", async () => {
    await expect(guarded(gpu, "a test", () => gpu.device.createBuffer({ size: 16, usage: 0x8000 }))).rejects.toMatchObject({
      code: "pipeline",
      message: expect.stringMatching(/^a test: the device refuses a command, got .+/),
    });
  });
});

describe("weights that are not numbers", () => {
  const spoilt = (ref: TensorRef, at: number, bytes: readonly number[]): TensorRef => ({
    ...ref,
    async readInto(byteOffset, target) {
      await ref.readInto(byteOffset, target);
      bytes.forEach((byte, i) => {
        const j = at + i - byteOffset;
        if (j >= 0 && j < target.length) target[j] = byte;
      });
    },
  });
  const infinity = [0x00, 0x7c];
  const inLayer = (
    i: number,
    change: (layer: LlamaWeightRefs["layers"][number]) => Partial<LlamaWeightRefs["layers"][number]>,
  ): LlamaWeightRefs => ({
    ...checkpoint.refs,
    layers: checkpoint.refs.layers.map((layer, j) => (i === j ? { ...layer, ...change(layer) } : layer)),
  });

  it("are refused by tensor and element where a scale is infinite", async () => {
    const refs = inLayer(3, ({ upProj }) =>
      upProj.kind === "awq" ? { upProj: { ...upProj, scales: spoilt(upProj.scales, 2 * 1234, infinity) } } : {},
    );
    await expect(load(gpu, refs)).rejects.toMatchObject({
      code: "non-finite",
      message: expect.stringMatching(/layers\.3\.mlp\.up_proj\.scales.*element 1234/),
    });
  });

  it("are refused where a norm is infinite", async () => {
    const refs = inLayer(5, ({ inputLayernorm }) => ({ inputLayernorm: spoilt(inputLayernorm, 20, infinity) }));
    await expect(load(gpu, refs)).rejects.toMatchObject({
      code: "non-finite",
      message: expect.stringMatching(/layers\.5\.input_layernorm.*element 10/),
    });
  });

  it("leave nothing allocated", async () => {
    const counted = counting(gpu);
    const refs = { ...checkpoint.refs, norm: spoilt(checkpoint.refs.norm, 0, infinity) };
    await expect(load(counted.gpu, refs)).rejects.toMatchObject({ code: "non-finite" });
    expect(counted.alive()).toBe(0);
  });
});

/** The same device, counting its buffers. */
function counting(on: Gpu): { gpu: Gpu; alive(): number; made(): number } {
  const buffers = new Set<GPUBuffer>();
  let made = 0;
  const device = new Proxy(on.device, {
    get(target, name) {
      const value: unknown = Reflect.get(target, name);
      if (name === "createBuffer")
        return (descriptor: GPUBufferDescriptor) => {
          const buffer = target.createBuffer(descriptor);
          const destroy = buffer.destroy.bind(buffer);
          buffer.destroy = () => {
            buffers.delete(buffer);
            return destroy();
          };
          buffers.add(buffer);
          made++;
          return buffer;
        };
      return typeof value === "function" ? value.bind(target) : value;
    },
  });
  return { gpu: { ...on, device }, alive: () => buffers.size, made: () => made };
}

describe("memory", () => {
  it("is all given back over rounds of loading, running and unloading", async () => {
    const counted = counting(gpu);
    for (let round = 0; round < 100; round++) {
      const model = await load(counted.gpu);
      const session = model.createSession(32);
      // One round in ten also runs everything that allocates.
      if (round % 10 === 0) {
        await session.prefill([1, 2, 3]);
        await session.decode({ ...greedy, temperature: 1, repetitionPenalty: 1.2 }, 3);
        await session.forward([5, 6], { logits: "all" });
        await session.forward([7], { trace: ["layers.*.attentionWeights"] });
        session.dispose();
      }
      model.dispose();
      expect(counted.alive()).toBe(0);
    }
    expect(counted.made()).toBeGreaterThan(100 * 187);
  });

  it("is given back by a session alone", async () => {
    const counted = counting(gpu);
    const model = await load(counted.gpu);
    const before = counted.alive();
    const session = model.createSession(32);
    await session.prefill([1, 2, 3]);
    await session.decode(greedy, 3);
    expect(counted.alive()).toBeGreaterThan(before);
    session.dispose();
    expect(counted.alive()).toBe(before);
    await expect(session.prefill([1])).rejects.toMatchObject({ code: "usage" });
    model.dispose();
  });
});

describe("a device of the caller's", () => {
  it("is the same record however often it is adopted: nothing of it stays behind for each model", () => {
    expect(adoptDevice(gpu.device)).toBe(gpu);
    expect(adoptDevice(gpu.device).pipelines).toBe(gpu.pipelines);
  });

  it("runs a model", async () => {
    const mine = adoptDevice(gpu.device);
    const model = await load(mine);
    const session = model.createSession(8);
    expect((await session.forward([1, 2])).logits).toHaveLength(checkpoint.config.vocabSize);
    model.dispose();
  });
});
