/**
 * Known answers, asked of a device when it is opened: the integer operations that `exact` and fixed16 are made of, and the one rounding in f32 that
 * fixed16 takes for granted although WGSL does not promise it (x + 1.5 · 2^23 leaves the nearest integer, ties to even). A driver that computes
 * them wrong computes everything wrong in silence; it is refused by name instead. One dispatch of one workgroup, 2 KB read back. Where it has
 * subgroups, another: their invocations follow one another in the workgroup, as many as the device says. A driver that runs fewer (lavapipe's
 * LP_NATIVE_VECTOR_WIDTH=1024: 16 of 32) leaves shuffles between the others wrong.
 */
import { GureumError } from "../../core/errors.ts";
import type { Capabilities } from "./capabilities.ts";

/** Pairs of operands: signs, carries, the ends of the range, bytes of every sign, ties of the f32 sum. */
const operands: readonly (readonly [number, number])[] = [
  [0, 0],
  [1, 0xffffffff],
  [0xffffffff, 0xffffffff],
  [0x80000000, 0x7fffffff],
  [0x80808080, 0x80808080],
  [0x7f7f7f7f, 0x80808080],
  [0x01ff807f, 0x7f0180fe],
  [0x12345678, 0x9abcdef0],
  [0xdeadbeef, 0x0badcafe],
  [0x00010000, 0xffff0001],
  [0xfffffffe, 2],
  [0x3fffffff, 0xc0000001],
  [0x0000ffff, 0xffff0000],
  [0x55555555, 0xaaaaaaaa],
  [0x7fffffff, 31],
  [0x80000001, 33],
  [0x00008002, 0x00007ffe],
  [0x0000800a, 0xffff7ff6],
];

const bytes = (word: number): number[] => [0, 8, 16, 24].map((at) => (word >>> at) & 255);
const signed = (byte: number): number => (byte << 24) >> 24;
const words = new Uint32Array(1);
const floats = new Float32Array(words.buffer);
/** x = (a & 0xffff − 2^15) / 4: quarters, so that halves are ties. */
const rounded = (a: number): number => {
  floats[0] = ((a & 0xffff) - 32768) / 4 + 12582912;
  return words[0]!;
};

/** What is asked: its name, WGSL of a and b (u32), and the answer. */
const questions: readonly { readonly name: string; readonly wgsl: string; answer(a: number, b: number): number }[] = [
  { name: "u32 addition", wgsl: "a + b", answer: (a, b) => a + b },
  { name: "u32 subtraction", wgsl: "a - b", answer: (a, b) => a - b },
  { name: "u32 multiplication", wgsl: "a * b", answer: (a, b) => Math.imul(a, b) },
  { name: "a carry", wgsl: "select(0u, 1u, a + b < b)", answer: (a, b) => (a + b >= 2 ** 32 ? 1 : 0) },
  { name: "a left shift", wgsl: "a << (b & 31u)", answer: (a, b) => a << (b & 31) },
  { name: "a logical right shift", wgsl: "a >> (b & 31u)", answer: (a, b) => a >>> (b & 31) },
  { name: "an arithmetic right shift", wgsl: "bitcast<u32>(bitcast<i32>(a) >> (b & 31u))", answer: (a, b) => a >> (b & 31) },
  {
    name: "i32 multiplication",
    wgsl: "bitcast<u32>((bitcast<i32>(a) >> 16u) * (bitcast<i32>(b) >> 17u))",
    answer: (a, b) => (a >> 16) * (b >> 17),
  },
  { name: "an i32 comparison", wgsl: "select(0u, 1u, bitcast<i32>(a) < bitcast<i32>(b))", answer: (a, b) => ((a | 0) < (b | 0) ? 1 : 0) },
  { name: "a u32 comparison", wgsl: "select(0u, 1u, a < b)", answer: (a, b) => (a < b ? 1 : 0) },
  { name: "countLeadingZeros", wgsl: "countLeadingZeros(a)", answer: (a) => Math.clz32(a) },
  {
    name: "dot4I8Packed",
    wgsl: "bitcast<u32>(dot4I8Packed(a, b))",
    answer: (a, b) => bytes(a).reduce((sum, byte, i) => sum + signed(byte) * signed(bytes(b)[i]!), 0),
  },
  { name: "dot4U8Packed", wgsl: "dot4U8Packed(a, b)", answer: (a, b) => bytes(a).reduce((sum, byte, i) => sum + byte * bytes(b)[i]!, 0) },
  {
    name: "the rounding of an f32 sum",
    wgsl: "bitcast<u32>(f32(i32(a & 0xffffu) - 32768) * 0.25 + 12582912.0)",
    answer: rounded,
  },
];

