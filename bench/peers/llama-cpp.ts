/**
 * llama.cpp's native CPU code, as the npm package node-llama-cpp brings it prebuilt; one thread, no GPU. The package is not a dependency:
 * whoever compares installs it.
 */
import { GureumError } from "../../core/errors.ts";

/** What is used of the package. */
interface Sequence {
  evaluateWithoutGeneratingNewTokens(tokens: readonly number[]): Promise<void>;
  evaluate(tokens: readonly number[], options: { temperature: number; yieldEogToken: boolean }): AsyncGenerator<number>;
  clearHistory(): Promise<void>;
}
/** The package. */
export interface Package {
  getLlama(options: object): Promise<{ loadModel(options: object): Promise<LlamaModel>; dispose(): Promise<void> }>;
}
interface LlamaModel {
  createContext(options: object): Promise<{ getSequence(): Sequence; dispose(): Promise<void> }>;
  dispose(): Promise<void>;
}

/** A model of a peer's, driven by ids. */
export interface Peer {
  readonly name: string;
  /** false: it does not tell which ids it decodes. */
  readonly said?: boolean;
  /** CPU time so far, where it is not this process's. */
  cpuMs?(): Promise<number>;
  /** Feeds ids to an empty context. */
  prefill(ids: readonly number[]): Promise<void>;
  /** Continues greedily. @returns the ids */
  decode(last: number, count: number): Promise<number[]>;
  close(): Promise<void>;
}

/** @throws GureumError "not-found" where the package is not installed */
export async function findLlamaCpp(): Promise<Package> {
  const specifier = "node-llama-cpp";
  try {
    return (await import(specifier)) as Package;
  } catch (error) {
    throw new GureumError(
      "not-found",
      { where: "bench peers", what: "node-llama-cpp is not installed", remedy: "npm install --no-save node-llama-cpp@3.22.1" },
      error,
    );
  }
}

/** @throws what the package throws */
export async function openLlamaCpp(found: Package, path: string, name: string, contextSize: number): Promise<Peer> {
  const llama = await found.getLlama({ gpu: false, build: "never", skipDownload: true, logLevel: "error", maxThreads: 1 });
  const model = await llama.loadModel({ modelPath: path, gpuLayers: 0 });
  const context = await model.createContext({ contextSize, threads: 1, batchSize: Math.min(512, contextSize), flashAttention: false });
  const sequence = context.getSequence();
  return {
    name,
    async prefill(ids) {
      await sequence.clearHistory();
      await sequence.evaluateWithoutGeneratingNewTokens(ids);
    },
    async decode(last, count) {
      const ids: number[] = [];
      for await (const id of sequence.evaluate([last], { temperature: 0, yieldEogToken: true })) {
        ids.push(id);
        if (ids.length === count) return ids;
      }
      throw new GureumError("no-output", { where: name, what: "tokens", expected: `${count}`, got: `${ids.length}` });
    },
    async close() {
      await context.dispose();
      await model.dispose();
      await llama.dispose();
    },
  };
}
