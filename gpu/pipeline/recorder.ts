/**
 * Dispatches written down once and replayed for every token: the kernels' `record…` functions fill a recorder,
 * `prepare` compiles the pipelines (all at once) and makes bind groups and uniforms, `replay` encodes them into a
 * compute pass.
 */
import { GureumError } from "../../core/errors.ts";
import { allocate, type Memory, settle, usage } from "../device/buffer.ts";
import { guarded } from "../device/device.ts";
import type { WorkgroupLimits } from "../wgsl/teams.ts";
import { compile, layoutEntries } from "./compile.ts";
import { type Card, type Constants, holds, type Kernel, paramsByteLength, type Span, type TunedCard, type Workgroups } from "./kernel.ts";

/** A whole buffer, or a range of one (offset and size in bytes). */
export type BufferArg = GPUBuffer | GPUBufferBinding;

/** One call of a kernel. */
export interface Dispatch<Buffers extends string = string, Params extends string = string> extends Constants {
  readonly kernel: Kernel<Buffers, Params>;
  readonly buffers: Readonly<Record<Buffers, BufferArg>>;
  readonly params: Readonly<Record<Params, number>>;
  /** Workgroups to run for T rows, the first of them at position `start`. */
  readonly workgroups: (T: number, start: number) => Workgroups;
  /**
   * For which T, and for which `start`, it runs; for any where absent. Dispatches are recorded once, so where their
   * number decides between two kernels both are recorded, each with its span, and one of them runs.
   */
  readonly rows?: Span;
  readonly positions?: Span;
  /** What the kernel's card was called for; `recordKernel` notes it. */
  readonly shape?: unknown;
  /** What it computes, for messages and timings: "layers.3.qProj". */
  readonly label?: string;
}

/** A dispatch with everything made that it needs. */
export interface PreparedDispatch {
  readonly label: string;
  readonly kernel: string;
  /** Absent until it is compiled, where that waits for the rows that want it: `prepareByRows`. */
  readonly pipeline: GPUComputePipeline | undefined;
  readonly bindGroup: GPUBindGroup;
  readonly workgroups: (T: number, start: number) => Workgroups;
  readonly rows: Span;
  readonly positions: Span;
}

const always: Span = { from: 0, to: Infinity };

export interface Recorder {
  readonly dispatches: Dispatch[];
}

export const makeRecorder = (): Recorder => ({ dispatches: [] });

/** Appends a dispatch. */
export function record<Buffers extends string, Params extends string>(recorder: Recorder, dispatch: Dispatch<Buffers, Params>): void {
  recorder.dispatches.push(dispatch as unknown as Dispatch);
}

/** When a dispatch runs, and what it is called. */
export type When = Pick<Dispatch, "rows" | "positions" | "label">;

/** Appends a call of a kernel for a shape; `buffers` may hold more than it binds. */
export function recordKernel<Buffers extends string, Shape>(
  recorder: Recorder,
  kernel: Card<Buffers, Shape>,
  buffers: Readonly<Record<NoInfer<Buffers>, BufferArg>>,
  shape: NoInfer<Shape>,
  when: When = {},
): void {
  const { params = {}, ...call } = kernel.call(shape);
  record<string, string>(recorder, { kernel, buffers, params, shape, ...call, ...when });
}

/** The same of a kernel whose workgroups the device's limits cut. */
export function recordTuned<Buffers extends string, Given, Shape>(
  recorder: Recorder,
  kernel: TunedCard<Buffers, Given, Shape>,
  buffers: Readonly<Record<NoInfer<Buffers>, BufferArg>>,
  given: NoInfer<Given>,
  limits: WorkgroupLimits,
  when: When = {},
): void {
  recordKernel(recorder, kernel, buffers, kernel.tune(given, limits), when);
}

/** A kernel's params as its uniform struct. @throws GureumError "range" for a number that its field cannot hold */
function encodeParams({ kernel, params }: Dispatch): Uint8Array<ArrayBuffer> {
  const view = new DataView(new ArrayBuffer(paramsByteLength(kernel)));
  Object.entries(kernel.params).forEach(([name, type], i) => {
    const value = params[name]!;
    const low = type === "u32" ? 0 : -(2 ** 31);
    const high = type === "u32" ? 2 ** 32 : 2 ** 31;
    if (type === "f32" ? typeof value !== "number" : !Number.isInteger(value) || value < low || value >= high)
      throw new GureumError("range", { where: `kernel ${kernel.name}`, what: `param ${name}`, expected: type, got: `${value}` });
    if (type === "f32") view.setFloat32(i * 4, value, true);
    else if (type === "u32") view.setUint32(i * 4, value, true);
    else view.setInt32(i * 4, value, true);
  });
  return new Uint8Array(view.buffer);
}

/** Uniforms lie this far apart: the largest alignment that WebGPU lets a device ask for. */
const SLOT = 256;

/**
 * Compiles and binds what was recorded. Equal params share one uniform; all uniforms lie in one buffer of `memory`.
 * @throws GureumError "pipeline", "missing-feature", "limit", "out-of-memory", "device-lost"
 */
