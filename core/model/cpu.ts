/** The CPU as a `Model`: sessions over core/model/llama.ts, with the ops of core/ops or others that give the same bits. */

import type { LlamaConfig } from "../config.ts";
import { type RopeTables, ropeTables } from "../ops/rope.ts";
import { floatSampler } from "../sample/sampler.ts";
import { type CpuFeeder, cpuSession } from "./cpu-session.ts";
import type { Model } from "./engine.ts";
import { copyOf, drop, type KvCache, makeKvCache, reserve } from "./kv-cache.ts";
import { type Activations, forwardHead, forwardLayers, makeActivations } from "./llama.ts";
import { allFinite, nonFiniteLogits } from "./non-finite.ts";
import { type CpuOps, referenceOps } from "./ops.ts";
import { checkPositions, guardSession } from "./session.ts";
import type { LlamaWeights } from "./weights.ts";

export function cpuModel(config: LlamaConfig, weights: LlamaWeights, ops: CpuOps = referenceOps): Model {
  const model: Model = {
    config,
    backend: "cpu",
    decodeBatch: 1,
    sameBitsRows: Infinity,
    createSession(asked) {
      const maxContext = checkPositions("session", "maxContext", asked, 1);
      return guardSession(cpuSession(model, maxContext, llamaFeeder(config, weights, ops, maxContext), floatSampler));
    },
    dispose: () => ops.dispose(),
  };
  return model;
}

function llamaFeeder(
  config: LlamaConfig,
  weights: LlamaWeights,
  ops: CpuOps,
  maxContext: number,
  cache: KvCache = makeKvCache(maxContext),
): CpuFeeder {
  let tables: RopeTables | undefined;
  let tabled = 0;
  let one: Activations | undefined;
  let many: Activations | undefined;

  const activations = (T: number): Activations => {
    if (T === 1) {
      one ??= makeActivations(config, 1);
      return one;
    }
    if (!many || many.T < T) many = makeActivations(config, T);
    return many;
  };

  return {
    get length() {
      return cache.length;
    },
    feed(tokens, rows, logits, taps) {
      const T = tokens.length;
      const end = cache.length + T;
      if (!tables || tabled < end) {
        tabled = Math.min(maxContext, Math.max(end, 2 * tabled, 64));
        tables = ropeTables(config, tabled, maxContext);
      }
      const a = activations(T);
      const rotations = tables;
      reserve(cache, ops, config, end);
      ops.pass(() => {
        forwardLayers(ops, config, weights, rotations, cache, a, tokens, taps);
        if (rows > 0) forwardHead(ops, config, weights, a, T, rows, logits, taps);
      });
    },
    check(logits, ids) {
      if (!allFinite(logits)) throw nonFiniteLogits(config, weights, maxContext, ids);
    },
    truncate(length) {
      cache.length = length;
    },
    fork: () => llamaFeeder(config, weights, ops, maxContext, copyOf(cache, ops, config)),
    dispose() {
      drop(cache, ops);
      one = undefined;
      many = undefined;
    },
  };
}
