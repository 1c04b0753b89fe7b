/** What exact.test.ts runs in a page: the hashes of models and ids, on the CPU and on WebGPU. */
import { openCheckpoint, readWeights } from "../../../core/checkpoint/weights.ts";
import { exactCpuModel } from "../../../core/exact/model.ts";
import { urlStore } from "../../../core/host/url-store.ts";
import type { Model } from "../../../core/model/engine.ts";
import { closeDevice, openDevice } from "../../../gpu/device/device.ts";
import { loadExactGpuModel } from "../../../gpu/model/exact.ts";
import { type ExactCase, embeddedIds, randomCases } from "../fixtures/exact-models.ts";
import { memoryRefs } from "../fixtures/memory-refs.ts";

async function hashOf(model: Model, ids: readonly number[]): Promise<string> {
  const { logits } = await model.createSession(32).forward(ids, { logits: "all" });
  const digest = new Uint8Array(
    await crypto.subtle.digest("SHA-256", new Uint8Array(logits.buffer as ArrayBuffer, logits.byteOffset, logits.byteLength)),
  );
  return [...digest].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** The embedded model, from the folder `model` beside the page. */
async function embedded(address: string): Promise<ExactCase> {
  const { config, refs, close } = await openCheckpoint(urlStore(address));
  const weights = await readWeights(refs);
  await close();
  return { name: "gureum-tiny-awq", config, weights, ids: embeddedIds };
}

/** Name → hash, of the models whose name one of `names` is; all without. */
async function hashes(backend: "cpu" | "webgpu", address: string, names?: readonly string[]): Promise<Record<string, string>> {
  const cases = [await embedded(address), ...randomCases()].filter(({ name }) => !names || names.includes(name));
  const gpu = backend === "webgpu" ? await openDevice() : undefined;
  const found: Record<string, string> = {};
  for (const { name, config, weights, ids } of cases) {
    const model = gpu ? await loadExactGpuModel(gpu, config, memoryRefs(weights)) : exactCpuModel(config, weights);
    found[name] = await hashOf(model, ids);
    model.dispose();
  }
  if (gpu) closeDevice(gpu);
  return found;
}

Object.assign(globalThis, { hashes });
