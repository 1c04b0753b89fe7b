/** A Llama model on a WebGPU device: the twin of core/model/cpu.ts. */
import { GureumError } from "../../core/errors.ts";
import type { LlamaConfig } from "../../core/model/config.ts";
import type { Model, Session } from "../../core/model/engine.ts";
import type { LlamaWeightRefs } from "../../core/model/weights.ts";
import { freeAll, makeMemory } from "../buffer.ts";
import type { Gpu } from "../device.ts";
import type { CacheDType } from "../wgsl/cache.ts";
import { BATCH } from "./decode.ts";
import { gpuSession } from "./session.ts";
import { canPackAll, loadWeights } from "./weights.ts";

/**
 * How int4 linears compute while decoding. "f32": f32 activations and sums. "fixed16": activations as 16-bit block fixed point, exact
 * integer block sums (core/quant/fixed16.ts), by the fused kernels; weights repacked. Prefill and traces compute in f32 either way.
 */
export type GpuArithmetic = "f32" | "fixed16";

export interface GpuModelOptions {
  /** Default: fixed16 where the model's shape and the device allow it. */
  readonly arithmetic?: GpuArithmetic;
  /** Element type of cached keys and values. Default: f16 for fixed16, whose fused kernels need it, else f32. */
  readonly cache?: CacheDType;
  /** Bytes of weights read so far, and in all. */
  readonly onProgress?: (bytesDone: number, bytesTotal: number) => void;
}

/**
 * Streams the weights to the GPU. The model's `dispose` destroys them and the sessions that are left; the device stays the caller's.
 * @throws GureumError "io", "non-finite", "limit", "out-of-memory", "device-lost"
 */
export async function loadGpuModel(gpu: Gpu, config: LlamaConfig, refs: LlamaWeightRefs, options: GpuModelOptions = {}): Promise<Model> {
  const memory = makeMemory(gpu);
  const sessions = new Set<Session>();
  try {
    const arithmetic = options.arithmetic ?? (canPackAll(gpu, refs) ? "fixed16" : "f32");
    if (arithmetic === "fixed16" && !canPackAll(gpu, refs))
      throw new GureumError("unsupported", {
        where: "fixed16",
        what: "not for this model on this device",
        expected: "AWQ linears whose input size and group size are multiples of 32, within the binding limit",
        remedy: "use f32",
      });
    const weights = await loadWeights(memory, refs, arithmetic === "fixed16", options.onProgress);
    const model: Model = {
      config,
      backend: "webgpu",
      decodeBatch: BATCH,
      createSession(maxContext) {
        const session = gpuSession(model, gpu, weights, maxContext, options.cache ?? (arithmetic === "fixed16" ? "f16" : "f32"));
        const dispose = (): void => {
          sessions.delete(tracked);
          session.dispose();
        };
        const tracked: Session = Object.defineProperties({ ...session, dispose }, { ids: { get: () => session.ids, enumerable: true } });
        sessions.add(tracked);
        return tracked;
      },
      dispose() {
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
