/** The arithmetic `exact` on the CPU as a `Model`: the definition that every device is held to, bit for bit. */
import type { LlamaConfig } from "../config.ts";
import { cpuBatch } from "../model/cpu-batch.ts";
import { type CpuFeeder, cpuSession } from "../model/cpu-session.ts";
import type { Model } from "../model/engine.ts";
import { checkPositions, guardSession } from "../model/session.ts";
import { noTaps } from "../model/trace.ts";
import type { LlamaWeights } from "../model/weights.ts";
import {
  copyOfExact,
  type ExactCache,
  type ExactConstants,
  type ExactWeights,
  exactConstants,
  exactForward,
  exactWeights,
  makeExactCache,
} from "./forward.ts";
import { exactSampler } from "./sample.ts";

/** @throws GureumError "limit" for a model beyond what the definition covers */
export function exactCpuModel(config: LlamaConfig, weights: LlamaWeights): Model {
  const exact = exactWeights(config, weights);
  const open = new Set<{ dispose(): void }>();
  const model: Model = {
    config,
    backend: "cpu",
    sampler: exactSampler,
    decodeBatch: 1,
    sameBitsRows: Infinity,
    createSession(asked) {
      const maxContext = checkPositions("session", "maxContext", asked, 1);
      return guardSession(cpuSession(model, maxContext, exactFeeder(config, exact, maxContext), exactSampler), open);
    },
    createBatch(slots, maxContext) {
      // Tables depend on the longest context where the scaling does, and are shared where it does not.
      const contextOf = (own: number): number => (config.ropeScaling.type === "dynamic" ? own : maxContext);
      const feed = (feeders: readonly ExactFeeder[], ids: readonly number[], logits: Float32Array): void => {
        const constants = feeders[0]!.constants();
        const spans = feeders.map(({ cache, constants }) => ({ cache, tables: constants().tables, rows: 1 }));
        logits.set(exactForward(config, exact, constants, spans, ids, ids.length, noTaps));
      };
      const feeder = (own: number): ExactFeeder => exactFeeder(config, exact, contextOf(own));
      return cpuBatch(model, slots, maxContext, { open: feeder, feed }, exactSampler, open);
    },
    // A row costs the same in any company.
    sequencesAtOnce: () => 1,
    dispose() {
      for (const one of [...open]) one.dispose();
    },
  };
  return model;
}

interface ExactFeeder extends CpuFeeder {
  readonly cache: ExactCache;
  constants(): ExactConstants;
}

function exactFeeder(
  config: LlamaConfig,
  weights: ExactWeights,
  maxContext: number,
  cache: ExactCache = makeExactCache(config),
): ExactFeeder {
  let made: ExactConstants | undefined;
  const constants = (): ExactConstants => {
    made ??= exactConstants(config, maxContext);
    return made;
  };
  return {
    cache,
    constants,
    get length() {
      return cache.length;
    },
    feed(tokens, rows, logits, taps) {
      const { tables } = constants();
      logits.set(exactForward(config, weights, constants(), [{ cache, tables, rows: tokens.length }], tokens, rows, taps));
    },
    truncate(length) {
      cache.length = length;
    },
    fork: () => exactFeeder(config, weights, maxContext, copyOfExact(cache)),
    dispose() {
      cache.length = 0;
    },
  };
}
