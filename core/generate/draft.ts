/** Where guesses of the next ids come from: what followed before in the text itself, or a smaller model. */
import { wrongType } from "../arguments.ts";
import { GureumError } from "../errors.ts";
import type { Model, SamplingOptions, Session } from "../model/engine.ts";
import { sharedPrefix } from "./prefix.ts";

/** A model that drafts; a loaded one will do. */
export type DraftModel = Pick<Model, "config" | "createSession">;

export interface Drafter {
  /** Up to `count` ids that may follow `ids`, which only ever grow. */
  propose(ids: readonly number[], count: number): Promise<readonly number[]>;
  dispose(): void;
}

/**
 * Prompt lookup: where the last n ids stood before, what followed them then; n from `longest` down to 1, the latest place first. A place so near
 * the end that the text runs out is followed by the guess itself. An index of every n-gram makes a guess cost n lookups whatever the length.
 * Source: Saxena 2023, "Prompt Lookup Decoding".
 */
export function promptLookup(longest: number): Drafter {
  /** By n: the index behind the latest occurrence of an n-gram that something follows. */
  const behind = Array.from({ length: longest }, () => new Map<string, number>());
  let indexed = 0;
  const gram = (ids: readonly number[], end: number, n: number): string => ids.slice(end - n, end).join(",");
  return {
    async propose(ids, count) {
      for (; indexed < ids.length - 1; indexed++)
        for (let n = 1; n <= Math.min(longest, indexed + 1); n++) behind[n - 1]!.set(gram(ids, indexed + 1, n), indexed + 1);
      for (let n = Math.min(longest, ids.length); n > 0; n--) {
        const from = behind[n - 1]!.get(gram(ids, ids.length, n));
        if (from === undefined) continue;
        const guess: number[] = [];
        for (let i = 0; i < count; i++) guess.push(ids[from + i] ?? guess[from + i - ids.length]!);
        return guess;
      }
      return [];
    },
    dispose() {},
  };
}

/**
 * A draft model decodes the guess, with the same options: at one position both draw with the same random number, so where the two agree
 * about the probabilities they mostly draw the same id.
 * @throws GureumError "usage" for a model of another vocabulary
 */
export function draftModel(draft: DraftModel, vocabSize: number, sampling: SamplingOptions, maxContext: number): Drafter {
  if (draft.config.vocabSize !== vocabSize)
    throw new GureumError("usage", {
      where: "speculate",
      what: "vocabulary of the draft model",
      expected: `${vocabSize} ids, as the model has`,
      got: `${draft.config.vocabSize}`,
      remedy: "take a draft model with the same tokenizer",
    });
  const session: Session = draft.createSession(maxContext);
  for (const name of ["prefill", "decode", "truncate", "dispose"] as const)
    if (typeof session?.[name] !== "function") throw wrongType("speculate", "the session of the draft model", "a session", session);
  return {
    async propose(ids, count) {
      const most = Math.min(count, session.maxContext - ids.length);
      if (most <= 0) return [];
      const kept = sharedPrefix(session.ids, ids);
      if (session.ids.length > 0) session.truncate(kept);
      await session.prefill(ids.slice(kept));
      return (await session.decode(sampling, most)).ids;
    },
    dispose: () => session.dispose(),
  };
}
