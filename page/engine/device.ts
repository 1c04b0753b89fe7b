/** What can be found out about this browser's WebGPU device. */
import { gpuIdentity } from "../../conformance/certificate/identity.ts";
import { closeDevice, openDevice } from "../../gpu/device/device.ts";
import type { Work } from "./protocol.ts";

export const device: Work<"device"> = async () => {
  const gpu = await openDevice();
  try {
    return { device: gpuIdentity(gpu), software: gpu.capabilities.software };
  } finally {
    closeDevice(gpu);
  }
};
