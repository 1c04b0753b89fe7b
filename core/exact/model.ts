/** The arithmetic `exact` on the CPU as a `Model`: the definition that every device is held to, bit for bit. */
import type { LlamaConfig } from "../config.ts";
import { type CpuFeeder, cpuSession } from "../model/cpu-session.ts";
import type { Model } from "../model/engine.ts";
import { checkPositions, guardSession } from "../model/session.ts";
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
  const model: Model = {
    config,
    backend: "cpu",
    sampler: exactSampler,
    decodeBatch: 1,
    sameBitsRows: Infinity,
    createSession(asked) {
      const maxContext = checkPositions("session", "maxContext", asked, 1);
      return guardSession(cpuSession(model, maxContext, exactFeeder(config, exact, maxContext), exactSampler));
    },
    dispose() {},
  };
  return model;
}

function exactFeeder(
  config: LlamaConfig,
  weights: ExactWeights,
  maxContext: number,
  cache: ExactCache = makeExactCache(config),
): CpuFeeder {
  let constants: ExactConstants | undefined;
  return {
    get length() {
      return cache.length;
    },
    feed(tokens, rows, logits, taps) {
      constants ??= exactConstants(config, maxContext);
      logits.set(exactForward(config, weights, constants, cache, tokens, rows, taps));
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
