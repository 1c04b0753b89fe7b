/** The arithmetic `exact` on the CPU as a `Model`: the definition that every device is held to, bit for bit. */
import type { LlamaConfig } from "../config.ts";
import { cpuBatch } from "../model/cpu-batch.ts";
import { type CpuFeeder, cpuSession } from "../model/cpu-session.ts";
import type { Model } from "../model/engine.ts";
import { checkPositions, guardSession } from "../model/session.ts";
import { noTaps, type Taps } from "../model/trace.ts";
import type { LlamaWeights } from "../model/weights.ts";
import {
  copyOfExact,
  dropExact,
  type ExactCache,
  type ExactConstants,
  type ExactSpan,
  type ExactWeights,
  exactConstants,
  exactForward,
  exactWeights,
  makeExactCache,
  reserve,
} from "./forward.ts";
import { type ExactOps, referenceExactOps } from "./ops.ts";
import { exactSampler } from "./sample.ts";

/** @throws GureumError "limit" for a model beyond what the definition covers */
export function exactCpuModel(config: LlamaConfig, weights: LlamaWeights, ops: ExactOps = referenceExactOps): Model {
  const exact = exactWeights(config, weights, ops);
  const open = new Set<{ dispose(): void }>();
  const model: Model = {
    config,
    backend: "cpu",
    sampler: exactSampler,
    decodeBatch: 1,
    sameBitsRows: Infinity,
    createSession(asked) {
      const maxContext = checkPositions("session", "maxContext", asked, 1);
      return guardSession(cpuSession(model, maxContext, exactFeeder(ops, config, exact, maxContext), exactSampler), open);
    },
    createBatch(slots, maxContext) {
      // Tables depend on the longest context where the scaling does, and are shared where it does not.
      const contextOf = (own: number): number => (config.ropeScaling.type === "dynamic" ? own : maxContext);
      const feed = (feeders: readonly ExactFeeder[], ids: readonly number[], logits: Float32Array): void => {
        const constants = feeders[0]!.constants();
        const spans = feeders.map(({ cache, constants }) => ({ cache, tables: constants().tables, rows: 1 }));
        feedSpans(ops, config, exact, constants, spans, ids, ids.length, logits, noTaps);
      };
      const feeder = (own: number): ExactFeeder => exactFeeder(ops, config, exact, contextOf(own));
      return cpuBatch(model, slots, maxContext, { open: feeder, feed }, exactSampler, open);
    },
    // A row costs the same in any company.
    sequencesAtOnce: () => 1,
    dispose() {
      for (const one of [...open]) one.dispose();
      ops.dispose();
    },
  };
  return model;
}

interface ExactFeeder extends CpuFeeder {
  readonly cache: ExactCache;
  constants(): ExactConstants;
}

/** Makes room for the rows of each span and feeds them. */
function feedSpans(
  ops: ExactOps,
  config: LlamaConfig,
  weights: ExactWeights,
  constants: ExactConstants,
  spans: readonly ExactSpan[],
  ids: readonly number[],
  rows: number,
  logits: Float32Array,
  taps: Taps,
): void {
  for (const { cache, rows: more } of spans) reserve(cache, ops, config, cache.length + more);
  ops.pass(() => logits.set(exactForward(ops, config, weights, constants, spans, ids, rows, taps)));
}

function exactFeeder(
  ops: ExactOps,
  config: LlamaConfig,
  weights: ExactWeights,
  maxContext: number,
  cache: ExactCache = makeExactCache(),
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
      feedSpans(ops, config, weights, constants(), [{ cache, tables, rows: tokens.length }], tokens, rows, logits, taps);
    },
    truncate(length) {
      cache.length = length;
    },
    fork: () => exactFeeder(ops, config, weights, maxContext, copyOfExact(cache, ops, config)),
    dispose: () => dropExact(cache, ops),
  };
}
