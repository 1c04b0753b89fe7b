/** A Llama model in `exact` on a WebGPU device: the same bits as core/exact/model.ts, on every device that passes its self-check. */
import { listening } from "../../core/arguments.ts";
import type { LlamaConfig } from "../../core/config.ts";
import { GureumError } from "../../core/errors.ts";
import { checkExactLimits, EXACT_LIMITS, exactParts } from "../../core/exact/forward.ts";
import { exactSampler } from "../../core/exact/sample.ts";
import type { Model, Session } from "../../core/model/engine.ts";
import { checkPositions, guardSession } from "../../core/model/session.ts";
import { sessionBatch } from "../../core/model/session-batch.ts";
import type { LlamaWeightRefs } from "../../core/model/weights.ts";
import { freeAll, makeMemory } from "../device/buffer.ts";
import { checkDevice, type Gpu } from "../device/device.ts";
import { partRefusal } from "../programs/program.ts";
import { BATCH } from "./chain.ts";
import { exactGpuSession } from "./exact-session.ts";
import { loadExactWeights } from "./exact-weights.ts";

export interface ExactModelOptions {
  /** Bytes of weights read so far, and in all. */
  readonly onProgress?: (bytesDone: number, bytesTotal: number) => void;
}

/**
 * Streams the weights to the GPU. The model's `dispose` destroys them and the sessions that are left; the device stays the caller's.
 * @throws GureumError "limit" for a model beyond the definition or a device, "io", "non-finite", "out-of-memory", "device-lost"
 */
export async function loadExactGpuModel(
  gpu: Gpu,
  config: LlamaConfig,
  refs: LlamaWeightRefs,
  options: ExactModelOptions = {},
): Promise<Model> {
  checkExactLimits(config);
  const unknown = partRefusal(exactParts, refs);
  if (unknown)
    throw new GureumError(unknown.code, {
      where: "arithmetic exact",
      what: `cannot run: ${unknown.reason}`,
      remedy: "use another arithmetic",
    });
  await checkDevice(gpu);
  const memory = makeMemory(gpu);
  const sessions = new Set<Session>();
  const batches = new Set<{ dispose(): void }>();
  try {
    const weights = await listening(options, ["onProgress"], (heard) => loadExactWeights(memory, refs, heard.onProgress));
    const model: Model = {
      config,
      backend: "webgpu",
      sampler: exactSampler,
      decodeBatch: BATCH,
      sameBitsRows: Infinity,
      createSession(maxContext) {
        const positions = Math.min(checkPositions("session", "maxContext", maxContext, 1), EXACT_LIMITS.positions + 1);
        return guardSession(exactGpuSession(model, gpu, weights, positions), sessions);
      },
      createBatch: (slots, maxContext) => sessionBatch(model, slots, maxContext, batches),
      // In turn: no program computes exact rows of several sequences.
      sequencesAtOnce: () => 1,
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
