/** A text on the CPU and on the GPU, step by step. */
import { type Diff, diffModels } from "../../conformance/watch/diff.ts";
import { openFolder } from "../../core/checkpoint/folder.ts";
import { openCheckpoint } from "../../core/checkpoint/weights.ts";
import { contextLimit } from "../../core/generate/generate.ts";
import { webThreads } from "../../core/host/web-threads.ts";
import { checkFeed } from "../../core/model/session.ts";
import { closeDevice, openDevice } from "../../gpu/device/device.ts";
import { loadGpuModel } from "../../gpu/model/model.ts";
import { loadTokenizer } from "../../tokenizer/tokenizer.ts";
import { loadCpuModel } from "../../wasm/model.ts";
import { breathe } from "./breathe.ts";
import type { Work } from "./protocol.ts";
import { storeOf } from "./stores.ts";

export const diff: Work<"diff"> = async ({ place, text }, tell) => {
  const folder = await openFolder(storeOf(place, tell));
  const tokenizer = await loadTokenizer(folder);
  const ids = tokenizer.encode(text, { addBos: tokenizer.addBos });
  const { config, refs, close } = await openCheckpoint(folder);
  try {
    checkFeed(config, 0, contextLimit(config), ids);
    const gpu = await openDevice();
    try {
      const onProgress = (done: number, total: number): void => tell({ step: "weights", done, total });
      const cpu = await loadCpuModel(config, refs, { host: webThreads(), onProgress });
      try {
        const model = await loadGpuModel(gpu, config, refs, { onProgress });
        const found: Diff = await diffModels({ model: cpu.model }, { model, plan: model.plan }, cpu.weights, ids, async (done, total) => {
          tell({ step: "judging", done, total });
          await breathe();
        });
        const { vendor, architecture, description } = gpu.capabilities;
        return { ...found, ids, device: [vendor, architecture, description].filter(Boolean).join(" "), cpu: cpu.about };
      } finally {
        cpu.model.dispose();
      }
    } finally {
      closeDevice(gpu);
    }
  } finally {
    await close();
  }
};
