/** The emulation of subgroups of 32, and kernels on it. */
import { Float16Array } from "@petamoriken/float16";
import { afterAll, describe, expect, it } from "vitest";
import { closeDevice, openDevice } from "../../../gpu/device/device.ts";
import type { Kernel } from "../../../gpu/pipeline/kernel.ts";
import { emulatedSubjects } from "../../certificate/subjects.ts";
import { checkKernel } from "../../check.ts";
import { emulateSubgroups, notEmulated, withSubgroups } from "../../device/subgroups.ts";
import { allKernels } from "../../host/kernels.ts";
import { kitOf } from "../../laws.ts";
import { renumberInvocations } from "../../mutation/schedule.ts";
import { fillWorkgroupMemory } from "../../mutation/unset.ts";
import { asF32, inside, type Rig, runKernel } from "../../subjects/rig.ts";

const gpu = await openDevice();
afterAll(() => closeDevice(gpu));
const rig: Rig = { gpu: withSubgroups(gpu) };
const seeded = (n: number, least: number, most: number): number[] =>
  Array.from({ length: n }, (_, i) => least + ((Math.imul(i + 1, 2654435761) >>> 8) % (most - least + 1)));

/** A kernel of one workgroup that reads `a` and `b` and writes `out`. */
const kernelOf = (name: string, head: string, body: string, threads = 32): Kernel<"a" | "b" | "out"> => ({
  name,
  wgsl: `enable f16;
enable chromium_experimental_subgroup_matrix;
diagnostic(off, chromium.subgroup_matrix_uniformity);
${head}
@compute @workgroup_size(${threads})
fn main(@builtin(local_invocation_index) i: u32, @builtin(subgroup_id) sg: u32, @builtin(subgroup_invocation_id) lane: u32) {
  ${body}
}
`,
  bindings: { a: "read", b: "read", out: "readWrite" },
  params: {},
});
async function run(
  kernel: Kernel<"a" | "b" | "out">,
  a: ArrayBufferView,
  b: ArrayBufferView,
  words: number,
  workgroups = 1,
): Promise<Uint32Array> {
  const card = {
    ...kernel,
    call: () => ({ workgroups: () => [workgroups, 1, 1] as const }),
    sizes: () => ({ a: 0, b: 0, out: 4 * words }),
  };
  return inside((await runKernel(rig, 1, 0, (io) => void io.run(card, {}, { a, b }))).out!);
}
const u16 = (numbers: number[]): Uint16Array => new Uint16Array(new Float16Array(numbers).buffer);

const layouts = [
  { major: "row_major", at: (k: number, n: number): number => 48 * k + n },
  { major: "col_major", at: (k: number, n: number): number => 48 * n + k },
];

