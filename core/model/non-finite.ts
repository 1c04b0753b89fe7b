/**
 * Logits that are NaN or infinite: noticed where a token would be drawn from them, and traced to the step that was
 * first.
 */
import type { LlamaConfig } from "../config.ts";
import { GureumError } from "../errors.ts";
import { ropeTables } from "../ops/rope.ts";
import { makeKvCache, reserve } from "./kv-cache.ts";
import { forwardHead, forwardLayers, makeActivations } from "./llama.ts";
import { referenceOps } from "./ops.ts";
import type { Taps } from "./trace.ts";
import type { LlamaWeights } from "./weights.ts";

export const allFinite = (values: Float32Array): boolean => values.every(Number.isFinite);

interface Found {
  readonly name: string;
  readonly position: number;
}

/**
 * Runs `ids` again from the start, a position at a time, up to the first tap point that is not finite; null where all
 * are.
 */
function firstNonFinite(config: LlamaConfig, weights: LlamaWeights, maxContext: number, ids: readonly number[]): Found | null {
  const tables = ropeTables(config, ids.length, maxContext);
  const cache = makeKvCache(ids.length);
  reserve(cache, referenceOps, config, ids.length);
  const activations = makeActivations(config, 1);
  const logits = new Float32Array(config.vocabSize);
  let found: Found | null = null;
  const taps: Taps = {
    values: new Map(),
    wants: (name) => !name.endsWith("attentionWeights"),
    steers: () => false,
    visit(name, _shape, data) {
      if (!allFinite(data)) found ??= { name, position: cache.length };
    },
  };
  for (const id of ids) {
    forwardLayers(referenceOps, config, weights, [{ cache, tables, rows: 1 }], activations, [id], taps);
    if (found) return found;
  }
  forwardHead(referenceOps, config, weights, activations, 1, 1, logits, taps);
  return found && { name: (found as Found).name, position: ids.length - 1 };
}

/** What to throw where the logits after `ids` are not finite. */
export function nonFiniteLogits(config: LlamaConfig, weights: LlamaWeights, maxContext: number, ids: readonly number[]): GureumError {
  const found = firstNonFinite(config, weights, maxContext, ids);
  return new GureumError("non-finite", {
    where: "logits",
    what: found ? `NaN or infinity, first in ${found.name} at position ${found.position}` : "NaN or infinity",
    expected: "finite numbers",
    remedy: "the checkpoint is damaged or overflows: download it again, or take another release",
  });
}
