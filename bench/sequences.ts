/**
 * Many sequences at once: so many prompts in the cache, then new tokens of all of them together, greedy, whatever ends a text. Time is that of decoding;
 * feeding the prompts is what `prefill` measures.
 */
import type { Batch, Model } from "../core/model/engine.ts";
import { greedy } from "../core/sample/sampler.ts";

export interface SequencesSelection {
  /** Sequences together. */
  readonly count: number;
  /** Ids in the cache of each when decoding starts. */
  readonly depth: number;
  readonly newTokens: number;
}

/** A batch with `count` prompts of `depth` ids, the same but for their last id, so that what they share is fed once. @throws GureumError "limit" where they do not fit */
export async function fillBatch(model: Model, { count, depth, newTokens }: SequencesSelection): Promise<Batch> {
  const length = Math.max(1, depth);
  const batch = model.createBatch(count, length + newTokens + 1);
  for (let slot = 0; slot < count; slot++)
    await batch.prefill(
      slot,
      Array.from({ length }, (_, i) => (3 + (i === length - 1 ? slot * 31 : 0) + i * 17) % model.config.vocabSize),
    );
  return batch;
}

/** One token of each, so that what follows is steps alone. */
export const drawAll = (batch: Batch, tokens: number): ReturnType<Batch["decode"]> =>
  batch.decode(
    Array.from({ length: batch.slots }, (_, slot) => ({ slot, sampling: greedy })),
    tokens,
  );
