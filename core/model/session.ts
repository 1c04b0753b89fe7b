/** Checks that every backend's session makes before it works, so that both refuse the same input in the same words. */

import { checkCallback, checkIdList, checkOptionsObject, type OptionNames, shown, wrongType } from "../arguments.ts";
import type { LlamaConfig } from "../config.ts";
import { GureumError } from "../errors.ts";
import { checkSampling } from "../sample/sampler.ts";
import { checkIds } from "../tensor.ts";
import type { ForwardOptions, Session } from "./engine.ts";
import { makeGuard } from "./guard.ts";

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

/** Calls that changed what a session holds, by session. */
const changes = new WeakMap<Session, { count: number }>();

/**
 * A session as one holds it for a while: its calls throw where somebody else fed or cut it since the one before.
 * @throws GureumError "usage" from its calls
 */
export function holdSession(session: Session, where: string): Session {
  const changed = changes.get(session);
  if (!changed) return session;
  let known = changed.count;
  const check = (): void => {
    if (changed.count === known) return;
    throw new GureumError("usage", {
      where,
      what: "the session was fed or cut meanwhile",
      remedy: "leave it alone until the answer has ended, or use another session",
    });
  };
  const mine = async <T>(body: () => Promise<T>): Promise<T> => {
    check();
    known++;
    try {
      return await body();
    } catch (error) {
      known = changed.count; // one that was refused changed nothing
      throw error;
    }
  };
  return {
    ...session,
    get ids() {
      return session.ids;
    },
    forward: (ids, options) => mine(() => session.forward(ids, options)),
    prefill: (ids, onProgress) => mine(() => session.prefill(ids, onProgress)),
    decode: (sampling, count) => mine(() => session.decode(sampling, count)),
    async logits() {
      check();
      return session.logits();
    },
    truncate(length) {
      check();
      session.truncate(length);
      known++;
    },
  };
}

/**
 * A backend's session behind the checks that all share: one call at a time, none after `dispose`, sizes that are sizes. Every `Model`
 * hands out its sessions so.
 * @param open what is not disposed of yet: this session, and what is forked from it
 */
export function guardSession(session: Session, open: Set<{ dispose(): void }> = new Set()): Session {
  const { enter, alone, dispose } = makeGuard(
    "session",
    () => open.delete(guarded),
    () => session.dispose(),
  );
  const changed = { count: 0 };
  /** A call that changes what the session holds. */
  const changing = <T>(what: string, body: () => Promise<T>): Promise<T> =>
    alone(what, () => {
      changed.count++;
      return body();
    });
  const guarded: Session = {
    model: session.model,
    maxContext: session.maxContext,
    get ids() {
      return session.ids;
    },
    forward: (ids, options) =>
      changing("forward", async () => {
        checkIdList("forward", "ids", ids);
        checkOptionsObject("forward", options, forwardOptionNames);
        checkCallback("forward", "onProgress", options?.onProgress);
        const { logits } = options ?? {};
        if (logits !== undefined && logits !== "last" && logits !== "all") throw wrongType("forward", "logits", '"last" or "all"', logits);
        return session.forward(ids, options);
      }),
    prefill: (ids, onProgress) =>
      changing("prefill", async () => {
        checkIdList("prefill", "ids", ids);
        checkCallback("prefill", "onProgress", onProgress);
        return session.prefill(ids, onProgress);
      }),
    decode: (sampling, count) =>
      changing("decode", async () => {
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
      changed.count++;
      session.truncate(length);
    },
    fork: () => alone("fork", async () => guardSession(await session.fork(), open)),
    dispose,
  };
  changes.set(guarded, changed);
  open.add(guarded);
  return guarded;
}
