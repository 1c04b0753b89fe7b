/**
 * A session on the CPU, whatever its arithmetic: ids, chunks, the logits that wait to be sampled. What feeds it, a forward
 * pass over its own cache, is the model's.
 */
import { greedy } from "../sample/sampler.ts";
import type { DecodedBatch, ForwardOptions, ForwardResult, Model, Sampler, SamplingOptions, Session } from "./engine.ts";
import { checkFeed, checkPending } from "./session.ts";
import { makeTaps, noTaps, type Taps } from "./trace.ts";

/** Positions fed at a time, so that activations stay small; any number gives the same bits. */
export const CHUNK = 64;

/** A forward pass with its cache. */
export interface CpuFeeder {
  /** Positions in the cache. */
  readonly length: number;
  /** Feeds `tokens` behind them; the last `rows` of them leave their logits [rows, V] in `logits`. */
  feed(tokens: readonly number[], rows: number, logits: Float32Array, taps: Taps): void;
  /** Throws where logits of unwatched positions will not do; `ids` are all fed so far. */
  check?(logits: Float32Array, ids: readonly number[]): void;
  /** Keeps the first `length` positions. */
  truncate(length: number): void;
  /** Another with a copy of its cache. */
  fork(): CpuFeeder;
  dispose(): void;
}

/** What a session has fed and sampled, and the logits that wait, where there are. */
interface Held {
  readonly ids: readonly number[];
  readonly pending: Float32Array | null;
}

export function cpuSession(
  model: Model,
  maxContext: number,
  feeder: CpuFeeder,
  sampler: Sampler,
  held: Held = { ids: [], pending: null },
): Session {
  const { config } = model;
  const { sample, logProbability } = sampler;
  const V = config.vocabSize;
  let ids = [...held.ids];
  /** Logits of the last position fed, where `hasPending`. */
  const pending = held.pending ?? new Float32Array(V);
  let hasPending = held.pending !== null;

  const feed = (tokens: readonly number[], rows: number, logits: Float32Array, taps: Taps): void => {
    feeder.feed(tokens, rows, logits, taps);
    for (const id of tokens) ids.push(id);
    if (rows > 0 && taps === noTaps) feeder.check?.(logits.subarray(0, rows * V), ids);
  };

  /** Drops a sampled id that has not been fed yet. */
  const settle = (): void => {
    ids.length = feeder.length;
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
      checkFeed(config, feeder.length, maxContext, tokens);
      const taps = makeTaps(config, options);
      const T = tokens.length;
      const rows = options.logits === "all" ? T : 1;
      const logits = new Float32Array(rows * V);
      const watched = options.trace !== undefined || options.steer !== undefined;
      if (watched) {
        feed(Array.from(tokens), rows, logits, taps);
        await options.onProgress?.(T);
      } else {
        for (let t = 0; t < T; t += CHUNK) {
          const part = Array.prototype.slice.call(tokens, t, t + CHUNK) as number[];
          const wanted = rows === T ? part.length : t + CHUNK >= T ? 1 : 0;
          feed(part, wanted, logits.subarray(rows === T ? t * V : 0), noTaps);
          await options.onProgress?.(t + part.length);
        }
      }
      pending.set(logits.subarray((rows - 1) * V));
      hasPending = true;
      return { logits, trace: taps.values };
    },
    async prefill(tokens, onProgress) {
      settle();
      checkFeed(config, feeder.length, maxContext, tokens);
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
        if (ids.length > feeder.length) {
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
    async logits() {
      checkPending(hasPending, "logits");
      return pending.slice();
    },
    truncate(length) {
      ids = ids.slice(0, length);
      feeder.truncate(Math.min(feeder.length, length));
      hasPending = false;
    },
    async fork() {
      return cpuSession(model, maxContext, feeder.fork(), sampler, { ids, pending: hasPending ? pending.slice() : null });
    },
    dispose() {
      ids = [];
      feeder.dispose();
      hasPending = false;
    },
  };
}
