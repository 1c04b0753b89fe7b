/** In place of dawn.ts where no Dawn can be loaded: browsers, whose WebGPU is `navigator.gpu` or nothing. */
import { GureumError } from "../../core/errors.ts";
import type { Dawn } from "./dawn.ts";

/** None. */
export const dawn: Dawn = { instances: new Map() };

/** What helps where no adapter answers. */
export const DRIVER =
  "update the browser and the GPU's driver, allow hardware acceleration in the browser's settings, or use the CPU backend";

/** @throws GureumError "no-adapter" */
export async function openDawn(_options?: unknown): Promise<GPU> {
  const secure = (globalThis as { isSecureContext?: boolean }).isSecureContext !== false;
  throw new GureumError("no-adapter", {
    where: "webgpu",
    what: secure ? "this browser has no WebGPU" : "this page has no WebGPU: it came neither by https nor from this machine",
    remedy: secure ? "take a browser with WebGPU (Chrome, Edge, Safari 26, Firefox 141), or use the CPU backend" : "serve it by https",
  });
}
