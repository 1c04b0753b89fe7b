/** A model on the CPU: its weights read to where its ops want them, its ops on WebAssembly or, where that cannot be, in JavaScript. */
import { listRefs, readWeights } from "../core/checkpoint/weights.ts";
import type { LlamaConfig } from "../core/config.ts";
import { GureumError } from "../core/errors.ts";
import { exactCpuModel } from "../core/exact/model.ts";
import { cpuModel } from "../core/model/cpu.ts";
import type { Model } from "../core/model/engine.ts";
import { linearParts } from "../core/model/layer.ts";
import { referenceFixed16Ops, referenceOps } from "../core/model/ops.ts";
import type { LlamaWeightRefs, LlamaWeights } from "../core/model/weights.ts";
import { FIXED16_BLOCK } from "../core/quant/fixed16.ts";
import type { HostThreads } from "../core/threads.ts";
import { openWasmCpu, type WasmCpu } from "./cpu.ts";
import { openWasm } from "./host.ts";
import { whyAlone } from "./threads/team.ts";

/** How the CPU computes. */
export interface CpuOptions {
  /** "wasm", and its JavaScript twins where the host does not run it: the default. "javascript": the ops of core/ops. */
  readonly ops?: "auto" | "wasm" | "javascript";
  /** Threads in all, for WebAssembly; the host's cores where it is not given. The bits are the same for any number. */
  readonly threads?: number;
  /**
   * "f64", the default: sums in f64. "fixed16": int4 linears in exact integers over 16-bit block fixed point (docs/cpu.md). "exact": every
   * number defined to its last bit (docs/exact.md).
   */
  readonly arithmetic?: "f64" | "fixed16" | "exact";
  /** How the host starts threads; without it there is one. */
  readonly host?: HostThreads;
  /** Called while weights are read. */
  readonly onProgress?: (bytesDone: number, bytesTotal: number) => void;
}

export interface LoadedCpu {
  readonly model: Model;
  readonly weights: LlamaWeights;
  readonly threads: number;
  /** What computes, in a few words: "WebAssembly, 2 threads". */
  readonly about: string;
}

/** What would compute on this host, in a few words, and why. */
export async function describeCpu({ ops = "auto", threads, arithmetic = "f64", host }: CpuOptions): Promise<string> {
  if (ops === "javascript") return `JavaScript ops, as asked for; ${arithmetic}`;
  const wasm = await openWasm();
  if ("refusal" in wasm) return `JavaScript ops: ${wasm.refusal}; ${arithmetic}`;
  const alone = whyAlone(wasm);
  const wanted = threads ?? host?.cores ?? 1;
  const count = alone === null && host ? wanted : 1;
  return [
    `WebAssembly${wasm.relaxed ? " with fused multiply-add" : ""}, ${count} ${count === 1 ? "thread" : "threads"}, ${arithmetic}`,
    ...(alone !== null && wanted > 1 ? [alone] : []),
  ].join("; ");
}

/** Blocks of activations must not straddle groups of weights. @throws GureumError "unsupported" */
function checkFixed16(refs: LlamaWeightRefs): void {
  for (const [i, layer] of refs.layers.entries())
    for (const { name } of linearParts) {
      const ref = layer[name];
      if (ref.kind === "awq" && ref.groupSize % FIXED16_BLOCK !== 0)
        throw new GureumError("unsupported", {
          where: `layers.${i}.${name}`,
          what: "group size in fixed16",
          expected: `a multiple of ${FIXED16_BLOCK}`,
          got: `${ref.groupSize}`,
          remedy: "leave the arithmetic out",
        });
    }
}

/** @throws GureumError "unsupported" where fixed16 does not take the model's groups, or "wasm" is asked for and cannot be, "usage" for a number of threads that is none, and what reading throws */
export async function loadCpuModel(config: LlamaConfig, refs: LlamaWeightRefs, options: CpuOptions = {}): Promise<LoadedCpu> {
  const { ops: wanted = "auto", threads, arithmetic = "f64", host, onProgress } = options;
  if (arithmetic === "fixed16") checkFixed16(refs);
  const modelOf = (weights: LlamaWeights, ops: WasmCpu | undefined): Model => {
    if (arithmetic === "exact") return exactCpuModel(config, weights, ops?.exact);
    return cpuModel(config, weights, ops ?? (arithmetic === "fixed16" ? referenceFixed16Ops : referenceOps));
  };
  const about = await describeCpu(options);
  const plain = async (): Promise<LoadedCpu> => {
    const weights = await readWeights(refs, onProgress);
    return { model: modelOf(weights, undefined), weights, threads: 1, about };
  };
  if (wanted === "javascript") return plain();
  const ops = await openWasmCpu({
    ...(arithmetic === "exact" ? {} : { arithmetic }),
    ...(threads === undefined ? {} : { threads }),
    ...(host ? { host } : {}),
  });
  if ("refusal" in ops) {
    if (wanted === "auto") return plain();
    throw new GureumError("unsupported", {
      where: "cpu",
      what: "WebAssembly ops",
      got: ops.refusal,
      remedy: "leave the choice to gureum, or take the JavaScript ops",
    });
  }
  try {
    const list = listRefs(refs);
    const totalBytes = list.reduce((sum, { byteLength }) => sum + byteLength, 0);
    const weights = await readWeights(refs, onProgress, ops.placeWeights(config, totalBytes, list.length));
    return { model: modelOf(weights, ops), weights, threads: ops.threads, about };
  } catch (error) {
    ops.dispose();
    throw error;
  }
}