const code = /* wgsl */ `
@group(0) @binding(0) var<storage, read> operands: array<vec2<u32>>;
@group(0) @binding(1) var<storage, read_write> answers: array<u32>;
@compute @workgroup_size(${operands.length})
fn main(@builtin(local_invocation_index) i: u32) {
  let a = operands[i].x;
  let b = operands[i].y;
${questions.map(({ wgsl }, j) => `  answers[${j}u * ${operands.length}u + i] = ${wgsl};`).join("\n")}
}
`;

const hex = (word: number): string => `0x${(word >>> 0).toString(16).padStart(8, "0")}`;

/** Invocations of a workgroup as large as any subgroup. */
const INVOCATIONS = 128;
const lanesCode = /* wgsl */ `enable subgroups;
@group(0) @binding(0) var<storage, read> operands: array<u32>;
@group(0) @binding(1) var<storage, read_write> answers: array<u32>;
@compute @workgroup_size(${INVOCATIONS})
fn main(@builtin(local_invocation_index) i: u32, @builtin(subgroup_invocation_id) lane: u32) {
  answers[i] = operands[0] + lane;
}
`;

/**
 * Runs the check.
 * @throws GureumError "divergence" naming what came out wrong, and what the device throws where it cannot run it
 */
export async function selfCheck(
  device: GPUDevice,
  { subgroupMinSize: least, subgroupMaxSize: most }: Pick<Capabilities, "subgroupMinSize" | "subgroupMaxSize">,
): Promise<void> {
  const [answers, lanes] = await Promise.all([
    answersOf(device, code, Uint32Array.from(operands.flat()), questions.length * operands.length),
    // What does not compile it has no subgroups for a kernel either, which says so by name.
    most > 0 ? answersOf(device, lanesCode, new Uint32Array(1), INVOCATIONS).catch(() => null) : null,
  ]);
  compare(answers);
  if (!lanes) return;
  const size = 1 + lanes.reduce((most, lane) => Math.max(most, lane), 0);
  const astray = lanes.findIndex((lane, i) => lane !== i % size);
  if (size < least || size > most || astray >= 0)
    throw new GureumError("divergence", {
      where: "webgpu > self-check",
      what: "subgroups are not what the device says",
      expected: `${least === most ? most : `${least} to ${most}`} invocations that follow one another`,
      got: astray < 0 ? `subgroups of ${size}` : `invocation ${astray} as number ${lanes[astray]}`,
      remedy: "update the driver, or use another backend: --backend cpu",
    });
}

/** So many words that one workgroup leaves. */
async function answersOf(device: GPUDevice, code: string, asked: Uint32Array<ArrayBuffer>, count: number): Promise<Uint32Array> {
  const buffers: GPUBuffer[] = [];
  const buffer = (size: number, usage: number): GPUBuffer => {
    const made = device.createBuffer({ label: "self-check", size, usage });
    buffers.push(made);
    return made;
  };
  try {
    const input = buffer(asked.byteLength, 0x80 | 8);
    const output = buffer(count * 4, 0x80 | 4);
    const staging = buffer(count * 4, 1 | 8);
    device.queue.writeBuffer(input, 0, asked);
    const module = device.createShaderModule({ label: "self-check", code });
    const pipeline = await device.createComputePipelineAsync({
      label: "self-check",
      layout: "auto",
      compute: { module, entryPoint: "main" },
    });
    const encoder = device.createCommandEncoder({ label: "self-check" });
    const pass = encoder.beginComputePass();
    pass.setPipeline(pipeline);
    const entries = [input, output].map((resource, binding) => ({ binding, resource: { buffer: resource } }));
    pass.setBindGroup(0, device.createBindGroup({ layout: pipeline.getBindGroupLayout(0), entries }));
    pass.dispatchWorkgroups(1);
    pass.end();
    encoder.copyBufferToBuffer(output, 0, staging, 0, count * 4);
    device.queue.submit([encoder.finish()]);
    await staging.mapAsync(1);
    return new Uint32Array(staging.getMappedRange()).slice();
  } finally {
    for (const made of buffers) made.destroy();
  }
}

function compare(answers: Uint32Array): void {
  questions.forEach(({ name, answer }, j) => {
    operands.forEach(([a, b], i) => {
      const expected = answer(a, b) >>> 0;
      const got = answers[j * operands.length + i]!;
      if (got !== expected)
        throw new GureumError("divergence", {
          where: "webgpu > self-check",
          what: `the device computes ${name} of ${hex(a)} and ${hex(b)} wrong`,
          expected: hex(expected),
          got: hex(got),
          remedy: "update the driver, or use another backend: --backend cpu",
        });
    });
  });
}