export async function prepare({ dispatches }: Recorder, memory: Memory): Promise<PreparedDispatch[]> {
  const compiled = await Promise.all(dispatches.map((dispatch) => compile(memory.gpu, dispatch.kernel as Kernel, dispatch)));
  const bound = await bind(dispatches, memory, (_kernel, i) => compiled[i]!.layout);
  return bound.map((one, i) => ({ ...one, pipeline: compiled[i]!.pipeline }));
}

/** Dispatches whose pipelines are compiled when a number of rows first wants them. */
export interface PreparedByRows {
  readonly dispatches: readonly PreparedDispatch[];
  /** Before `replay` for T rows. @throws as `prepare` */
  ready(T: number): Promise<void>;
}

/** As `prepare`, for programs that have kernels for every number of rows: a first prompt waits for its own alone. @throws as `prepare` */
export async function prepareByRows({ dispatches }: Recorder, memory: Memory): Promise<PreparedByRows> {
  const { gpu } = memory;
  const layouts = new Map<Kernel, GPUBindGroupLayout>();
  const layoutOf = (kernel: Kernel): GPUBindGroupLayout => {
    const layout = layouts.get(kernel) ?? gpu.device.createBindGroupLayout({ label: kernel.name, entries: layoutEntries(kernel) });
    layouts.set(kernel, layout);
    return layout;
  };
  const bound: { -readonly [Key in keyof PreparedDispatch]: PreparedDispatch[Key] }[] = await bind(dispatches, memory, layoutOf);
  return {
    dispatches: bound,
    async ready(T) {
      await Promise.all(
        bound.map(async (one, i) => {
          const dispatch = dispatches[i]!;
          if (!one.pipeline && holds(one.rows, T)) one.pipeline = (await compile(gpu, dispatch.kernel as Kernel, dispatch)).pipeline;
        }),
      );
    },
  };
}

/** Bind groups and uniforms, without pipelines. */
async function bind(
  dispatches: readonly Dispatch[],
  memory: Memory,
  layoutOf: (kernel: Kernel, i: number) => GPUBindGroupLayout,
): Promise<PreparedDispatch[]> {
  const { gpu } = memory;
  const slots = new Map<string, number>();
  const contents: Uint8Array[] = [];
  const slotOf = dispatches.map((dispatch) => {
    const bytes = encodeParams(dispatch);
    if (bytes.length > SLOT)
      throw new GureumError("limit", { where: `kernel ${dispatch.kernel.name}`, what: "params", expected: `at most ${SLOT / 4} fields` });
    const key = bytes.join(",");
    let slot = slots.get(key);
    if (slot === undefined) {
      slot = contents.length;
      slots.set(key, slot);
      contents.push(bytes);
    }
    return slot;
  });
  const all = new Uint8Array(contents.length * SLOT);
  contents.forEach((bytes, slot) => {
    all.set(bytes, slot * SLOT);
  });
  const uniforms = allocate(memory, "params", all.length, usage.UNIFORM | usage.COPY_DST);
  await settle(memory);
  return guarded(gpu, "bind groups", () => {
    if (all.length > 0) gpu.device.queue.writeBuffer(uniforms, 0, all);
    return dispatches.map((dispatch, i): PreparedDispatch => {
      const { kernel, buffers, workgroups, rows = always, positions = always } = dispatch;
      const names = Object.keys(kernel.bindings);
      const entries = names.map((name, binding): GPUBindGroupEntry => {
        const argument = buffers[name]!;
        return { binding, resource: "buffer" in argument ? argument : { buffer: argument } };
      });
      const size = paramsByteLength(kernel);
      if (size > 0) entries.push({ binding: names.length, resource: { buffer: uniforms, offset: slotOf[i]! * SLOT, size } });
      const label = dispatch.label ?? kernel.name;
      const bindGroup = gpu.device.createBindGroup({ label, layout: layoutOf(kernel, i), entries });
      return { label, kernel: kernel.name, pipeline: undefined, bindGroup, workgroups, rows, positions };
    });
  });
}

/** Encodes prepared dispatches for T rows, the first of them at position `start`. @throws GureumError "usage" for one that is not compiled */
export function replay(pass: GPUComputePassEncoder, dispatches: readonly PreparedDispatch[], T: number, start: number): void {
  for (const { label, pipeline, bindGroup, workgroups, rows, positions } of dispatches) {
    if (!holds(rows, T) || !holds(positions, start)) continue;
    if (!pipeline)
      throw new GureumError("usage", { where: label, what: "is not compiled", remedy: "wait for `ready` of these rows first" });
    const [x, y, z] = workgroups(T, start);
    pass.setPipeline(pipeline);
    pass.setBindGroup(0, bindGroup);
    pass.dispatchWorkgroups(x, y, z);
  }
}

/** Submits prepared dispatches in one compute pass; for tests, traces and set-up, where nothing is to be overlapped. */
export function submit(memory: Memory, dispatches: readonly PreparedDispatch[], T: number, start: number = 0): Promise<void> {
  const { gpu } = memory;
  return guarded(gpu, dispatches[0]?.label ?? "submit", () => {
    const encoder = gpu.device.createCommandEncoder();
    const pass = encoder.beginComputePass();
    replay(pass, dispatches, T, start);
    pass.end();
    gpu.device.queue.submit([encoder.finish()]);
  });
}
