/** The CPU as a `Model`: sessions over core/model/llama.ts, with the ops of core/ops or others that give the same bits. */

import type { LlamaConfig } from "../config.ts";
import { type RopeTables, ropeTables } from "../ops/rope.ts";
import { floatSampler } from "../sample/sampler.ts";
import { cpuBatch } from "./cpu-batch.ts";
import { type CpuFeeder, cpuSession } from "./cpu-session.ts";
import type { Model } from "./engine.ts";
import { copyOf, drop, type KvCache, makeKvCache, reserve } from "./kv-cache.ts";
import { type Activations, forwardHead, forwardLayers, makeActivations, type Span } from "./llama.ts";
import { allFinite, nonFiniteLogits } from "./non-finite.ts";
import { type CpuOps, referenceOps } from "./ops.ts";
import { checkPositions, guardSession } from "./session.ts";
import { noTaps, type Taps } from "./trace.ts";
import type { LlamaWeights } from "./weights.ts";

/** Sequences that are worth computing together: as many rows as the ops take at once. */
const SEQUENCES = 16;

export function cpuModel(config: LlamaConfig, weights: LlamaWeights, ops: CpuOps = referenceOps): Model {
  const feederOf = (maxContext: number, activations: ActivationsOf = makeActivationsOf(config)): LlamaFeeder =>
    llamaFeeder(config, weights, ops, maxContext, activations, makeKvCache(maxContext));
  const open = new Set<{ dispose(): void }>();
  const model: Model = {
    config,
    backend: "cpu",
    decodeBatch: 1,
    sameBitsRows: Infinity,
    createSession(asked) {
      const maxContext = checkPositions("session", "maxContext", asked, 1);
      return guardSession(cpuSession(model, maxContext, feederOf(maxContext), floatSampler), open);
    },
    createBatch(slots, maxContext) {
      const activations = makeActivationsOf(config);
      const feed = (feeders: readonly LlamaFeeder[], ids: readonly number[], logits: Float32Array): void => {
        const spans = feeders.map((feeder) => feeder.span(1));
        forward(config, weights, ops, spans, activations(ids.length), ids, ids.length, logits, noTaps);
      };
      const feeder = (maxContext: number): LlamaFeeder => feederOf(maxContext, activations);
      return cpuBatch(model, slots, maxContext, { open: feeder, feed }, floatSampler, open);
    },
    sequencesAtOnce: () => SEQUENCES,
    dispose() {
      for (const one of [...open]) one.dispose();
      ops.dispose();
    },
  };
  return model;
}

/** Buffers for T rows: one set for single rows, one for as many as there were at most. */
type ActivationsOf = (T: number) => Activations;

function makeActivationsOf(config: LlamaConfig): ActivationsOf {
  let one: Activations | undefined;
  let many: Activations | undefined;
  return (T) => {
    if (T === 1) {
      one ??= makeActivations(config, 1);
      return one;
    }
    if (!many || many.T < T) many = makeActivations(config, T);
    return many;
  };
}

function forward(
  config: LlamaConfig,
  weights: LlamaWeights,
  ops: CpuOps,
  spans: readonly Span[],
  a: Activations,
  ids: readonly number[],
  rows: number,
  logits: Float32Array,
  taps: Taps,
): void {
  ops.pass(() => {
    forwardLayers(ops, config, weights, spans, a, ids, taps);
    if (rows > 0) forwardHead(ops, config, weights, a, ids.length, rows, logits, taps);
  });
}

interface LlamaFeeder extends CpuFeeder {
  /** Room for more rows, and where they go. */
  span(rows: number): Span;
}

function llamaFeeder(
  config: LlamaConfig,
  weights: LlamaWeights,
  ops: CpuOps,
  maxContext: number,
  activations: ActivationsOf,
  cache: KvCache,
): LlamaFeeder {
  let tables: RopeTables | undefined;
  let tabled = 0;
  const span = (rows: number): Span => {
    const end = cache.length + rows;
    if (!tables || tabled < end) {
      tabled = Math.min(maxContext, Math.max(end, 2 * tabled, 64));
      tables = ropeTables(config, tabled, maxContext);
    }
    reserve(cache, ops, config, end);
    return { cache, tables, rows };
  };
  return {
    get length() {
      return cache.length;
    },
    span,
    feed(tokens, rows, logits, taps) {
      forward(config, weights, ops, [span(tokens.length)], activations(tokens.length), tokens, rows, logits, taps);
    },
    check(logits, ids) {
      if (!allFinite(logits)) throw nonFiniteLogits(config, weights, maxContext, ids);
    },
    truncate(length) {
      cache.length = length;
    },
    fork: () => llamaFeeder(config, weights, ops, maxContext, makeActivationsOf(config), copyOf(cache, ops, config)),
    dispose: () => drop(cache, ops),
  };
}
