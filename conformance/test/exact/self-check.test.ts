/** A device that computes integers wrong is refused by name. Drivers that do are simulated by changing the check's own WGSL on its way to one. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { adoptDevice } from "../../../gpu/device/device.ts";
import { makeProfiler } from "../../../gpu/device/profile.ts";
import { selfCheck } from "../../../gpu/device/self-check.ts";
import { loadExactGpuModel } from "../../../gpu/model/exact.ts";
import { loadGpuModel } from "../../../gpu/model/model.ts";
import { embeddedModel, loadModel } from "../../../index.ts";
import { memoryRefs } from "../fixtures/memory-refs.ts";
import { arbitraryConfig, randomModel } from "../fixtures/random-model.ts";
import { testDevice } from "../gpu/device.ts";

/** Of its workgroup. */
const INVOCATIONS = 128;

/** The device, but what it compiles went through `edit`. */
function edited(device: GPUDevice, edit: (code: string) => string): GPUDevice {
  return new Proxy(device, {
    get(target, name) {
      if (name === "createShaderModule")
        return (descriptor: GPUShaderModuleDescriptor) => target.createShaderModule({ ...descriptor, code: edit(descriptor.code) });
      const value: unknown = Reflect.get(target, name, target);
      return typeof value === "function" ? value.bind(target) : value;
    },
  });
}

/** The device, but what it compiles has `wrong` in place of `right`. */
const broken = (device: GPUDevice, right: string, wrong: string): GPUDevice => edited(device, (code) => code.replaceAll(right, wrong));

describe("self-check of a device", () => {
  it("passes where integers are integers", async () => {
    const gpu = await testDevice();
    await selfCheck(gpu.device, gpu.capabilities);
    expect(gpu.checked).toBe(true);
  });

  it.each([
    ["dot4I8Packed", "dot4I8Packed(a, b)", "i32(dot4U8Packed(a, b))"],
    ["dot4U8Packed", "dot4U8Packed(a, b)", "bitcast<u32>(dot4I8Packed(a, b))"],
    ["a carry", "a + b < b", "a + b < 1u"],
    ["u32 addition", " = a + b;", " = select(a + b, 0xffffffffu, a + b < b);"],
    ["u32 multiplication", " = a * b;", " = u32(f32(a) * f32(b));"],
    ["an arithmetic right shift", "bitcast<i32>(a) >> (b & 31u)", "bitcast<i32>(a >> (b & 31u))"],
    ["a left shift", "a << (b & 31u)", "a << (b & 15u)"],
    ["countLeadingZeros", "countLeadingZeros(a)", "31u - countTrailingZeros(a)"],
    ["the rounding of an f32 sum", "f32(i32(a & 0xffffu) - 32768) * 0.25", "floor(f32(i32(a & 0xffffu) - 32768) * 0.25 + 0.5)"],
  ])("refuses a device that computes %s wrong, and says what to do", async (name, right, wrong) => {
    const { device, capabilities } = await testDevice();
    const refused = selfCheck(broken(device, right, wrong), capabilities);
    await expect(refused).rejects.toThrow(`webgpu > self-check: the device computes ${name} of 0x`);
    await expect(refused).rejects.toMatchObject({ code: "divergence", details: { remedy: expect.stringContaining("--backend cpu") } });
  });

  it("is asked of a device that the caller opened, whatever arithmetic is wanted", async () => {
    const { device } = await testDevice();
    for (const arithmetic of ["f32", "auto", "exact"] as const) {
      const wrong = broken(device, "+ 12582912.0)", "+ 12582911.0)");
      await expect(loadModel(embeddedModel(), { device: wrong, arithmetic })).rejects.toMatchObject({
        code: "divergence",
        message: expect.stringContaining("webgpu > self-check: the device computes the rounding of an f32 sum of 0x"),
      });
    }
  });

  it.each([
    ["loadGpuModel", loadGpuModel],
    ["loadExactGpuModel", loadExactGpuModel],
  ])("is asked once of a device that the caller opened, by %s too, watched or not", async (_, load) => {
    const { device } = await testDevice();
    const [tiny] = fc.sample(arbitraryConfig, { numRuns: 1, seed: 7 });
    const { config, weights } = randomModel(tiny!, 1);
    const wrong = adoptDevice(broken(device, "a + b < b", "a + b < 1u"));
    await expect(load(wrong, config, memoryRefs(weights))).rejects.toThrow("webgpu > self-check: the device computes a carry of 0x");
    let asked = 0;
    const counted = edited(device, (code) => {
      if (code.includes("dot4I8Packed(a, b)")) asked++;
      return code;
    });
    const gpu = adoptDevice(counted);
    for (const on of [makeProfiler(gpu, () => 0).gpu, gpu]) (await load(on, config, memoryRefs(weights))).dispose();
    expect(asked).toBe(1);
  });

  it.each([
    ["half as many invocations as it says", (size: number) => `lane % ${size / 2}u`, (size: number) => `subgroups of ${size / 2}`],
    ["twice as many invocations as it says", (size: number) => `i % ${2 * size}u`, (size: number) => `subgroups of ${2 * size}`],
    ["invocations that do not follow one another", (size: number) => `i / (${INVOCATIONS}u / ${size}u)`, () => "invocation 1 as number 0"],
  ])("refuses a device whose subgroups have %s", async (_, wrong, got) => {
    const { device, capabilities } = await testDevice();
    const { subgroupMaxSize: size } = capabilities;
    if (size === 0 || size !== capabilities.subgroupMinSize) return;
    const refused = selfCheck(broken(device, "operands[0] + lane", `operands[0] + ${wrong(size)}`), capabilities);
    await expect(refused).rejects.toMatchObject({
      code: "divergence",
      message: expect.stringContaining(
        `subgroups are not what the device says, expected ${size} invocations that follow one another, got ${got(size)}`,
      ),
    });
  });
});
