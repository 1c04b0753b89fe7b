/**
 * Operands for kernels: buffers whose contents the GPU makes up. Time does not depend on the numbers as long as none is subnormal,
 * infinite or NaN; bits that repeat might be compressed on their way, so they are random.
 */
import { allocate, freeAll, type Memory, makeMemory, upload, usage, writeBytes } from "../gpu/device/buffer.ts";
import type { Gpu } from "../gpu/device/device.ts";
import type { Kernel } from "../gpu/pipeline/kernel.ts";
import { makeRecorder, prepare, type Recorder, record, submit } from "../gpu/pipeline/recorder.ts";
import { encodeStep, STEP_BYTES } from "../gpu/wgsl/step.ts";

/**
 * words: any bits; f32: even in −1 … 1; f16: pairs of ±2^−7 … 2^−6; zeros: AWQ zero points 7 or 8; groups: an f16 scale and above it a
 * zero point, as awq-repack.ts leaves them; blank: 0.
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

/** Buffers of one measurement. */
export interface Operands {
  readonly memory: Memory;
  /** struct Step for the T and start of the measurement. */
  readonly step: GPUBuffer;
  /** A buffer that every copy shares: activations, outputs. */
  shared(label: string, byteLength: number, contents?: Contents): GPUBuffer;
  /** A buffer for this copy alone: weights, caches. */
  own(label: string, byteLength: number, contents: Contents): GPUBuffer;
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
  return {
    memory,
    step,
    shared(label, byteLength, contents = "f32") {
      let buffer = shared.get(label);
      if (!buffer) {
        buffer = make(label, byteLength, contents);
        shared.set(label, buffer);
      }
      return buffer;
    },
    own(label, byteLength, contents) {
      const buffer = make(label, byteLength, contents);
      ownBytes += buffer.size;
      return buffer;
    },
    given(label, data, kind) {
      let buffer = shared.get(label);
      if (!buffer) {
        buffer = upload(memory, label, data, kind === "uniform" ? usage.UNIFORM | usage.COPY_DST : undefined);
        shared.set(label, buffer);
      }
      return buffer;
    },
    ownBytes: () => ownBytes,
    async fill() {
      const prepared = await prepare(fills, memory);
      fills = makeRecorder();
      await submit(memory, prepared, 1);
    },
    close: () => freeAll(memory),
  };
}

function recordFill(recorder: Recorder, out: GPUBuffer, contents: Exclude<Contents, "blank">, seed: number): void {
  const length = out.size / 4;
  record(recorder, {
    kernel: fill,
    buffers: { out },
    params: { length, contents: codes[contents], seed: Math.imul(seed, 0x9e3779b9) >>> 0 },
    workgroups: () => [Math.min(65535, Math.ceil(length / 256)), 1, 1],
    label: `fill ${out.label}`,
  });
}
