/**
 * A rig: a device set up so that a kernel's faults show. Junk lies behind each input, and an output lies between two guard bands,
 * bound from its start to the end of the rear band: an index past the end meets junk, and is neither clamped away nor answered with
 * a zero.
 */
import { freeAll, type Memory, makeMemory, readRanges, upload, usage } from "../../gpu/device/buffer.ts";
import type { Gpu } from "../../gpu/device/device.ts";
import type { Kernel } from "../../gpu/pipeline/kernel.ts";
import { makeRecorder, prepare, type Recorder, submit } from "../../gpu/pipeline/recorder.ts";
import { encodeStep } from "../../gpu/wgsl/step.ts";
import { GUARD, JUNK, POISON } from "../compare.ts";

/** Buffers of one run, for a kernel's record function. */
export interface Io {
  readonly recorder: Recorder;
  /** {T, start} of the run. */
  readonly step: GPUBuffer;
  input(label: string, data: ArrayBufferView): GPUBuffer;
  uniform(label: string, data: ArrayBufferView): GPUBuffer;
  /** Memory that one kernel leaves for the next, full of junk at first. */
  scratch(label: string, byteLength: number): GPUBuffer;
  /** The output between its guard bands; `initial` where the kernel works in place, else poison. Of words. */
  output(label: string, words: number, initial?: ArrayBufferView): GPUBufferBinding;
}

/** A device, and what happens to each kernel before it is compiled: mutation testing puts a faulty one in its place. */
export interface Rig {
  readonly gpu: Gpu;
  readonly rewrite?: (kernel: Kernel) => Kernel;
  /** At most so many workgroups side by side: kernels that loop where a device's 65535 do not suffice must loop here already. */
  readonly workgroupsX?: number;
}

/** Runs what `build` records and gives each output's words with its guard bands, in the order they were asked for. */
export async function runKernel(
  { gpu, rewrite, workgroupsX = Infinity }: Rig,
  T: number,
  start: number,
  build: (io: Io) => void,
): Promise<Uint32Array[]> {
  const memory: Memory = makeMemory(gpu);
  const recorder = makeRecorder();
  const outputs: { buffer: GPUBuffer; byteLength: number }[] = [];
  try {
    build({
      recorder,
      step: upload(memory, "step", encodeStep({ T, start, sampled: 0 }), usage.UNIFORM | usage.COPY_DST),
      input(label, data) {
        const words = Math.ceil(data.byteLength / 4);
        const all = new Uint32Array(words + GUARD).fill(JUNK);
        new Uint8Array(all.buffer).set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
        return upload(memory, label, all);
      },
      uniform: (label, data) => upload(memory, label, data as ArrayBufferView<ArrayBuffer>, usage.UNIFORM | usage.COPY_DST),
      scratch: (label, byteLength) => upload(memory, label, new Uint32Array(Math.ceil(byteLength / 4) + GUARD).fill(JUNK)),
      output(label, words, initial) {
        const all = new Uint32Array(words + 2 * GUARD).fill(JUNK).fill(POISON, GUARD, GUARD + words);
        if (initial) all.set(new Uint32Array(initial.buffer, initial.byteOffset, words), GUARD);
        const buffer = upload(memory, label, all);
        outputs.push({ buffer, byteLength: all.byteLength });
        return { buffer, offset: GUARD * 4 };
      },
    });
    const rigged = recorder.dispatches.map((dispatch) => {
      const workgroups = (rows: number): readonly [number, number, number] => {
        const [x, y, z] = dispatch.workgroups(rows, start);
        return [Math.min(x, workgroupsX), y, z];
      };
      return { ...dispatch, workgroups, kernel: rewrite ? rewrite(dispatch.kernel) : dispatch.kernel };
    });
    recorder.dispatches.splice(0, Infinity, ...rigged);
    const dispatches = await prepare(recorder, memory);
    await submit(memory, dispatches, T, start);
    const read = await readRanges(
      gpu,
      "conformance",
      outputs.map(({ buffer, byteLength }) => ({ buffer, byteOffset: 0, byteLength })),
    );
    return read.map((bytes) => new Uint32Array(bytes));
  } finally {
    freeAll(memory);
  }
}

/** `runKernel` with one f32 output of `out`'s length, copied into `out` with its guard bands. */
export async function intoOut(rig: Rig, out: Float32Array, T: number, start: number, build: (io: Io) => void): Promise<void> {
  const [words] = await runKernel(rig, T, start, build);
  new Uint32Array(out.buffer).set(words!);
}

/** What lies in rows of a tile that no row of the case fills: finite, and wrong if it reaches a result. */
export const FILL = 777;

/** What lies between the guard bands of a buffer. */
export const inside = (words: Uint32Array): Uint32Array => words.subarray(GUARD, words.length - GUARD);

export const asF32 = (words: Uint32Array): Float32Array => new Float32Array(words.buffer, words.byteOffset, words.length);

/** Puts numbers into `out`; a touched guard band of any of the buffers shows in the bands of `out`. */
export function hand(out: Float32Array, numbers: ArrayLike<number>, buffers: readonly Uint32Array[]): void {
  out.set(numbers);
  const whole = new Uint32Array(out.buffer);
  for (const words of buffers)
    for (let i = 0; i < GUARD; i++) {
      if (words[i] !== JUNK) whole[i] = words[i]!;
      const rear = words[words.length - GUARD + i]!;
      if (rear !== JUNK) whole[whole.length - GUARD + i] = rear;
    }
}
