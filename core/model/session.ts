/** Checks that every backend's session makes before it works, so that both refuse the same input in the same words. */

import { checkCallback, checkIdList, checkOptionsObject, type OptionNames, shown } from "../arguments.ts";
import type { LlamaConfig } from "../config.ts";
import { GureumError } from "../errors.ts";
import { checkSampling } from "../sample/sampler.ts";
import { checkIds } from "../tensor.ts";
import type { ForwardOptions, Session } from "./engine.ts";

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
export function checkPending(hasPending: boolean, where: string = "decode"): void {
  if (!hasPending) throw new GureumError("usage", { where, what: "no logits to sample from", remedy: "call prefill or forward first" });
}

/** A size in whole positions. @throws GureumError "usage" */
export function checkPositions(where: string, what: string, value: number, least: number): number {
  if (!Number.isInteger(value) || value < least)
    throw new GureumError("usage", {
      where,
      what,
      expected: `a whole number from ${least}`,
      got: shown(value),
    });
  return value;
}

const forwardOptionNames: OptionNames<ForwardOptions> = { logits: true, trace: true, steer: true, onProgress: true };

/**
 * A backend's session behind the checks that all share: one call at a time, none after `dispose`, sizes that are sizes. Every `Model`
 * hands out its sessions so.
 * @param open what is not disposed of yet: this session, and what is forked from it
 */
export function guardSession(session: Session, open: Set<Session> = new Set()): Session {
  let running: string | null = null;
  let disposed = false;
  const enter = (what: string): void => {
    if (disposed) throw new GureumError("usage", { where: what, what: "the session was disposed", remedy: "create another" });
    if (running !== null)
      throw new GureumError("usage", {
        where: what,
        what: `${running} is still running on this session`,
        remedy: "await it first, or use another session",
      });
  };
  const alone = async <T>(what: string, body: () => Promise<T>): Promise<T> => {
    enter(what);
    running = what;
    try {
      return await body();
    } finally {
      running = null;
    }
  };
  const guarded: Session = {
    model: session.model,
    maxContext: session.maxContext,
    get ids() {
      return session.ids;
    },
    forward: (ids, options) =>
      alone("forward", async () => {
        checkIdList("forward", "ids", ids);
        checkOptionsObject("forward", options, forwardOptionNames);
        checkCallback("forward", "onProgress", options?.onProgress);
        return session.forward(ids, options);
      }),
    prefill: (ids, onProgress) =>
      alone("prefill", async () => {
        checkIdList("prefill", "ids", ids);
        checkCallback("prefill", "onProgress", onProgress);
        return session.prefill(ids, onProgress);
      }),
    decode: (sampling, count) =>
      alone("decode", async () => {
        if (sampling !== undefined) checkSampling(sampling);
        if (count !== undefined) checkPositions("decode", "count", count, 0);
        return session.decode(sampling, count);
      }),
    logits: () => alone("logits", () => session.logits()),
    truncate(length) {
      enter("truncate");
      const held = session.ids.length;
      if (checkPositions("truncate", "length", length, 0) > held)
        throw new GureumError("range", { where: "truncate", what: "length", expected: `at most ${held}, the ids held`, got: `${length}` });
      session.truncate(length);
    },
    fork: () => alone("fork", async () => guardSession(await session.fork(), open)),
    dispose() {
      if (disposed) return;
      disposed = true;
      session.dispose();
      open.delete(guarded);
    },
  };
  open.add(guarded);
  return guarded;
}
