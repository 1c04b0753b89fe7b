/** The CPU as a `Model`: sessions over core/model/llama.ts, with the ops of core/ops or others that give the same bits. */

import type { LlamaConfig } from "../config.ts";
import { type RopeTables, ropeTables } from "../ops/rope.ts";
import { greedy, logProbability, sample } from "../sample/sampler.ts";
import type { DecodedBatch, ForwardOptions, ForwardResult, Model, SamplingOptions, Session } from "./engine.ts";
import { drop, makeKvCache, reserve } from "./kv-cache.ts";
import { type Activations, forwardHead, forwardLayers, makeActivations } from "./llama.ts";
import { allFinite, nonFiniteLogits } from "./non-finite.ts";
import { type CpuOps, referenceOps } from "./ops.ts";
import { checkFeed, checkPending, checkPositions, guardSession } from "./session.ts";
import { makeTaps, noTaps, type Taps } from "./trace.ts";
import type { LlamaWeights } from "./weights.ts";

/** Positions fed at a time, so that activations stay small; any number gives the same bits. */
const CHUNK = 64;

export function cpuModel(config: LlamaConfig, weights: LlamaWeights, ops: CpuOps = referenceOps): Model {
  const model: Model = {
    config,
    backend: "cpu",
    decodeBatch: 1,
    createSession: (maxContext) =>
      guardSession(cpuSession(model, config, weights, ops, checkPositions("session", "maxContext", maxContext, 1))),
    dispose: () => ops.dispose(),
  };
  return model;
}

function cpuSession(model: Model, config: LlamaConfig, weights: LlamaWeights, ops: CpuOps, maxContext: number): Session {
  const V = config.vocabSize;
  const cache = makeKvCache(maxContext);
  let ids: number[] = [];
  let tables: RopeTables | undefined;
  let tabled = 0;
  let one: Activations | undefined;
  let many: Activations | undefined;
  const pending = new Float32Array(V);
  let hasPending = false;

  const activations = (T: number): Activations => {
    if (T === 1) {
      one ??= makeActivations(config, 1);
      return one;
    }
    if (!many || many.T < T) many = makeActivations(config, T);
    return many;
  };

  /** Feeds some positions; the last `rows` of them give logits. */
  const feed = (tokens: ArrayLike<number>, rows: number, logits: Float32Array, taps: Taps): void => {
    const T = tokens.length;
    const end = cache.length + T;
    if (!tables || tabled < end) {
      tabled = Math.min(maxContext, Math.max(end, 2 * tabled, 64));
      tables = ropeTables(config, tabled, maxContext);
    }
    const a = activations(T);
    const rotations = tables;
    reserve(cache, ops, config, cache.length + T);
    ops.pass(() => {
      forwardLayers(ops, config, weights, rotations, cache, a, tokens, taps);
      if (rows > 0) forwardHead(ops, config, weights, a, T, rows, logits, taps);
    });
    for (let t = 0; t < T; t++) ids.push(tokens[t]!);
    if (rows > 0 && taps === noTaps && !allFinite(logits.subarray(0, rows * V))) throw nonFiniteLogits(config, weights, maxContext, ids);
  };

  /** Drops a sampled id that has not been fed yet. */
  const settle = (): void => {
    ids.length = cache.length;
    hasPending = false;
  };

  return {
    model,
    maxContext,
    get ids() {
      return ids;
    },
    async forward(tokens, options: ForwardOptions = {}): Promise<ForwardResult> {
      settle();
      checkFeed(config, cache.length, maxContext, tokens);
      const taps = makeTaps(config, options);
      const T = tokens.length;
      const rows = options.logits === "all" ? T : 1;
      const logits = new Float32Array(rows * V);
      const watched = options.trace !== undefined || options.steer !== undefined;
      if (watched) feed(tokens, rows, logits, taps);
      else {
        for (let t = 0; t < T; t += CHUNK) {
          const part = Array.prototype.slice.call(tokens, t, t + CHUNK) as number[];
          const wanted = rows === T ? part.length : t + CHUNK >= T ? 1 : 0;
          feed(part, wanted, logits.subarray(rows === T ? t * V : 0), noTaps);
        }
      }
      pending.set(logits.subarray((rows - 1) * V));
      hasPending = true;
      return { logits, trace: taps.values };
    },
    async prefill(tokens, onProgress) {
      settle();
      checkFeed(config, cache.length, maxContext, tokens);
      for (let t = 0; t < tokens.length; t += CHUNK) {
        const part = Array.prototype.slice.call(tokens, t, t + CHUNK) as number[];
        feed(part, t + CHUNK >= tokens.length ? 1 : 0, pending, noTaps);
        await onProgress?.(t + part.length);
      }
      hasPending = true;
    },
    async decode(sampling: SamplingOptions = greedy, count = 1): Promise<DecodedBatch> {
      const sampled: number[] = [];
      const logprobs: number[] = [];
      for (let i = 0; i < count && ids.length < maxContext; i++) {
        if (ids.length > cache.length) {
          const last = ids.pop()!;
          feed([last], 1, pending, noTaps);
          hasPending = true;
        }
        checkPending(hasPending);
        const id = sample(pending, sampling, ids, ids.length);
        sampled.push(id);
        logprobs.push(logProbability(pending, id));
        ids.push(id);
        hasPending = false;
      }
      return { ids: sampled, logprobs };
    },
    truncate(length) {
      ids = ids.slice(0, length);
      cache.length = Math.min(cache.length, length);
      hasPending = false;
    },
    dispose() {
      ids = [];
      drop(cache, ops);
      hasPending = false;
      one = undefined;
      many = undefined;
    },
  };
}
