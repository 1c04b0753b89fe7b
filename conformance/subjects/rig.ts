/**
 * A rig: a device set up so that a kernel's faults show. Junk lies behind each input, and an output lies between two
 * guard bands, bound from its start to the end of the rear band: an index past the end meets junk, and is neither
 * clamped away nor answered with a zero.
 */
import { GureumError } from "../../core/errors.ts";
import { freeAll, type Memory, makeMemory, readRanges, upload, usage } from "../../gpu/device/buffer.ts";
import { missingFor } from "../../gpu/device/capabilities.ts";
import type { Gpu } from "../../gpu/device/device.ts";
import type { BindingKind, Card, Kernel, Workgroups } from "../../gpu/pipeline/kernel.ts";
import { type BufferArg, type Dispatch, makeRecorder, prepare, recordKernel, submit } from "../../gpu/pipeline/recorder.ts";
import { encodeStep } from "../../gpu/wgsl/step.ts";
import { GUARD, JUNK, POISON } from "../compare.ts";
import type { Subject } from "../kit.ts";

/** What a kernel is given: numbers, or a buffer that is there already. */
export type Given<Buffers extends string> = Readonly<Partial<Record<Buffers, ArrayBufferView | BufferArg>>>;

/** Buffers of one run, and the kernels that it records. */
export interface Io {
  /**
   * Records a kernel for a shape and gives its buffers. What `given` holds of a binding is its input, or what an output
   * holds before; the other outputs begin as poison, of the sizes that the kernel says. An input of no size is bound to
   * something that is not read.
   */
  run<Buffers extends string, Shape>(
    kernel: Card<Buffers, Shape>,
    shape: NoInfer<Shape>,
    given: Given<NoInfer<Buffers>>,
  ): Record<Buffers, BufferArg>;
  /** Memory that one kernel leaves for the next, full of junk at first but for the words that are given for its end. */
  scratch(label: string, byteLength: number, end?: Uint32Array): GPUBuffer;
  /** An input, and an output of words, that several kernels share. */
  input(label: string, data: ArrayBufferView): GPUBuffer;
  output(label: string, words: number): GPUBufferBinding;
}

/** A device, and what happens to each kernel before it is compiled: mutation testing puts a faulty one in its place. */
export interface Rig {
  readonly gpu: Gpu;
  readonly rewrite?: (kernel: Kernel) => Kernel;
  /** Another dispatch in the place of a recorded one, before its kernel is rewritten: somebody's own kernel. */
  readonly replace?: (dispatch: Dispatch, T: number, start: number) => Dispatch;
  /**
   * At most so many workgroups side by side: kernels that loop where a device's 65535 do not suffice must loop here
   * already.
   */
  readonly workgroupsX?: number;
}

/**
 * What the kernels that `build` records leave: each output's words with its guard bands, by the name of its binding.
 */
export async function runKernel(
  { gpu, rewrite, replace, workgroupsX = Infinity }: Rig,
  T: number,
  start: number,
  build: (io: Io) => void,
): Promise<Record<string, Uint32Array>> {
  const memory: Memory = makeMemory(gpu);
  const recorder = makeRecorder();
  const outputs: { name: string; buffer: GPUBuffer; byteLength: number }[] = [];
  const input = (label: string, data: ArrayBufferView): GPUBuffer => {
    const words = Math.ceil(data.byteLength / 4);
    const all = new Uint32Array(words + GUARD);
    // Junk of which no two words in a row are the same: an int4 weight less a zero point of the same junk would be 0.
    for (let i = words; i < all.length; i++) all[i] = JUNK ^ (0x01010101 * ((7 * i + label.length) % 13));
    new Uint8Array(all.buffer).set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
    return upload(memory, label, all);
  };
  const uniform = (label: string, data: ArrayBufferView): GPUBuffer =>
    upload(memory, label, data as ArrayBufferView<ArrayBuffer>, usage.UNIFORM | usage.COPY_DST);
  const output = (name: string, words: number, initial?: ArrayBufferView): GPUBufferBinding => {
    const all = new Uint32Array(words + 2 * GUARD).fill(JUNK).fill(POISON, GUARD, GUARD + words);
    if (initial) all.set(new Uint32Array(initial.buffer, initial.byteOffset, words), GUARD);
    const buffer = upload(memory, name, all);
    outputs.push({ name, buffer, byteLength: all.byteLength });
    return { buffer, offset: GUARD * 4 };
  };
  const step = uniform("step", encodeStep({ T, start, sampled: 0 }));
  const bind = (name: string, kind: BindingKind, given: ArrayBufferView | BufferArg | undefined, byteLength: number): BufferArg => {
    if (given && !ArrayBuffer.isView(given)) return given;
    if (kind === "readWrite") return output(name, (given?.byteLength ?? byteLength) / 4, given);
    if (kind === "uniform") return given ? uniform(name, given) : step;
    if (!given && byteLength > 0) throw new GureumError("usage", { where: `rig > ${name}`, what: "a kernel's input is not given" });
    return input(name, given ?? new Uint32Array(1));
  };
  try {
    build({
      scratch(label, byteLength, end = new Uint32Array(0)) {
        const words = new Uint32Array(Math.ceil(byteLength / 4) + GUARD).fill(JUNK);
        words.set(end, Math.ceil(byteLength / 4) - end.length);
        return upload(memory, label, words);
      },
      run(kernel, shape, given) {
        const sizes: Readonly<Record<string, number>> = kernel.sizes(shape, T, start);
        const bound = Object.entries<BindingKind>(kernel.bindings).map(([name, kind]) => [
          name,
          bind(name, kind, (given as Given<string>)[name], sizes[name] ?? 0),
        ]);
        const buffers = Object.fromEntries(bound);
        recordKernel(recorder, kernel, buffers, shape);
        return buffers;
      },
      input,
      output,
    });
    const rigged = recorder.dispatches.map((recorded) => {
      const dispatch = replace ? replace(recorded, T, start) : recorded;
      const workgroups = (rows: number): Workgroups => {
        const [x, y, z] = dispatch.workgroups(rows, start);
        return [Math.min(x, workgroupsX), y, z];
      };
      return { ...dispatch, workgroups, kernel: rewrite ? rewrite(dispatch.kernel) : dispatch.kernel };
    });
    await submit(memory, await prepare({ dispatches: rigged }, memory), T, start);
    const ranges = outputs.map(({ buffer, byteLength }) => ({ buffer, byteOffset: 0, byteLength }));
    const read = await readRanges(gpu, "conformance", ranges);
    return Object.fromEntries(read.map((bytes, i) => [outputs[i]!.name, new Uint32Array(bytes)]));
  } finally {
    freeAll(memory);
  }
}

