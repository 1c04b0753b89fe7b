/**
 * The benchmark's kernels on Dawn's null backend, which needs no GPU, and on a real or software device where one
 * answers.
 */
import { readdirSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { cpuCases } from "../../../bench/cpu/cases.ts";
import { measureCpu } from "../../../bench/cpu.ts";
import { measureLimits } from "../../../bench/device.ts";
import { type GpuTimer, makeGpuTimer } from "../../../bench/gpu-timer.ts";
import { hostClock, type Plan } from "../../../bench/harness.ts";
import { measureKernels, planKernels, works } from "../../../bench/kernels.ts";
import { dotI8, emptyDispatch, fmaF16, fmaF32, matrixKernel, streamCopy, streamRead } from "../../../bench/limit-kernels.ts";
import { measureModel } from "../../../bench/model.ts";
import { makeOperands } from "../../../bench/operands.ts";
import { benchKernel, benchKernels } from "../../../bench/own.ts";
import { linearShapes } from "../../../bench/shapes.ts";
import { syntheticRefs } from "../../../bench/synthetic.ts";
import { synthShapes } from "../../../core/checkpoint/synth-shapes.ts";
import type { LlamaConfig } from "../../../core/config.ts";
import { GureumError } from "../../../core/errors.ts";
import { referenceExactOps } from "../../../core/exact/ops.ts";
import { referenceOps } from "../../../core/model/ops.ts";
import { occursIn } from "../../../core/names.ts";
import { allocate, freeAll, makeMemory, readF32, upload } from "../../../gpu/device/buffer.ts";
import { missingFor } from "../../../gpu/device/capabilities.ts";
import { closeDevice, type Gpu, openDevice } from "../../../gpu/device/device.ts";
import { makeProfiler } from "../../../gpu/device/profile.ts";
import { compile } from "../../../gpu/pipeline/compile.ts";
import type { Kernel } from "../../../gpu/pipeline/kernel.ts";
import { makeRecorder, prepare, record, submit } from "../../../gpu/pipeline/recorder.ts";

const tiny = { name: "tiny", config: synthShapes.tiny.config };
/** Two thin layers: enough to be a model. */
const small: LlamaConfig = { ...synthShapes.tiny.config, numHiddenLayers: 2, vocabSize: 128, maxPositionEmbeddings: 64 };
const quick: Plan = { warmupMs: 1, minRounds: 3, maxRounds: 3, timeMs: 10 };

let validating: Gpu;
beforeAll(async () => {
  validating = await openDevice({ backend: "null" });
});
afterAll(() => closeDevice(validating));

describe("the work of kernels", () => {
  const files = readdirSync(new URL("../../../gpu/kernels/", import.meta.url), { recursive: true, encoding: "utf8" })
    .filter((name) => name.endsWith(".ts"))
    .map((name) => name.slice(name.lastIndexOf("/") + 1, -".ts".length));

  it("has an entry for every kernel file, and for nothing else", () => {
    expect(works.map(({ kernel }) => kernel).sort()).toEqual(files.sort());
  });

  /** For kernels that do not take the tiny shape: heads as wide as those of the large models. */
  const wide: LlamaConfig = { ...tiny.config, headDim: 128, numAttentionHeads: 4, numKeyValueHeads: 1 };
  const casesOf = (config: LlamaConfig, work: (typeof works)[number]) =>
    [1, 3, 40].flatMap((T) => work.cases(config, T).map((item) => ({ ...item, T, work, title: `${work.kernel} ${item.step} T=${T}` })));
  const cases = works.flatMap((work) => {
    const list = casesOf(tiny.config, work);
    return list.length > 0 ? list : casesOf(wide, work);
  });

  it("has a case for every entry", () => {
    expect(new Set(cases.map(({ work }) => work.kernel))).toEqual(new Set(works.map(({ kernel }) => kernel)));
  });

  it.each(cases)("$title: binds on a device, and moves no more bytes than it binds", async (c) => {
    const operands = makeOperands(validating, c.T, c.start);
    try {
      const recorder = makeRecorder();
      c.record(recorder, operands);
      expect(recorder.dispatches.length).toBeGreaterThan(0);
      expect(new Set(recorder.dispatches.map(({ kernel }) => kernel.name))).toEqual(new Set([c.work.kernel]));
      // What is read and written counts twice; the same buffer bound twice, once.
      const bound = new Map<GPUBuffer, number>();
      for (const { kernel, buffers } of recorder.dispatches)
        for (const [name, kind] of Object.entries((kernel as Kernel).bindings)) {
          const argument = (buffers as Record<string, GPUBuffer | GPUBufferBinding>)[name]!;
          const buffer = "buffer" in argument ? (argument.buffer as GPUBuffer) : argument;
          bound.set(buffer, Math.max(bound.get(buffer) ?? 0, buffer.size * (kind === "readWrite" ? 2 : 1)));
        }
      const total = [...bound.values()].reduce((sum, size) => sum + size, 0);
      expect(c.counts.bytes).toBeGreaterThan(0);
      expect(c.counts.bytes).toBeLessThanOrEqual(total);
      if (/linear|attention/.test(c.work.task)) {
        // Weights and caches are read whole; buffers are rounded up to 16 bytes, matrices reach up to a tile of keys
        // too far.
        const tile = c.work.task === "attention of prefill" ? 64 * 4 * wide.numKeyValueHeads * wide.headDim : 0;
        expect(c.counts.bytes).toBeGreaterThanOrEqual(operands.ownBytes() - 16 * bound.size - tile);
        expect(c.counts.operations).toBeGreaterThan(0);
      }
      await operands.fill();
      const lacks = recorder.dispatches.some(({ kernel }) => missingFor(kernel, validating.capabilities) !== undefined);
      if (lacks)
        await expect(prepare(recorder, operands.memory)).rejects.toMatchObject({
          code: expect.stringMatching(/^(limit|missing-feature)$/),
        });
      else expect(await prepare(recorder, operands.memory)).toHaveLength(recorder.dispatches.length);
    } finally {
      operands.close();
    }
  });

  it("counts for attention the pairs of query and key that exist, with a sliding window and without", () => {
    for (const slidingWindow of [null, 1, 8, 5000])
      for (const T of [1, 3, 40]) {
        const config = { ...tiny.config, slidingWindow };
        const { numAttentionHeads: H, headDim: Hd } = config;
        for (const { counts, start } of works.find(({ kernel }) => kernel === "attention")!.cases(config, T)) {
          let pairs = 0;
          for (let t = start; t < start + T; t++) for (let s = 0; s <= t; s++) if (slidingWindow === null || t - s < slidingWindow) pairs++;
          expect(counts.operations).toBe(4 * H * Hd * pairs);
        }
      }
  });

  it("covers each linear of a layer once, and the head", () => {
    const steps = (kernel: string) =>
      works
        .find((work) => work.kernel === kernel)!
        .cases(tiny.config, 1)
        .flatMap(({ step }) => step.split("+"));
    expect(steps("awq-matmul").sort()).toEqual(["downProj", "gateProj", "kProj", "oProj", "qProj", "upProj", "vProj"]);
    expect(steps("matmul")).toEqual(["lmHead"]);
    expect(linearShapes(tiny.config).reduce((sum, { count }) => sum + count, 0)).toBe(7);
  });
});

describe("a selection of kernels", () => {
  const names = (selection: Omit<Parameters<typeof planKernels>[0], "shape">) =>
    planKernels({ shape: tiny, ...selection }).map((group) => group.map(({ name }) => name));

  it("puts the kernels of one task, step and number of rows into turns", () => {
    const groups = names({ rows: [1, 16], filter: "awq-matmul*downProj" });
    expect(groups).toHaveLength(2);
    for (const [i, T] of [1, 16].entries())
      expect(groups[i]).toEqual(expect.arrayContaining([`awq-matmul downProj T=${T} tiny`, `awq-matmul-tiled downProj T=${T} tiny`]));
  });

  it("is narrowed by parts of names, by kernels and by variants", () => {
    expect(occursIn("awq*qProj")("awq-matmul qProj T=1 tiny")).toBe(true);
    expect(occursIn("q.Proj")("awq-matmul qProj T=1 tiny")).toBe(false);
    expect(names({ rows: [1, 16], variants: ["rope"] }).flat()).toEqual(["rope q T=1 tiny", "rope q T=16 tiny"]);
    expect(
      names({ rows: [1], variants: ["cache-f16"] })
        .flat()
        .every((name) => name.includes("cache-f16")),
    ).toBe(true);
  });

  it("has distinct names, so that files can be joined by them", () => {
    const all = names({ rows: [1, 16, 512, 2048] }).flat();
    expect(new Set(all).size).toBe(all.length);
  });
});

describe("the kernels that measure limits", () => {
  it("compile on a device that offers what they need", async () => {
    const configs = [
      { componentType: "f16", resultComponentType: "f32", M: 16, N: 16, K: 16 },
      { componentType: "f16", resultComponentType: "f16", M: 8, N: 8, K: 8 },
      { componentType: "i8", resultComponentType: "i32", M: 16, N: 16, K: 32 },
    ].map((config) => matrixKernel(config, 32).kernel);
    for (const kernel of [streamRead, streamCopy, fmaF32, fmaF16, dotI8, emptyDispatch, ...configs] as Kernel[])
      await compile(validating, kernel);
  });
});

describe("the CPU's ops", () => {
  it("run, each on its own shapes", () => {
    for (const { make, makeExact } of cpuCases(small, 2)) {
      make(referenceOps)();
      makeExact?.(referenceExactOps)();
    }
  });

  it("give rows by every engine with CPU time and threads, below a ceiling and the plain dot product", async () => {
    const shape = { name: "small", config: small };
    const plan: Plan = { warmupMs: 1, minRounds: 1, maxRounds: 1, timeMs: 1 };
    const { limits, rows } = await measureCpu({ shape, rows: [1], filter: "attention" }, plan, { threads: 2 });
    expect(rows.map(({ name }) => name.split(" ").slice(0, 2).join(" "))).toEqual([
      "Float64Array dot",
      "f64 multiply-add,",
      "attention javascript",
      "attention javascript-exact",
      "attention wasm",
      "attention wasm-exact",
    ]);
    expect(limits.operationsPerSecond.f64).toBeGreaterThan(0);
    expect(rows[2]!.limitShare).toBeGreaterThan(0);
    expect(rows.map(({ threads }) => threads)).toEqual([1, 1, 1, 1, 2, 2]);
    for (const { cpuMs } of rows.slice(2)) expect(cpuMs).toBeGreaterThan(0);
    await expect(measureCpu({ shape, rows: [1], filter: "nonesuch" }, plan)).rejects.toMatchObject({ code: "usage" });
  });
});

describe("a function of one's own", () => {
  it("gives a row, timed by the host", async () => {
    let calls = 0;
    const row = await benchKernel({ name: "mine", run: async () => void calls++, operations: 8 }, { plan: quick });
    expect(row).toMatchObject({ name: "mine", group: "own", timer: "host clock", operations: 8 });
    expect(row.samples).toHaveLength(3);
    expect(calls).toBeGreaterThanOrEqual(3 * row.calls);
  });

  it("fails with its own error", async () => {
    const broken = { name: "mine", run: () => Promise.reject(new Error("mine alone")) };
    await expect(benchKernel(broken, { plan: quick })).rejects.toThrow("mine alone");
  });
});

const gpu = await openDevice().catch((error: unknown) => {
  if (error instanceof GureumError && error.code === "no-adapter") return undefined;
  throw error;
});
const timer: GpuTimer | undefined = gpu && (await makeGpuTimer(gpu));
afterAll(() => {
  timer?.close();
  if (gpu) closeDevice(gpu);
});

/** Twice its input, to look at. */
const double = {
  name: "double",
  wgsl: /* wgsl */ `
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;
override SCALE: f32 = 2.0;
@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) at: vec3<u32>) { y[at.x] = SCALE * x[at.x]; }
`,
} as const;

describe.skipIf(!gpu)("on a WebGPU device", () => {
  it("kernels give rows with times, counts and shares", async () => {
    const selection = { shape: tiny, rows: [1], filter: "awq-matmul*downProj" };
    const limits = { readBytesPerSecond: 1e9, operationsPerSecond: { f32: 1e9 } };
    const { rows, skipped } = await measureKernels(timer!, selection, limits, quick);
    expect(skipped).toEqual([]);
    expect(rows.map(({ name }) => name)).toEqual(planKernels(selection).flatMap((group) => group.map(({ name }) => name)));
    expect(rows.length).toBeGreaterThanOrEqual(2);
    for (const row of rows) {
      expect(row.median).toBeGreaterThan(0);
      expect(row.samples).toHaveLength(3);
      expect(row.rotatedBytes).toBeGreaterThan(row.bytes!);
      expect(row.limitShare).toBeGreaterThan(0);
    }
    await expect(measureKernels(timer!, { ...selection, filter: "nonesuch" }, limits, quick)).rejects.toMatchObject({ code: "usage" });
  });

  it("the host's clock can stand in for the device's", async () => {
    const host = await makeGpuTimer(gpu!, false);
    const { rows } = await measureKernels(
      host,
      { shape: tiny, rows: [1], filter: "awq-matmul downProj" },
      { operationsPerSecond: {} },
      quick,
    );
    expect(rows[0]).toMatchObject({ timer: "host clock" });
    host.close();
  });

  it("limits are above zero, for what the device offers and nothing else", async () => {
    const { limits, rows } = await measureLimits(timer!, quick);
    expect(limits.readBytesPerSecond).toBeGreaterThan(0);
    expect(Object.keys(limits.operationsPerSecond)).toEqual(expect.arrayContaining(["f32", "i8"]));
    expect("f16" in limits.operationsPerSecond).toBe(gpu!.capabilities.features.includes("shader-f16"));
    expect("matrix f16" in limits.operationsPerSecond).toBe(gpu!.capabilities.subgroupMatrixConfigs.some((c) => c.componentType === "f16"));
    expect(rows.every(({ group }) => group === "device")).toBe(true);
  });

  it("WGSL of one's own gives a row, beside a function's", async () => {
    const buffers = {
      x: { kind: "read", byteLength: 4096, rotate: true },
      y: { kind: "readWrite", byteLength: 4096, contents: "blank" },
    } as const;
    const mine = { ...double, buffers, workgroups: [16, 1, 1], overrides: { SCALE: 3 }, bytes: 8192 } as const;
    const rows = await benchKernels([mine, { name: "host", run: () => {} }], { device: gpu!, plan: quick });
    expect(rows.map(({ name, timer: clock }) => [name, clock])).toEqual([
      ["double", timer!.name],
      ["host", "host clock"],
    ]);
    expect(rows[0]!.rotatedBytes).toBe(64 * 4096);
    const given = { x: { kind: "read", data: new Float32Array(1024) }, y: buffers.y } as const;
    expect((await benchKernel({ ...mine, buffers: given }, { device: gpu!, plan: quick })).rotatedBytes).toBeUndefined();
  });

  it("broken WGSL and buffers of no size are refused by name", async () => {
    const buffers = { x: { kind: "read", byteLength: 64 }, y: { kind: "readWrite", byteLength: 64 } } as const;
    const options = { device: gpu!, plan: quick };
    const bench = { ...double, buffers, workgroups: [1, 1, 1] } as const;
    await expect(benchKernel({ ...bench, wgsl: "fn main() {" }, options)).rejects.toMatchObject({ code: "pipeline" });
    await expect(benchKernel({ ...bench, buffers: { ...buffers, x: { kind: "read" } } }, options)).rejects.toMatchObject({ code: "usage" });
  });

  it("a profiled device computes what the device computes, counts its dispatches and its bytes", async () => {
    const profiler = makeProfiler(gpu!, hostClock.now);
    const memory = makeMemory(profiler.gpu);
    const values = Float32Array.from({ length: 64 }, (_, i) => i);
    const x = upload(memory, "x", values);
    const y = allocate(memory, "y", 256);
    const kernel: Kernel = { ...double, bindings: { x: "read", y: "readWrite" }, params: {}, overrides: { SCALE: "f32" } };
    const recorder = makeRecorder();
    for (let i = 0; i < 5; i++) record(recorder, { kernel, buffers: { x, y }, params: {}, workgroups: () => [1, 1, 1] });
    const prepared = await prepare(recorder, memory);
    for (const watched of ["nothing", "passes", "kernels"] as const) {
      gpu!.device.queue.writeBuffer(y, 0, new Float32Array(64));
      await profiler.take();
      profiler.watch(watched);
      await submit(memory, prepared, 1);
      profiler.watch("nothing");
      const { dispatches, passes, submissions, kernels, gpuMs, encodeMs } = await profiler.take();
      expect(await readF32(profiler.gpu, y, 64)).toEqual(values.map((v) => 2 * v));
      expect(dispatches).toBe(watched === "nothing" ? 0 : 5);
      expect(passes > 0).toBe(watched !== "nothing");
      if (watched === "passes") expect(passes).toBe(1);
      expect(submissions).toBe(1);
      expect(encodeMs > 0).toBe(watched !== "nothing");
      if (timer!.name !== "gpu timestamps") continue;
      expect(gpuMs! > 0).toBe(watched !== "nothing");
      expect([...kernels].map(([name, sum]) => [name, sum.dispatches])).toEqual(watched === "kernels" ? [["double", 5]] : []);
    }
    expect(profiler.liveBytes()).toBe(memory.byteLength);
    freeAll(memory);
    expect(profiler.liveBytes()).toBe(0);
    profiler.close();
  });

  it("a model's rows cover loading, prompts and depths, and its token's time is taken apart", async () => {
    const selection = { name: "small", config: small, refs: syntheticRefs(small), prompts: [4, 12], newTokens: 4, depths: [0, 16] };
    const { rows, tokenTimes, facts } = await measureModel(selection, gpu, { operationsPerSecond: {} }, quick);
    expect(rows.map(({ name }) => name)).toEqual([
      "load small",
      "first token of the process, prompt 4 small",
      "prefill 4 small",
      "prefill 12 small",
      "time to first token, prompt 4 small",
      "time to first token, prompt 12 small",
      "decode 4 at 0 small",
      "decode 4 at 16 small",
    ]);
    // The rates are the host's clock's; CPU time is given where the host computes.
    for (const { timer, cpuMs } of rows) expect([timer, cpuMs]).toEqual(["host clock", undefined]);
    expect(facts["gpu with the session"]).toBeGreaterThan(facts["gpu after loading"]!);
    expect(tokenTimes.map(({ depth }) => depth)).toEqual([0, 16]);
    for (const time of tokenTimes) {
      expect(time.dispatches).toBeGreaterThan(small.numHiddenLayers);
      expect(time.encodeMs + time.submitMs + time.waitMs).toBeCloseTo(time.wallMs, 9);
      expect(time.waitMs).toBeGreaterThanOrEqual(0);
      if (timer!.name === "gpu timestamps") expect(time.gpuMs).toBeLessThanOrEqual(time.wallMs);
      const counted = time.kernels.reduce((sum, kernel) => sum + kernel.dispatches, 0);
      if (timer!.name === "gpu timestamps") expect(counted).toBe(time.dispatches);
      // Whole passes: as many dispatches per token as the model has, in each kernel of the layers and in all.
      expect(Number.isInteger(time.dispatches)).toBe(true);
      for (const { kernel, dispatches } of time.kernels) {
        expect(Number.isInteger(dispatches), kernel).toBe(true);
        if (/^(awq|rope|cache|attention|silu|add)/.test(kernel)) expect(dispatches % small.numHiddenLayers, kernel).toBe(0);
      }
    }
  });
});

describe("a model on the CPU", () => {
  const selection = { name: "small", config: small, refs: syntheticRefs(small), prompts: [4], newTokens: 2, depths: [8] };

  it("gives the same rows, and no breakdown", async () => {
    const { rows, tokenTimes } = await measureModel(selection, undefined, { operationsPerSecond: {} }, quick);
    expect(rows.map(({ tokens }) => tokens)).toEqual([undefined, undefined, 4, undefined, 2]);
    expect(tokenTimes).toEqual([]);
  });

  it("is refused where prompt, depth and new tokens do not fit", async () => {
    const deep = measureModel({ ...selection, depths: [63] }, undefined, { operationsPerSecond: {} }, quick);
    await expect(deep).rejects.toMatchObject({ code: "context", message: expect.stringContaining("66") });
  });
});