describe("subgroups of 32, emulated", () => {
  for (const { major, at } of layouts) {
    it(`multiply i8 matrices, the right one ${major}`, async () => {
      const [a, b] = [seeded(16 * 48, -128, 127), seeded(32 * 48, -127, 128)].map((numbers) => new Int8Array(numbers)) as [
        Int8Array,
        Int8Array,
      ];
      const kernel = kernelOf(
        "i8",
        `@group(0) @binding(0) var<storage, read> a: array<vec4<u32>>;
@group(0) @binding(1) var<storage, read> b: array<vec4<u32>>;
@group(0) @binding(2) var<storage, read_write> out: array<vec4<u32>>;
alias Left = subgroup_matrix_left<i8, 32, 16>;
alias Right = subgroup_matrix_right<i8, 16, 32>;
alias Sum = subgroup_matrix_result<i32, 16, 16>;`,
        `var c = Sum();
  let p = subgroupMatrixLoad<Left, row_major>(&a, 0u, 3u);
  c = subgroupMatrixMultiplyAccumulate(p, subgroupMatrixLoad<Right, ${major}>(&b, 0u, 3u), c);
  c = subgroupMatrixScalarMultiply(c, 256i);
  c = subgroupMatrixMultiplyAccumulate(p, subgroupMatrixLoad<Right, ${major}>(&b, 0u, 3u), c);
  subgroupMatrixStore<row_major>(&out, 0u, c, 4u);`,
      );
      const expected = Int32Array.from({ length: 256 }, (_, i) => {
        let sum = 0;
        for (let k = 0; k < 32; k++) sum += a[48 * (i >> 4) + k]! * b[at(k, i & 15)]!;
        return 257 * sum;
      });
      expect(new Int32Array(await run(kernel, a, b, 256))).toEqual(expected);
    });

    it(`multiply f16 matrices from elements and from words, the right one ${major}, sums read and written`, async () => {
      const [a, b] = [seeded(16 * 24, -32, 32), seeded(16 * 48, -32, 32)] as [number[], number[]];
      const kernel = kernelOf(
        "f16",
        `@group(0) @binding(0) var<storage, read> a: array<f16>;
@group(0) @binding(1) var<storage, read> b: array<vec4<u32>>;
@group(0) @binding(2) var<storage, read_write> out: array<f32>;
alias Left = subgroup_matrix_left<f16, 16, 16>;
alias Right = subgroup_matrix_right<f16, 16, 16>;
alias Sum = subgroup_matrix_result<f32, 16, 16>;
var<workgroup> staged: array<vec4<f32>, 80>;`,
        `subgroupMatrixStore<row_major>(&staged, 0u, subgroupMatrixMultiplyAccumulate(
    subgroupMatrixLoad<Left, row_major>(&a, 8u, 24u), subgroupMatrixLoad<Right, ${major}>(&b, 1u, 6u), Sum(0.0)), 5u);
  workgroupBarrier();
  let back = subgroupMatrixLoad<Sum, row_major>(&staged, 0u, 5u);
  subgroupMatrixStore<row_major>(&out, 16u, back, 20u);`,
      );
      const got = asF32(await run(kernel, u16(a), u16(b), 16 + 320));
      for (let i = 0; i < 256; i++) {
        let sum = 0;
        for (let k = 0; k < 16; k++) sum += a[8 + 24 * (i >> 4) + k]! * b[8 + at(k, i & 15)]!;
        expect(got[16 + 20 * (i >> 4) + (i & 15)]).toBe(sum);
      }
    });
  }

  it("exchange words, two subgroups at once", async () => {
    const kernel = kernelOf(
      "exchange",
      `@group(0) @binding(0) var<storage, read> a: array<f32>;
@group(0) @binding(1) var<storage, read> b: array<u32>;
@group(0) @binding(2) var<storage, read_write> out: array<vec4<f32>>;`,
      "out[i] = vec4(subgroupShuffleXor(a[i], 17u), subgroupShuffle(a[i], b[i]), f32(subgroupAny(sg == 1u && lane == 31u)), f32(100u * sg + lane));",
      64,
    );
    const [a, b] = [seeded(64, -999, 999), seeded(64, 0, 31)] as [number[], number[]];
    const got = asF32(await run(kernel, new Float32Array(a), new Uint32Array(b), 256));
    const own = (i: number, lane: number): number => a[(i & 32) | lane]!;
    const expected = a.flatMap((_, i) => [own(i, (i & 31) ^ 17), own(i, b[i]!), i >> 5, 100 * (i >> 5) + (i & 31)]);
    expect([...got]).toEqual(expected);
  });

  it("have a form of every kernel that asks for them, but for those that are said to have none", async () => {
    const nothing = await openDevice({ backend: "null" });
    const refused = new Set<string>();
    for (const kernel of (await allKernels()).values()) {
      if (!kernel.features?.some((name) => name === "subgroups" || name.endsWith("subgroup-matrix"))) continue;
      // As it is, and as laws rewrite it.
      for (const { wgsl } of [kernel, renumberInvocations(kernel, true), fillWorkgroupMemory(kernel, false)]) {
        nothing.device.pushErrorScope("validation");
        const module = nothing.device.createShaderModule({ label: kernel.name, code: emulateSubgroups(wgsl).code });
        const errors = (await module.getCompilationInfo()).messages.filter(({ type }) => type === "error");
        await nothing.device.popErrorScope();
        if (errors.length > 0) refused.add(kernel.name);
      }
    }
    expect([...refused]).toEqual(notEmulated);
    closeDevice(nothing);
  });

  it("have rooms of their own for arrays beyond a device's workgroup memory", async () => {
    // A workgroup of 40 KiB among three: each sums what the last of its own invocations wrote.
    const kernel = kernelOf(
      "rooms",
      `@group(0) @binding(0) var<storage, read> a: array<f32>;
@group(0) @binding(1) var<storage, read> b: array<u32>;
@group(0) @binding(2) var<storage, read_write> out: array<f32>;
var<workgroup> wide: array<vec4<f32>, 2560>;`,
      `for (var k = i; k < 2560u; k += 32u) { wide[k] = vec4(a[wg.x] + f32(k) + f32(b[0])); }
  workgroupBarrier();
  out[32u * wg.x + i] = wide[2559u - i].w;`,
    );
    const wgsl = kernel.wgsl.replace("fn main(", "fn main(@builtin(workgroup_id) wg: vec3<u32>, ");
    const got = asF32(await run({ ...kernel, wgsl }, new Float32Array([1000, 2000, 3000]), new Uint32Array(1), 96, 3));
    expect([...got]).toEqual(Array.from({ length: 96 }, (_, at) => 1000 * (1 + (at >> 5)) + 2559 - (at & 31)));
  });

  // Software Vulkan compiles most others for 20 seconds and more: `gureum conformance --backend emulated` is the long hunt.
  for (const variant of ["awq-rows16-f16-matrix", "awq-rows32-gate-up-matrix", "awq-rows64-f16-matrix-in-pieces"])
    it(`let ${variant} hold every law of its op`, async () => {
      const subject = emulatedSubjects(gpu).find((one) => one.variant === variant)!;
      expect(subject.backend).toBe("emulated");
      const { failures, cases } = await checkKernel(kitOf(subject.op), subject, { runs: 5, seed: 20261127, timeMs: 1000 });
      expect(failures).toEqual([]);
      expect(cases).toBeGreaterThan(0);
    });
});
