/** How a kernel's record and its WGSL become a pipeline. */
import { GureumError } from "../../core/errors.ts";
import { missingFor } from "../device/capabilities.ts";
import { type Compiled, type Gpu, scoped } from "../device/device.ts";
import { type BindingKind, type Constants, emit, type Kernel } from "./kernel.ts";

const layoutTypes: Readonly<Record<BindingKind, GPUBufferBindingType>> = {
  read: "read-only-storage",
  readWrite: "storage",
  uniform: "uniform",
};

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
  const { name, bindings, params, features, limits, subgroupSize } = kernel;
  const key = JSON.stringify([name, bindings, params, features, limits, subgroupSize, overrides, wgsl]);
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
    throw new GureumError(missing.code, {
      where,
      what: "the device lacks what it needs",
      expected: missing.reason,
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
