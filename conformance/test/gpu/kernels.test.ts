/**
 * Every kernel file of the tree against its record, and on Dawn's null backend, which checks WGSL and pipelines without
 * a GPU.
 */

import { readdirSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { works } from "../../../bench/kernels.ts";
import type { Operands } from "../../../bench/operands.ts";
import { synthShapes } from "../../../core/checkpoint/synth-shapes.ts";
import { GureumError } from "../../../core/errors.ts";
import { missingFor } from "../../../gpu/device/capabilities.ts";
import { closeDevice, type Gpu, openDevice } from "../../../gpu/device/device.ts";
import { compile } from "../../../gpu/pipeline/compile.ts";
import { type BindingKind, type Card, emit, type Kernel, workgroupBytes } from "../../../gpu/pipeline/kernel.ts";
import { makeRecorder, recordKernel } from "../../../gpu/pipeline/recorder.ts";
import * as exactOperations from "../../../gpu/wgsl/exact.ts";
import * as exactAttentionOperations from "../../../gpu/wgsl/exact-attention.ts";
import * as exactPairOperations from "../../../gpu/wgsl/exact-pairs.ts";
import * as exactQuadOperations from "../../../gpu/wgsl/exact-quads.ts";
import * as exactRowOperations from "../../../gpu/wgsl/exact-row.ts";
import * as exactWordsOperations from "../../../gpu/wgsl/exact-words.ts";
import { portableLimits } from "./device.ts";
import { workgroupMemory } from "./workgroup-memory.ts";

const folder = new URL("../../../gpu/kernels/", import.meta.url);
const files = readdirSync(folder, { recursive: true, encoding: "utf8" }).filter((name) => name.endsWith(".ts"));

const isKernel = (value: unknown): value is Kernel =>
  typeof value === "object" &&
  value !== null &&
  typeof (value as Kernel).wgsl === "string" &&
  typeof (value as Kernel).bindings === "object";

const kernels: { file: string; kernel: Kernel }[] = [];
for (const file of files.sort()) {
  const module: Record<string, unknown> = await import(new URL(file, folder).href);
  for (const value of Object.values(module)) if (isKernel(value)) kernels.push({ file, kernel: value });
}

/** What the WGSL declares, by reading it. */
function declared(wgsl: string) {
  const code = wgsl.replace(/\/\/.*$/gm, "").replace(/\/\*[\s\S]*?\*\//g, "");
  const bindings = [...code.matchAll(/@group\((\d+)\)\s*@binding\((\d+)\)\s*var<([^>]*)>\s*(\w+)\s*:\s*([^;]*);/g)].map(
    ([, group, index, space, name, type]) => ({ group: Number(group), index: Number(index), space: space!.replace(/\s/g, ""), name, type }),
  );
  const params = /struct Params\s*\{([^}]*)\}/.exec(code)?.[1] ?? "";
  const fields = params
    .split(/[,;]/)
    .map((field) => field.trim())
    .filter((field) => field !== "")
    .map((field) => field.split(/\s*:\s*/) as [string, string]);
  const overrides = [...code.matchAll(/override\s+(\w+)\s*(?::\s*(\w+))?/g)].map(([, name, type]) => [name!, type] as const);
  const enables = [...code.matchAll(/^\s*enable\s+([^;]*);/gm)].flatMap(([, names]) => names!.split(/\s*,\s*/));
  return { bindings, fields, overrides, enables };
}

const spaces: Record<BindingKind, string> = { read: "storage,read", readWrite: "storage,read_write", uniform: "uniform" };
/** The device feature behind each WGSL extension. */
const extensionFeatures: Record<string, string> = {
  f16: "shader-f16",
  subgroups: "subgroups",
  chromium_experimental_subgroup_matrix: "chromium-experimental-subgroup-matrix",
};

let validating: Gpu;
let portable: Gpu;
beforeAll(async () => {
  validating = await openDevice({ backend: "null" });
  portable = await openDevice({ backend: "null", portable: true });
});
afterAll(() => {
  for (const gpu of [validating, portable]) if (gpu) closeDevice(gpu);
});

describe("kernel files", () => {
  it("hold one kernel each, named like the file", () => {
    expect(kernels.map(({ file }) => file)).toEqual(files.sort());
    for (const { file, kernel } of kernels) expect(`${kernel.name}.ts`).toBe(file.slice(file.lastIndexOf("/") + 1));
  });

  it("have distinct names", () => {
    const names = kernels.map(({ kernel }) => kernel.name);
    expect(new Set(names).size).toBe(names.length);
  });
});

describe.each(kernels)("kernel $kernel.name", ({ kernel }) => {
  const wgsl = declared(kernel.wgsl);

  it("declares the bindings of its record in order", () => {
    const expected = Object.entries<BindingKind>(kernel.bindings).map(([name, kind]) => ({ name, space: spaces[kind] }));
    if (Object.keys(kernel.params).length > 0) expected.push({ name: "params", space: "uniform" });
    expect(wgsl.bindings.map(({ name, space }) => ({ name, space }))).toEqual(expected);
    expect(wgsl.bindings.map(({ index }) => index)).toEqual(expected.map((_, i) => i));
    expect(wgsl.bindings.every(({ group }) => group === 0)).toBe(true);
  });

  it("declares the fields of its params in order", () => {
    expect(wgsl.fields).toEqual(Object.entries(kernel.params));
  });

  it("declares exactly the overrides of its record", () => {
    expect(Object.fromEntries(wgsl.overrides)).toEqual(kernel.overrides ?? {});
  });

  it("enables what its features say and no more", () => {
    const needed = wgsl.enables.map((name) => extensionFeatures[name] ?? `unknown extension ${name}`);
    for (const feature of needed) expect(kernel.features ?? []).toContain(feature);
    if (needed.length === 0) expect((kernel.features ?? []).filter((f) => Object.values(extensionFeatures).includes(f))).toEqual([]);
  });

  it("has a line for every name it emits", () => {
    for (const name of kernel.emits ?? [])
      expect(emit(kernel, { [name]: "7" })).toMatch(new RegExp(`^(const|alias) ${name}\\b.*= 7;`, "m"));
  });

  it("fits in 180 lines, shared snippets included but for the operations of exact", () => {
    const rows = { ...exactRowOperations, ...exactPairOperations, ...exactQuadOperations, ...exactWordsOperations };
    const own = Object.values<unknown>({ ...exactOperations, ...rows, ...exactAttentionOperations }).reduce<string>(
      (wgsl, part) => (typeof part === "string" ? wgsl.replace(part, "") : wgsl),
      kernel.wgsl,
    );
    expect(own.trim().split("\n").length).toBeLessThanOrEqual(180);
  });

  it("compiles where its features are offered", async () => {
    if (!missingFor({ ...kernel, features: [] }, validating.capabilities)) return void (await compile(validating, kernel));
    // The null backend has WebGPU's default limits and no more, and subgroups of several sizes: the WGSL can be checked
    // there, the pipeline cannot.
    validating.device.pushErrorScope("validation");
    validating.device.createShaderModule({ label: kernel.name, code: kernel.wgsl });
    expect(await validating.device.popErrorScope()).toBeNull();
  });

  it("compiles on a device with WebGPU's defaults, or says what it lacks", async () => {
    const needy = (kernel.features?.length ?? 0) > 0 || Object.keys(kernel.limits ?? {}).length > 0;
    if (needy) await expect(compile(portable, kernel)).rejects.toMatchObject({ code: expect.stringMatching(/^(missing-feature|limit)$/) });
    else await compile(portable, kernel);
  });
});

describe("a kernel's card", () => {
  const { solar: solarShape, ...others } = { tiny: synthShapes.tiny.config, solar: synthShapes["solar-10.7b"].config };
  const wide = { ...others.tiny, headDim: 128, numAttentionHeads: 4, numKeyValueHeads: 2 };
  const roomy = {
    ...portableLimits,
    maxComputeWorkgroupStorageSize: 49152,
    maxComputeInvocationsPerWorkgroup: 1024,
    maxComputeWorkgroupSizeX: 1024,
  };
  /** Every kernel as the benchmark calls it, with the workgroups that a device of these limits gets; none where none fits. */
  const calls = [others.tiny, wide, solarShape].flatMap((config) =>
    [
      { limits: portableLimits, features: [], subgroupMinSize: 0 },
      { limits: roomy, features: ["subgroups"], subgroupMinSize: 32 },
    ].flatMap((capabilities) =>
      [1, 3, 40].flatMap((T) =>
        works.flatMap((work) =>
          work.cases(config, T).flatMap(({ start, record }) => {
            const recorder = makeRecorder();
            const buffer = {} as GPUBuffer;
            const memory = { gpu: { capabilities } } as unknown as Operands["memory"];
            const bare = { memory, step: buffer, shared: () => buffer, own: () => buffer, given: () => buffer };
            const operands = {
              ...bare,
              record: (to: typeof recorder, kernel: Card<string, unknown>, shape: unknown) => recordKernel(to, kernel, {}, shape),
            };
            try {
              record(recorder, operands as unknown as Operands);
            } catch (error) {
              if (!(error instanceof GureumError && ["limit", "missing-feature"].includes(error.code))) throw error;
            }
            return recorder.dispatches.map((dispatch) => ({ ...dispatch, kernel: dispatch.kernel as Card<string, unknown>, T, start }));
          }),
        ),
      ),
    ),
  );

  it("is tried for every kernel", () => {
    expect(new Set(calls.map(({ kernel }) => kernel.name))).toEqual(new Set(kernels.map(({ kernel }) => kernel.name)));
  });

  it("sizes every storage buffer and no other, in whole bytes", () => {
    for (const { kernel, shape, T, start } of calls) {
      const sized = Object.keys(kernel.bindings).filter((name) => name !== "step" && kernel.bindings[name] !== "uniform");
      const sizes = kernel.sizes(shape, T, start);
      expect(Object.keys(sizes).sort(), kernel.name).toEqual(sized.sort());
      for (const [name, size] of Object.entries(sizes)) expect(Number.isInteger(size) && size >= 0, `${kernel.name} > ${name}`).toBe(true);
    }
  });

  it("gives every param, and overrides that the WGSL declares", () => {
    for (const { kernel, params, overrides = {} } of calls) {
      expect(Object.keys(params).sort(), kernel.name).toEqual(Object.keys(kernel.params).sort());
      for (const name of Object.keys(overrides)) expect(kernel.overrides, kernel.name).toHaveProperty(name);
    }
  });

  it("knows the workgroup memory that its WGSL takes, and asks for it as a limit where it is more than WebGPU's default", () => {
    for (const { kernel, shape, overrides = {} } of calls) {
      const bytes = workgroupBytes(kernel, shape);
      expect(bytes, kernel.name).toBe(workgroupMemory(kernel.wgsl, overrides));
      if (typeof kernel.workgroupBytes !== "function")
        expect(kernel.limits?.maxComputeWorkgroupStorageSize, kernel.name).toBe(bytes > 16384 ? bytes : undefined);
    }
  });
});

describe("a kernel whose record is wrong", () => {
  const plainKernel = () =>
    kernels.find(({ kernel }) => Object.values(kernel.bindings).includes("readWrite") && !missingFor(kernel, validating.capabilities))!;

  it("is refused by name where a binding's kind differs from the WGSL", async () => {
    const { kernel } = plainKernel();
    const bindings = Object.fromEntries(Object.keys(kernel.bindings).map((name) => [name, "uniform" as const]));
    await expect(compile(validating, { ...kernel, bindings })).rejects.toMatchObject({
      code: "pipeline",
      message: expect.stringContaining(kernel.name),
    });
  });

  it("is refused with the line where its WGSL does not parse", async () => {
    const { kernel } = plainKernel();
    await expect(compile(validating, { ...kernel, wgsl: `${kernel.wgsl}\nfn {` })).rejects.toMatchObject({
      code: "pipeline",
      message: expect.stringMatching(/line \d+/),
    });
  });

  it("is refused where an override is not declared", async () => {
    const { kernel } = plainKernel();
    await expect(compile(validating, kernel, { overrides: { nonesuch: 1 } })).rejects.toMatchObject({ code: "usage" });
  });
});
