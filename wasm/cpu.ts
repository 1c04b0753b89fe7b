/**
 * The CPU's ops on WebAssembly: the same bits as core/ops, several times faster, on as many threads as wanted. Weights lie in banks, read
 * there straight from their files; keys and values too.
 */
import type { LlamaConfig } from "../core/config.ts";
import { GureumError } from "../core/errors.ts";
import type { ExactOps } from "../core/exact/ops.ts";
import type { CacheArrays, CpuOps } from "../core/model/ops.ts";
import type { HostThreads } from "../core/threads.ts";
import { attentionFrameBytes, makeAttention } from "./attention.ts";
import { makeExactOps } from "./exact.ts";
import { exactFrameBytes } from "./exact-linears.ts";
import { openWasm } from "./host.ts";
import { linearFrameBytes, makeLinears } from "./linears.ts";
import { type Bank, makePlacement } from "./memory/bank.ts";
import { makeBanks } from "./memory/banks.ts";
import { makeNorm } from "./norm.ts";
import { makeTeam } from "./threads/team.ts";

export interface WasmCpu extends CpuOps {
  readonly threads: number;
  /** The steps of the arithmetic `exact`, on the same threads and banks. */
  readonly exact: ExactOps;
  /** Whether multiply-adds are fused (relaxed SIMD); the bits are the same. */
  readonly relaxed: boolean;
  /**
   * Room for a model's weights: `totalBytes` in at most `arrays` arrays. What is allocated together lies in one memory.
   * @returns as `Allocate` of core/checkpoint/weights.ts
   */
  placeWeights(config: LlamaConfig, totalBytes: number, arrays: number): (byteLengths: readonly number[]) => Uint8Array[];
}

export interface WasmOptions {
  /** Threads in all; the host's cores where it is not given, 1 without `host`. */
  readonly threads?: number;
  readonly host?: HostThreads;
  /** How int4 linears compute: as core/ops/awq-matmul.ts, the default, or as core/ops/awq-matmul-fixed16.ts. */
  readonly arithmetic?: "f64" | "fixed16";
}

/** @returns the ops, or why this host cannot run them @throws GureumError "usage" for no whole number of threads from 1 */
export async function openWasmCpu({
  threads,
  host,
  arithmetic = "f64",
}: WasmOptions = {}): Promise<WasmCpu | { readonly refusal: string }> {
  if (threads !== undefined && !(Number.isInteger(threads) && threads >= 1 && threads <= 256))
    throw new GureumError("usage", {
      where: "threads",
      what: "number of threads",
      expected: "a whole number from 1 to 256",
      got: `${threads}`,
    });
  const wasm = await openWasm();
  if ("refusal" in wasm) return wasm;
  const team = makeTeam(wasm, threads ?? host?.cores ?? 1, host);
  const banks = makeBanks(wasm, team);
  const linears = makeLinears(team, banks);
  const int4 = arithmetic === "fixed16" ? linears.awqMatmulFixed16 : linears.awqMatmul;
  const banksOfCaches = new Map<CacheArrays, readonly Bank[]>();
  return {
    threads: team.threads,
    exact: makeExactOps(wasm, team, banks),
    relaxed: wasm.relaxed,
    linear(out, x, { weight, bias }, T) {
      if (weight.kind === "awq") int4(out, x, weight, bias, T);
      else linears.matmul(out, x, weight, bias, T);
    },
    matmul: linears.matmul,
    rmsNorm: makeNorm(team, banks),
    attention: makeAttention(team, banks),
    makeCache({ numHiddenLayers: L, numAttentionHeads: H, numKeyValueHeads: G, headDim: Hd }, capacity) {
      const bytes = 4 * capacity * G * Hd;
      const placement = makePlacement(wasm, 2 * L * bytes, 2 * L, attentionFrameBytes(capacity, H, G, Hd, team.threads), "cache");
      const pairs = Array.from({ length: L }, () =>
        placement.allocate([bytes, bytes]).map((view) => new Float32Array(view.buffer, view.byteOffset, capacity * G * Hd)),
      );
      for (const bank of placement.banks) banks.add(bank);
      const arrays = { keys: pairs.map(([keys]) => keys!), values: pairs.map(([, values]) => values!) };
      banksOfCaches.set(arrays, placement.banks);
      return arrays;
    },
    dropCache(arrays) {
      for (const bank of banksOfCaches.get(arrays) ?? []) banks.drop(bank);
      banksOfCaches.delete(arrays);
    },
    pass: (body) => team.pass(body),
    dispose: () => team.close(),
    placeWeights({ hiddenSize: D, intermediateSize: F, vocabSize: V, numAttentionHeads: H, headDim: Hd }, totalBytes, arrays) {
      const [K, N] = [Math.max(D, F, H * Hd), Math.max(D, F, V, H * Hd)];
      const frameBytes = Math.max(linearFrameBytes(K, N, team.threads), exactFrameBytes(K, N, team.threads));
      const placement = makePlacement(wasm, totalBytes, arrays, frameBytes, "weights");
      return (byteLengths) => {
        const known = placement.banks.length;
        const views = placement.allocate(byteLengths);
        for (const bank of placement.banks.slice(known)) banks.add(bank);
        return views;
      };
    },
  };
}
