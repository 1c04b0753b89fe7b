/** The arithmetic `exact` on the CPU as a `Model`: the definition that every device is held to, bit for bit. */
import type { LlamaConfig } from "../config.ts";
import type { ForwardOptions, ForwardResult, Model, Session } from "../model/engine.ts";
import { checkFeed, checkPending, checkPositions, guardSession } from "../model/session.ts";
import { makeTaps, noTaps, type Taps } from "../model/trace.ts";
import type { LlamaWeights } from "../model/weights.ts";
import { greedy } from "../sample/sampler.ts";
import { type ExactConstants, type ExactWeights, exactConstants, exactForward, exactWeights, makeExactCache } from "./forward.ts";
import { exactSampler, logProbability, sample } from "./sample.ts";

/** Positions fed at a time, so that activations stay small; any number gives the same bits. */
const CHUNK = 64;

/** @throws GureumError "limit" for a model beyond what the definition covers */
export function exactCpuModel(config: LlamaConfig, weights: LlamaWeights): Model {
  const exact = exactWeights(config, weights);
  const model: Model = {
    config,
    backend: "cpu",
    sampler: exactSampler,
    decodeBatch: 1,
    createSession: (maxContext) => guardSession(exactSession(model, exact, checkPositions("session", "maxContext", maxContext, 1))),
    dispose() {},
  };
  return model;
}

function exactSession(model: Model, weights: ExactWeights, maxContext: number): Session {
  const { config } = model;
  const cache = makeExactCache(config);
  let constants: ExactConstants | undefined;
  let ids: number[] = [];
  /** Logits of the last position fed; undefined where nothing was since the last truncate. */
  let pending: Float32Array | undefined;

  const feed = (tokens: readonly number[], rows: number, taps: Taps): Float32Array => {
    constants ??= exactConstants(config, maxContext);
    const logits = exactForward(config, weights, constants, cache, tokens, rows, taps);
    ids.push(...tokens);
    return logits;
  };
  /** Drops a sampled id that has not been fed. */
  const settle = (): void => {
    ids.length = cache.length;
    pending = undefined;
  };
  const parts = (tokens: ArrayLike<number>, size: number): number[][] =>
    Array.from(
      { length: Math.ceil(tokens.length / size) },
      (_, i) => Array.prototype.slice.call(tokens, i * size, (i + 1) * size) as number[],
    );

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
      const all = options.logits === "all";
      const watched = options.trace !== undefined || options.steer !== undefined;
      const V = config.vocabSize;
      const logits = new Float32Array((all ? tokens.length : 1) * V);
      let done = 0;
      for (const part of parts(tokens, watched ? tokens.length : CHUNK)) {
        done += part.length;
        const rows = all ? part.length : done === tokens.length ? 1 : 0;
        logits.set(feed(part, rows, watched ? taps : noTaps), all ? (done - part.length) * V : 0);
      }
      pending = logits.slice(logits.length - V);
      return { logits, trace: taps.values };
    },
    async prefill(tokens, onProgress) {
      settle();
      checkFeed(config, cache.length, maxContext, tokens);
      let done = 0;
      for (const part of parts(tokens, CHUNK)) {
        done += part.length;
        const last = done === tokens.length;
        const logits = feed(part, last ? 1 : 0, noTaps);
        if (last) pending = logits;
        await onProgress?.(done);
      }
    },
    async decode(sampling = greedy, count = 1) {
      const sampled: number[] = [];
      const logprobs: number[] = [];
      for (let i = 0; i < count && ids.length < maxContext; i++) {
        if (ids.length > cache.length) pending = feed([ids.pop()!], 1, noTaps);
        checkPending(pending !== undefined);
        const id = sample(pending!, sampling, ids, ids.length);
        sampled.push(id);
        logprobs.push(logProbability(pending!, id));
        ids.push(id);
        pending = undefined;
      }
      return { ids: sampled, logprobs };
    },
    truncate(length) {
      ids = ids.slice(0, length);
      cache.length = Math.min(cache.length, length);
      pending = undefined;
    },
    dispose() {
      ids = [];
      cache.length = 0;
      pending = undefined;
    },
  };
}
