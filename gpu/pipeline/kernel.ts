/**
 * The contract of a kernel: one static WGSL string and the record that says how to call it, and how both become a pipeline.
 * A kernel is data; conformance/kernels.test.ts compares every record with its WGSL and compiles it on Dawn's null backend.
 */
import { GureumError } from "../../core/errors.ts";
import { type LimitName, missingFor } from "../device/capabilities.ts";
import { type Gpu, scoped } from "../device/device.ts";

/** How a binding is declared: `var<storage, read>`, `var<storage, read_write>`, `var<uniform>`. */
export type BindingKind = "read" | "readWrite" | "uniform";
export type ScalarType = "u32" | "i32" | "f32";

/**
 * A compute kernel with entry point `main`.
 * In its WGSL, binding i of `bindings` is `@group(0) @binding(i)` under the same name; where `params` is not empty the uniform
 * `params: Params` follows as the next binding, a struct of exactly these 4-byte fields in this order.
 */
export interface Kernel<Buffers extends string = string, Params extends string = string> {
  /** The file's name: also GPU label, law and benchmark. */
  readonly name: string;
  readonly wgsl: string;
  readonly bindings: Readonly<Record<Buffers, BindingKind>>;
  readonly params: Readonly<Record<Params, ScalarType>>;
  /** `override` declarations, set when the pipeline is made. */
  readonly overrides?: Readonly<Record<string, ScalarType | "bool">>;
  /** Names of `const NAME = …;` and `alias NAME = …;` lines (each on a line of its own) that `emitted` may replace. */
  readonly emits?: readonly string[];
  /** Optional device features it needs; none for a portable kernel. */
  readonly features?: readonly string[];
  /** Limits it needs where they exceed WebGPU's defaults. */
  readonly limits?: Readonly<Partial<Record<LimitName, number>>>;
  /** The size that all subgroups of the device must have. */
  readonly subgroupSize?: number;
}

/** Load-time constants of a pipeline. */
export interface Constants {
  readonly overrides?: Readonly<Record<string, number | boolean>>;
  /** Right-hand sides for the lines named in `emits`. */
  readonly emitted?: Readonly<Record<string, string | number>>;
}

/** A kernel that the device accepted. */
export interface Compiled {
  readonly pipeline: GPUComputePipeline;
  readonly layout: GPUBindGroupLayout;
}

/** The kernel's WGSL with the `emitted` lines put in place of its own. @throws GureumError "usage" for an unknown name */
export function emit(kernel: Kernel, emitted: Constants["emitted"] = {}): string {
  let wgsl = kernel.wgsl;
  for (const [name, value] of Object.entries(emitted)) {
    const line = new RegExp(`^(const|alias) ${name}\\b([^=]*)=[^;]*;`, "m");
    if (!kernel.emits?.includes(name) || !line.test(wgsl))
      throw new GureumError("usage", { where: kernel.name, what: "no such emitted constant", got: name });
    wgsl = wgsl.replace(line, (_all, keyword: string, type: string) => `${keyword} ${name}${type}= ${value};`);
  }
  return wgsl;
}

const layoutTypes: Readonly<Record<BindingKind, GPUBufferBindingType>> = {
  read: "read-only-storage",
  readWrite: "storage",
  uniform: "uniform",
};

/** Bytes of a kernel's Params struct as a uniform: a multiple of 16; 0 without params. */
export const paramsByteLength = (kernel: Kernel): number => Math.ceil(Object.keys(kernel.params).length / 4) * 16;

/** The bind group layout that the record declares; the pipeline is checked against it. */
export function layoutEntries(kernel: Kernel): GPUBindGroupLayoutEntry[] {
  const kinds = Object.values<BindingKind>(kernel.bindings);
  if (Object.keys(kernel.params).length > 0) kinds.push("uniform");
  return kinds.map((kind, binding) => ({ binding, visibility: 4 /* COMPUTE */, buffer: { type: layoutTypes[kind] } }));
}

/**
 * Compiles a kernel, once per device, source and constants; later calls get the same promise.
 * @throws GureumError "missing-feature" or "limit" where the device lacks what the record asks for, "pipeline" with the
 * compiler's words where the WGSL or the pipeline is refused
 */
export function compile(gpu: Gpu, kernel: Kernel, constants: Constants = {}): Promise<Compiled> {
  const wgsl = emit(kernel, constants.emitted);
  const overrides = Object.entries(constants.overrides ?? {}).sort(([a], [b]) => (a < b ? -1 : 1));
  const key = JSON.stringify([kernel.name, kernel.bindings, kernel.params, overrides, wgsl]);
  let compiled = gpu.pipelines.get(key);
  if (!compiled) {
    compiled = compileNow(gpu, kernel, wgsl, overrides);
    gpu.pipelines.set(key, compiled);
    compiled.catch(() => gpu.pipelines.delete(key));
  }
  return compiled;
}

async function compileNow(gpu: Gpu, kernel: Kernel, wgsl: string, overrides: readonly [string, number | boolean][]): Promise<Compiled> {
  const where = `kernel ${kernel.name}`;
  const missing = missingFor(kernel, gpu.capabilities);
  if (missing)
    throw new GureumError(missing.startsWith("feature ") ? "missing-feature" : "limit", {
      where,
      what: "the device lacks what it needs",
      expected: missing,
      remedy: "choose another variant",
    });
  for (const [name] of overrides)
    if (kernel.overrides?.[name] === undefined) throw new GureumError("usage", { where, what: "no such override", got: name });
  const { device } = gpu;
  // Everything up to the last line is called before the first wait: the error scopes see this kernel's calls and no others.
  const { value, settled } = scoped(gpu, where, () => {
    const module = device.createShaderModule({ label: kernel.name, code: wgsl });
    const layout = device.createBindGroupLayout({ label: kernel.name, entries: layoutEntries(kernel) });
    const pipeline = device
      .createComputePipelineAsync({
        label: kernel.name,
        layout: device.createPipelineLayout({ bindGroupLayouts: [layout] }),
        compute: { module, entryPoint: "main", constants: Object.fromEntries(overrides.map(([name, v]) => [name, Number(v)])) },
      })
      .catch((error: unknown) => (error instanceof Error ? error : new Error(String(error))));
    return { module, layout, pipeline };
  });
  const [refused, pipeline] = await Promise.all([settled, value.pipeline]);
  if (refused?.code === "device-lost" || refused?.code === "out-of-memory") throw refused;
  if (refused || pipeline instanceof Error) {
    const messages = (await value.module.getCompilationInfo?.().catch(() => undefined))?.messages ?? [];
    const first = messages.find((m) => m.type === "error");
    const got = first
      ? `line ${first.lineNum}:${first.linePos} ${first.message}`
      : pipeline instanceof Error && pipeline.message
        ? pipeline.message
        : refused?.details.got;
    throw new GureumError("pipeline", { where, what: "does not compile on this device", ...(got ? { got } : {}) }, refused ?? pipeline);
  }
  return { pipeline, layout: value.layout };
}
