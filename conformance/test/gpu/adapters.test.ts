/** Choosing among several adapters. One is enough to run this, software Vulkan: the list itself is made up where it must be longer. About 3 s. */
import { describe, expect, it } from "vitest";
import { type AdapterName, chooseAdapter, dawnChoice, nameOf, parseAdapters } from "../../../gpu/device/adapters.ts";
import { closeDevice, listAdapters, openDevice } from "../../../gpu/device/device.ts";
import { embeddedModel, loadModel } from "../../../index.ts";
import { expectFailure, gureum } from "../cli/gureum.ts";

const list: readonly AdapterName[] = [
  { name: "NVIDIA H100 PCIe", backend: "vulkan" },
  { name: "Intel(R) UHD Graphics 770", backend: "vulkan" },
  { name: "NVIDIA H100", backend: "vulkan" },
  { name: "llvmpipe (LLVM 15.0.6, 256 bits)", backend: "vulkan" },
  { name: "Intel(R) UHD Graphics 770", backend: "d3d12" },
];

describe("an adapter", () => {
  it.each([
    [0, 0],
    ["3", 3],
    ["llvmpipe (LLVM 15.0.6, 256 bits)", 3],
    ["LLVM", 3],
    ["nvidia h100", 2],
    ["NVIDIA H100 PCIe", 0],
    ["pcie", 0],
    // The same adapter on two backends is the first; the other is had by its number.
    ["intel", 1],
    ["4", 4],
  ])("is chosen by %j", (wanted, index) => {
    expect(chooseAdapter(list, wanted)).toBe(index);
  });

  it.each([
    [
      "AMD",
      /no adapter has this in its name, expected one of 0: NVIDIA H100 PCIe \(vulkan\); 1: Intel.*; 4: Intel\(R\) UHD Graphics 770 \(d3d12\), got "AMD"/,
    ],
    ["nvidia", /several adapters have this in their names/],
    ["5", /no adapter has this number/],
    [17, /no adapter has this number/],
    ["-1", /no adapter has this in its name/],
    [" ", /the name is empty/],
  ])("is refused with the list where nothing, or too much, is called %j", (wanted, message) => {
    expect(() => chooseAdapter(list, wanted)).toThrow(message);
    expect(() => chooseAdapter([], wanted)).toThrow(/expected one of none|the name is empty/);
  });

  it("is refused where Dawn, which chooses by name, would take another", () => {
    for (const i of [0, 1, 3, 4]) expect(dawnChoice(list, i)).toBe(list[i]);
    expect(() => dawnChoice(list, 2)).toThrow(
      /number 2 cannot be told from number 0: Dawn chooses by name, got NVIDIA H100 and NVIDIA H100 PCIe/,
    );
    const twins = [list[0]!, list[0]!];
    expect(() => dawnChoice(twins, 1)).toThrow(/number 1 cannot be told from number 0/);
  });

  it("is read from what Dawn says", () => {
    const message =
      "no suitable backends found\nAvailable adapters:\n * backend: 'vulkan', name: 'llvmpipe (LLVM 15.0.6, 256 bits)'\n * backend: 'd3d12', name: 'O'Neill'\n";
    expect(parseAdapters(message)).toEqual([
      { backend: "vulkan", name: "llvmpipe (LLVM 15.0.6, 256 bits)" },
      { backend: "d3d12", name: "O'Neill" },
    ]);
    expect(parseAdapters("something else")).toEqual([]);
  });

  it("of a host that lists none is called as it calls itself", () => {
    const info = { vendor: "a", architecture: "b", device: "", description: "" } as GPUAdapterInfo;
    expect(nameOf(info)).toBe("a b");
    expect(nameOf({ ...info, device: "d" })).toBe("d");
    expect(nameOf({ ...info, device: "d", description: "e" })).toBe("e");
  });
});

describe("the adapters of this machine", () => {
  it("are listed, and each opens by its number, its name and a part of it", async () => {
    const adapters = await listAdapters();
    expect(adapters.length).toBeGreaterThan(0);
    const { name } = adapters[0]!;
    for (const adapter of [0, "0", name, name.slice(0, 6).toUpperCase()]) {
      const gpu = await openDevice({ adapter });
      expect(gpu.capabilities.device.replaceAll("-", "")).toContain(
        name
          .slice(0, 4)
          .toLowerCase()
          .replace(/[^a-z0-9]/g, ""),
      );
      closeDevice(gpu);
    }
    await expect(openDevice({ adapter: "no such thing" })).rejects.toMatchObject({
      code: "no-adapter",
      message: expect.stringContaining(name),
    });
  });

  it("are for the library, where one is given, not for the CPU nor beside a device", async () => {
    const model = await loadModel(embeddedModel(), { adapter: 0 });
    expect(model.backend).toBe("webgpu");
    model.dispose();
    await expect(loadModel(embeddedModel(), { adapter: 0, backend: "cpu" })).rejects.toMatchObject({ code: "usage" });
    await expect(loadModel(embeddedModel(), { adapter: 99 })).rejects.toMatchObject({ code: "no-adapter" });
  });

  it("are printed by the command, and taken by those that compute", async () => {
    const [{ name, backend }] = (await listAdapters()) as [AdapterName];
    // Dawn itself may warn on stderr.
    const { code, out } = await gureum(["device", "--all"]);
    expect(code).toBe(0);
    expect(out).toContain(`0  ${name}  ${backend}`);
    expect(JSON.parse((await gureum(["device", "--all", "--json"])).out)[0]).toEqual({ index: 0, name, backend });
    const answer = await gureum(["generate", "구름", "--max-new-tokens", "2", "--adapter", name.slice(0, 5)]);
    expect(answer.code, answer.err).toBe(0);
    expect(answer.err).toMatch(/backend: webgpu/);
    const refused = await gureum(["generate", "구름", "--adapter", "nobody's"]);
    expect([refused.code, refused.out]).toEqual([1, ""]);
    expect(refused.err).toMatch(/gureum: adapter: no adapter has this in its name, expected one of 0: .*, got "nobody's" — /);
    expectFailure(await gureum(["bench", "kernels", "--backend", "cpu", "--adapter", "0"]), 2, /--adapter chooses among WebGPU's/);
  });
});
