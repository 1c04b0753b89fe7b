/** A Llama model on a WebGPU device: the twin of core/model/cpu.ts. */
import { listening } from "../../core/arguments.ts";
import type { LlamaConfig } from "../../core/config.ts";
import { checkBatchSize } from "../../core/model/batch.ts";
import type { Model, Session } from "../../core/model/engine.ts";
import { checkPositions, guardSession } from "../../core/model/session.ts";
import { sessionBatch } from "../../core/model/session-batch.ts";
import type { LlamaWeightRefs } from "../../core/model/weights.ts";
import { freeAll, makeMemory } from "../device/buffer.ts";
import { checkDevice, type Gpu } from "../device/device.ts";
import { holds } from "../pipeline/kernel.ts";
import { batchRefusal } from "../programs/batch.ts";
import { plainFew } from "../programs/plain.ts";
import { type Plan, planVariants, type VariantOptions } from "../programs/plan.ts";
import { FEW_ROWS } from "../programs/steps.ts";
import { gpuBatch, sequencesThatFit } from "./batch.ts";
import { BATCH } from "./chain.ts";
import { gpuSession } from "./session.ts";
import { loadWeights } from "./weights.ts";

export interface GpuModelOptions extends VariantOptions {
  /** Bytes of weights read so far, and in all. */
  readonly onProgress?: (bytesDone: number, bytesTotal: number) => void;
}

/** A model and what runs in it. */
export interface GpuModel extends Model {
  readonly plan: Plan;
}

/**
 * Streams the weights to the GPU. The model's `dispose` destroys them and the sessions that are left; the device stays
 * the caller's.
 * @throws GureumError "io", "non-finite", "limit", "out-of-memory"; as checkDevice and planVariants
 */
export async function loadGpuModel(gpu: Gpu, config: LlamaConfig, refs: LlamaWeightRefs, options: GpuModelOptions = {}): Promise<GpuModel> {
  const memory = makeMemory(gpu);
  const sessions = new Set<Session>();
  const batches = new Set<{ dispose(): void }>();
  try {
    const { plan } = planVariants(gpu.capabilities, config, refs, options);
    await checkDevice(gpu);
    const repacked = plan.layout === "repacked" ? "all" : "none";
    const weights = await listening(options, ["onProgress"], (heard) => loadWeights(memory, refs, repacked, heard.onProgress));
    const together = batchRefusal(config) === undefined;
    const model: GpuModel = {
      config,
      backend: "webgpu",
      plan,
      decodeBatch: BATCH,
      sameBitsRows: plan.programs.find(({ rows }) => holds(rows, 1)) === plainFew ? FEW_ROWS - 1 : 1,
      createSession(maxContext) {
        const own = gpuSession(model, gpu, weights, plan, checkPositions("session", "maxContext", maxContext, 1));
        return guardSession(own, sessions);
      },
      createBatch(slots, maxContext) {
        checkBatchSize(slots, maxContext);
        return together ? gpuBatch(model, gpu, weights, plan, slots, maxContext, batches) : sessionBatch(model, slots, maxContext, batches);
      },
      sequencesAtOnce: (maxContext) => (together ? sequencesThatFit(gpu, model, plan, maxContext) : 1),
      dispose() {
        for (const batch of [...batches]) batch.dispose();
        for (const session of sessions) session.dispose();
        freeAll(memory);
      },
    };
    return model;
  } catch (error) {
    freeAll(memory);
    throw error;
  }
}
