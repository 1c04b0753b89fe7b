/**
 * Operands for kernels: buffers whose contents the GPU makes up. Time does not depend on the numbers as long as none is
 * subnormal, infinite or NaN; bits that repeat might be compressed on their way, so they are random.
 */
import { allocate, freeAll, type Memory, makeMemory, upload, usage, writeBytes } from "../gpu/device/buffer.ts";
import type { Gpu } from "../gpu/device/device.ts";
import { type BindingKind, type Card, type Kernel, workgroupsFor } from "../gpu/pipeline/kernel.ts";
import { makeRecorder, prepare, type Recorder, record, recordKernel, submit } from "../gpu/pipeline/recorder.ts";
import { encodeStep, STEP_BYTES } from "../gpu/wgsl/step.ts";

/**
 * words: any bits; f32: even in −1 … 1; f16: pairs of ±2^−7 … 2^−6; zeros: AWQ zero points 7 or 8; groups: an f16 scale
 * and above it a zero point, as awq-repack.ts leaves them; blank: 0.
 */
export type Contents = "words" | "f32" | "f16" | "zeros" | "groups" | "blank";
const codes: Readonly<Record<Exclude<Contents, "blank">, number>> = { words: 0, f32: 1, f16: 2, zeros: 3, groups: 4 };

const fill: Kernel<"out", "length" | "contents" | "seed"> = {
  name: "fill",
  bindings: { out: "readWrite" },
  params: { length: "u32", contents: "u32", seed: "u32" },
  wgsl: /* wgsl */ `
struct Params { length: u32, contents: u32, seed: u32 }
@group(0) @binding(0) var<storage, read_write> out: array<u32>;
@group(0) @binding(1) var<uniform> params: Params;

fn hash(i: u32) -> u32 { // "lowbias32", Wellons 2018
  var h = i ^ params.seed;
  h = (h ^ (h >> 16u)) * 0x7feb352du;
  h = (h ^ (h >> 15u)) * 0x846ca68bu;
  return h ^ (h >> 16u);
}
@compute @workgroup_size(256)
fn main(@builtin(global_invocation_id) global: vec3<u32>, @builtin(num_workgroups) workgroups: vec3<u32>) {
  for (var i = global.x; i < params.length; i += workgroups.x * 256u) {
    let h = hash(i);
    var word = h;
    if (params.contents == 1u) { word = bitcast<u32>(f32(i32(h)) / 2147483648.0); }
    if (params.contents == 2u) { word = (h & 0x83ff83ffu) | 0x20002000u; }
    if (params.contents == 3u) { word = 0x77777777u + (h & 0x11111111u); }
    if (params.contents == 4u) { word = (h & 0x000f03ffu) | 0x00002000u; }
    out[i] = word;
  }
}
`,
};

/**
 * What one of a kernel's buffers holds: for each copy alone (weights, caches), or shared by all; contents made up, or
 * given.
 */
export type Holding = Contents | { readonly own: Contents } | { readonly byteLength: number } | ArrayBufferView<ArrayBuffer>;
/** By binding. Where nothing is said: what is read is shared, f32; what is written is shared, blank. */
export type Holdings<Buffers extends string> = Readonly<Partial<Record<Buffers, Holding>>>;

/** Buffers of one measurement. */
export interface Operands {
  readonly memory: Memory;
  /** struct Step for the T and start of the measurement. */
  readonly step: GPUBuffer;
  /** A buffer that every copy shares: activations, outputs. */
  shared(label: string, byteLength: number, contents?: Contents): GPUBuffer;
  /** A buffer for this copy alone: weights, caches. */
  own(label: string, byteLength: number, contents: Contents): GPUBuffer;
  /** Records a call of a kernel, its buffers as large as it says. */
  record<Buffers extends string, Shape>(
    recorder: Recorder,
    kernel: Card<Buffers, Shape>,
    shape: NoInfer<Shape>,
    holds: Holdings<NoInfer<Buffers>>,
  ): void;
  /** A shared buffer with these contents. */
  given(label: string, data: ArrayBufferView<ArrayBuffer>, kind: "storage" | "uniform"): GPUBuffer;
  /** Bytes of `own` so far. */
  ownBytes(): number;
  /** Makes up the contents of everything handed out since the last call. */
  fill(): Promise<void>;
  close(): void;
}

export function makeOperands(gpu: Gpu, T: number, start: number): Operands {
  const memory = makeMemory(gpu);
  const step = allocate(memory, "step", STEP_BYTES, usage.UNIFORM | usage.STORAGE | usage.COPY_DST | usage.COPY_SRC);
  writeBytes(gpu, step, 0, new Uint8Array(encodeStep({ T, start, sampled: 0 }).buffer));
  const shared = new Map<string, GPUBuffer>();
  let fills: Recorder = makeRecorder();
  let ownBytes = 0;
  let seed = 1;
  const make = (label: string, byteLength: number, contents: Contents): GPUBuffer => {
    const buffer = allocate(memory, label, byteLength);
    if (contents !== "blank") recordFill(fills, buffer, contents, seed++);
    return buffer;
  };
  const once = (label: string, makeIt: () => GPUBuffer): GPUBuffer => {
    const buffer = shared.get(label) ?? makeIt();
    shared.set(label, buffer);
    return buffer;
  };
  const operands: Operands = {
    memory,
    step,
    shared: (label, byteLength, contents = "f32") => once(label, () => make(label, byteLength, contents)),
    own(label, byteLength, contents) {
      const buffer = make(label, byteLength, contents);
      ownBytes += buffer.size;
      return buffer;
    },
    given: (label, data, kind) =>
      once(label, () => upload(memory, label, data, kind === "uniform" ? usage.UNIFORM | usage.COPY_DST : undefined)),
    record(recorder, kernel, shape, holds) {
      const sizes: Readonly<Record<string, number>> = kernel.sizes(shape, T, start);
      const bind = (name: string, kind: BindingKind): GPUBuffer => {
        const held = (holds as Holdings<string>)[name];
        if (ArrayBuffer.isView(held))
          return operands.given(name, held as ArrayBufferView<ArrayBuffer>, kind === "uniform" ? kind : "storage");
        if (kind === "uniform") return step;
        const size = sizes[name] ?? 0;
        if (typeof held === "object" && "own" in held) return operands.own(name, size, held.own);
        if (typeof held === "object") return operands.shared(name, held.byteLength, "blank");
        return operands.shared(name, size, held ?? (kind === "read" ? "f32" : "blank"));
      };
      const bound = Object.entries<BindingKind>(kernel.bindings).map(([name, kind]) => [name, bind(name, kind)]);
      recordKernel(recorder, kernel, Object.fromEntries(bound), shape);
    },
    ownBytes: () => ownBytes,
    async fill() {
      const prepared = await prepare(fills, memory);
      fills = makeRecorder();
      await submit(memory, prepared, 1);
    },
    close: () => freeAll(memory),
  };
  return operands;
}

function recordFill(recorder: Recorder, out: GPUBuffer, contents: Exclude<Contents, "blank">, seed: number): void {
  const length = out.size / 4;
  record(recorder, {
    kernel: fill,
    buffers: { out },
    params: { length, contents: codes[contents], seed: Math.imul(seed, 0x9e3779b9) >>> 0 },
    workgroups: () => [workgroupsFor(length, 256), 1, 1],
    label: `fill ${out.label}`,
  });
}
