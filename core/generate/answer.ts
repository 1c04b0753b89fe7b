/** A text as it grows token by token: what of it may be shown, and what ends it. One way for one sequence and for many. */
import { GureumError } from "../errors.ts";
import type { Token } from "../model/engine.ts";
import { makeStopMatcher } from "./stop.ts";

/** Turns ids into text piece by piece; never half a character. */
export interface StreamDecoder {
  /** The text that these ids complete. */
  push(ids: ArrayLike<number>): string;
  /** What was held back. */
  flush(): string;
}

/** One token. The last event of a run may have no id: it carries text that was held back until then. */
export interface TokenEvent {
  /** The token; null for text that follows the last one. */
  readonly id: number | null;
  /** Text that this token completed; often empty where a character or stop string may still be under way. */
  readonly text: string;
  /** Natural logarithm of the token's probability under the model's own softmax, whatever the sampling options. */
  readonly logprob: number | null;
  /** The likeliest tokens of its place, where they were asked for. */
  readonly top?: readonly { readonly id: number; readonly logprob: number }[];
}

/**
 * "stop": an end-of-text id or a stop string; "length": maxNewTokens; "context": no room left; "aborted": the signal.
 */
export type FinishReason = "stop" | "length" | "context" | "aborted";

/** What ends an answer. */
export interface AnswerOptions {
  /** At most so many. */
  readonly maxNewTokens: number;
  /** Ids that end the text and are not part of it. */
  readonly stopIds: ReadonlySet<number>;
  /** Texts that end the text and are not part of it. */
  readonly stop: readonly string[];
  /** Ids to text. */
  readonly decoder: StreamDecoder;
}

export interface Answer {
  /** Tokens that may still come. */
  readonly left: number;
  /** Whether a stop id or a stop string has ended it. */
  readonly stopped: boolean;
  /** The event of a token; null for a stop id. @throws GureumError "non-finite" for a token drawn from logits that are not finite */
  take(token: Token): TokenEvent | null;
  /** Ends it for this reason, unless a stop string shows in what was held back. */
  end(reason: FinishReason): {
    readonly event: TokenEvent | null;
    readonly result: { text: string; ids: readonly number[]; finishReason: FinishReason };
  };
}

/** An answer to a prompt of so many tokens. */
export function makeAnswer(promptTokens: number, { maxNewTokens, stopIds, stop, decoder }: AnswerOptions): Answer {
  const stops = makeStopMatcher(stop);
  const ids: number[] = [];
  let text = "";
  let stopped = false;
  let cut = false;
  return {
    get left() {
      return maxNewTokens - ids.length;
    },
    get stopped() {
      return stopped;
    },
    take(token) {
      if (!Number.isFinite(token.logprob))
        throw new GureumError("non-finite", {
          where: "logits",
          what: `NaN or infinity at position ${promptTokens + ids.length - 1}`,
          expected: "finite numbers",
          remedy: "gureum diff names the first step that is wrong",
        });
      if (stopIds.has(token.id)) {
        stopped = true;
        return null;
      }
      ids.push(token.id);
      const shown = stops.push(decoder.push([token.id]));
      text += shown.text;
      cut = shown.stopped;
      stopped = cut;
      return { ...token, text: shown.text };
    },
    end(reason) {
      if (cut) return { event: null, result: { text, ids, finishReason: "stop" } };
      const last = stops.push(decoder.flush());
      const rest = last.text + (last.stopped ? "" : stops.flush());
      const event = rest === "" ? null : { id: null, text: rest, logprob: null };
      return { event, result: { text: text + rest, ids, finishReason: last.stopped ? "stop" : reason } };
    },
  };
}
