/** Checks that every backend's session makes before it works, so that both refuse the same input in the same words. */

import type { LlamaConfig } from "../config.ts";
import { GureumError } from "../errors.ts";
import { checkIds } from "../tensor.ts";

/**
 * Checks ids about to be fed after `length` others.
 * @throws GureumError "range" for none or for an id outside the vocabulary, "context" where they do not fit
 */
export function checkFeed(config: LlamaConfig, length: number, maxContext: number, ids: ArrayLike<number>): void {
  if (ids.length === 0)
    throw new GureumError("range", {
      where: "prompt",
      what: "no tokens",
      expected: "at least one",
      remedy: "give some text, or keep the beginning-of-text token",
    });
  checkIds(ids, config.vocabSize);
  if (length + ids.length > maxContext)
    throw new GureumError("context", {
      where: "context",
      what: "too many tokens",
      expected: `at most ${maxContext}`,
      got: `${length + ids.length}`,
      remedy: "shorten the text or start a new conversation",
    });
}

/** @throws GureumError "usage" where nothing was fed since the last truncate */
export function checkPending(hasPending: boolean): void {
  if (!hasPending)
    throw new GureumError("usage", { where: "decode", what: "no logits to sample from", remedy: "call prefill or forward first" });
}