/** `runKernel` with one f32 output of `out`'s length, copied into `out` with its guard bands. */
export async function intoOut(rig: Rig, out: Float32Array, T: number, start: number, build: (io: Io) => void): Promise<void> {
  const [words] = Object.values(await runKernel(rig, T, start, build));
  new Uint32Array(out.buffer).set(words!);
}

/** A case as one call of a kernel: one row at position 0 where nothing else is said. */
export interface KernelCall<Buffers extends string, Shape> {
  readonly T?: number;
  readonly start?: number;
  readonly shape: Shape;
  readonly given: Given<Buffers>;
}

/**
 * A subject on the GPU; `strides` where its kernel loops over what a row of workgroups leaves, `special` where only
 * gureum's model calls the kernel this way: one of somebody's own in its place need not know it.
 */
export type GpuSubject<C> = Subject<C> & { readonly strides?: boolean; readonly special?: boolean };
// biome-ignore lint/suspicious/noExplicitAny: a list of subjects has no common case type.
export type AnyGpuSubject = GpuSubject<any>;

/** A subject around kernels, the first of which gives it its names. */
export const subject = <C>(kernel: Kernel, run: Subject<C>["run"], more: Partial<GpuSubject<C>> = {}): GpuSubject<C> => ({
  op: kernel.name,
  backend: "webgpu",
  variant: kernel.name,
  arithmetic: "f32",
  kernels: [kernel.name],
  run,
  ...more,
});

/** A subject that is one call of a kernel with one output, which is the op's. */
export const oneCall = <C, Buffers extends string, Shape>(
  rig: Rig,
  kernel: Card<Buffers, Shape>,
  callOf: (c: C) => KernelCall<NoInfer<Buffers>, NoInfer<Shape>>,
  more: Partial<GpuSubject<C>> = {},
): GpuSubject<C> =>
  subject<C>(
    kernel,
    (c, out) => {
      const { T = 1, start = 0, shape, given } = callOf(c);
      return intoOut(rig, out, T, start, (io) => void io.run(kernel, shape, given));
    },
    more,
  );

/** Subjects of a kernel that multiplies subgroup matrices, or wants subgroups of one size; none where the device cannot run it. */
export function onMatrices({ gpu: { capabilities } }: Rig, kernel: Kernel, subjects: readonly AnyGpuSubject[]): AnyGpuSubject[] {
  const { features, subgroupMatrixConfigs } = capabilities;
  // Dawn's null device lists no configuration: it only says what subjects there are.
  const computesNothing = features.includes("chromium-experimental-subgroup-matrix") && subgroupMatrixConfigs.length === 0;
  return computesNothing || missingFor(kernel, capabilities) === undefined ? [...subjects] : [];
}

/** What lies in rows of a tile that no row of the case fills: finite, and wrong if it reaches a result. */
export const FILL = 777;

/** What lies between the guard bands of a buffer. */
export const inside = (words: Uint32Array): Uint32Array => words.subarray(GUARD, words.length - GUARD);

export const asF32 = (words: Uint32Array): Float32Array => new Float32Array(words.buffer, words.byteOffset, words.length);

/** Puts numbers into `out`; a touched guard band of any of the outputs shows in the bands of `out`. */
export function hand(out: Float32Array, numbers: ArrayLike<number>, outputs: Readonly<Record<string, Uint32Array>>): void {
  out.set(numbers);
  const whole = new Uint32Array(out.buffer);
  for (const words of Object.values(outputs))
    for (let i = 0; i < GUARD; i++) {
      if (words[i] !== JUNK) whole[i] = words[i]!;
      const rear = words[words.length - GUARD + i]!;
      if (rear !== JUNK) whole[whole.length - GUARD + i] = rear;
    }
}
