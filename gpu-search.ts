/** The quantizer's search on a GPU (gpu/search) for the front door. */
import type { Checkpoint } from "./core/checkpoint/weights.ts";
import { GureumError } from "./core/errors.ts";
import { isPlainSearch } from "./core/quant/search/layer-search.ts";
import type { Settings } from "./core/quant/search/stages.ts";
import { closeDevice, openDevice } from "./gpu/device/device.ts";
import { checkSearch, type DeviceSearch, makeLayerSearch } from "./gpu/search/layer-search.ts";

/**
 * A search on a device for a model, or null where settings, model or texts ask for more than it does.
 * @param hardware a device in software is no use @throws GureumError as openDevice
 */
export async function gpuSearch(
  checkpoint: Pick<Checkpoint, "config" | "refs">,
  settings: Settings,
  longest: number,
  hardware: boolean,
  adapter?: string | number,
): Promise<DeviceSearch | null> {
  if (!isPlainSearch(settings)) return null;
  try {
    checkSearch(checkpoint, settings, longest);
  } catch (error) {
    if (error instanceof GureumError && error.code === "unsupported") return null;
    throw error;
  }
  const gpu = await openDevice({ robustness: false, ...(adapter === undefined ? {} : { adapter }) });
  if (hardware && gpu.capabilities.software) {
    closeDevice(gpu);
    return null;
  }
  const search = makeLayerSearch(gpu, checkpoint.config, settings);
  return {
    ...search,
    close() {
      search.close();
      closeDevice(gpu);
    },
  };
}
