/**
 * Speculation: guesses of the next ids are fed in one pass with the id before them, and the model draws at each of their positions what it
 * draws. Guesses are kept up to the first that is not what was drawn; that one is replaced by the draw. Since a draw depends on the logits, the
 * seed and the position alone, what comes out is what one by one gives, as far as the logits are the same (Model.sameBitsRows), for random
 * sampling as for greedy. Guesses decide how fast, never what.
 * Source: Leviathan et al. 2023, arXiv 2211.17192, with the draw itself in place of their acceptance rule.
 */
import { shown, wrongType } from "../arguments.ts";
import { GureumError } from "../errors.ts";
import type { Choose, SamplingOptions, Session, Token } from "../model/engine.ts";
import { type Drafter, type DraftModel, draftModel, promptLookup } from "./draft.ts";

/** From the text itself, or by a draft model with the same vocabulary; `tokens`: guesses in a pass. */
export type Speculation =
  | { readonly from: "prompt"; readonly tokens?: number /** Most ids that are looked up; default 3. */; readonly ngram?: number }
  | { readonly from: "draft"; readonly draft: DraftModel; readonly tokens?: number };

/** How it went: drafted = accepted + rejected. */
export interface SpeculationCounts {
  /** Passes of the model behind the prompt's. */
  readonly passes: number;
  /** Tokens that were guessed. */
  readonly drafted: number;
  /** Of them those that the model would have drawn. */
  readonly accepted: number;
  /** Of them the others. */
  readonly rejected: number;
  /** Whether every pass gave the bits of one by one, so that the text is the same for sure; else it may part at a near tie. */
  readonly sameBits: boolean;
}

/** With the id before them 7 rows: as many as WebGPU's plain kernels feed with the bits of one row. */
const DEFAULT_TOKENS = { prompt: 6, draft: 4 } as const;
const MOST_TOKENS = 64;

/** @throws GureumError "usage" naming what is wrong */
export function checkSpeculation(speculate: Speculation): void {
  if (typeof speculate !== "object" || speculate === null) throw wrongType("speculate", "the option", "an object", speculate);
  const { from, tokens } = speculate;
  const wrong = (what: string, expected: string, got: unknown): GureumError =>
    new GureumError("usage", { where: "speculate", what, expected, got: shown(got) });
  if (from !== "prompt" && from !== "draft") throw wrong("from", '"prompt" or "draft"', from);
  if (tokens !== undefined && !(Number.isInteger(tokens) && tokens >= 1 && tokens <= MOST_TOKENS))
    throw wrong("tokens", `a whole number from 1 to ${MOST_TOKENS}`, tokens);
  if (from === "draft" && typeof speculate.draft?.createSession !== "function") throw wrong("draft", "a model", speculate.draft);
  if (
    from === "prompt" &&
    speculate.ngram !== undefined &&
    !(Number.isInteger(speculate.ngram) && speculate.ngram >= 1 && speculate.ngram <= 16)
  )
    throw wrong("ngram", "a whole number from 1 to 16", speculate.ngram);
}

export interface Speculator {
  /** The next token; undefined once the context is full. `most`: tokens that are still wanted, this one among them. */
  next(most: number): Promise<Token | undefined>;
  counts(): SpeculationCounts;
  dispose(): void;
}

/**
 * Continues a session whose logits wait to be sampled.
 * @throws GureumError as draftModel
 */
export function makeSpeculator(session: Session, speculate: Speculation, sampling: SamplingOptions, choose: Choose): Speculator {
  const { config, sameBitsRows } = session.model;
  const { tokens = DEFAULT_TOKENS[speculate.from] } = speculate;
  const drafter: Drafter =
    speculate.from === "draft"
      ? draftModel(speculate.draft, config.vocabSize, sampling, session.maxContext)
      : promptLookup(speculate.ngram ?? 3);
  /** All that is known: what the session was fed, and what was drawn. The last one has not been fed. */
  const ids = [...session.ids];
  const queue: Token[] = [];
  let isFirst = true;
  let sameBits = true;
  let [passes, drafted, accepted] = [0, 0, 0];

  const take = (logits: Float32Array): Token => {
    const token = choose(logits, ids);
    ids.push(token.id);
    queue.push(token);
    return token;
  };
  const pass = async (most: number): Promise<void> => {
    const fed = ids.length - 1;
    const room = Math.min(tokens, most - 1, session.maxContext - ids.length - 1);
    const guesses = room > 0 ? await drafter.propose(ids, room) : [];
    const { logits } = await session.forward([ids[fed]!, ...guesses], { logits: "all" });
    const V = config.vocabSize;
    let kept = 0;
    while (take(logits.subarray(kept * V, (kept + 1) * V)).id === guesses[kept]) kept++;
    if (kept < guesses.length) session.truncate(fed + 1 + kept);
    passes++;
    drafted += guesses.length;
    accepted += kept;
    sameBits &&= 1 + guesses.length <= sameBitsRows;
  };

  return {
    async next(most) {
      const waiting = queue.shift();
      if (waiting) return waiting;
      if (ids.length >= session.maxContext) return undefined;
      if (isFirst) take(await session.logits());
      else await pass(most);
      isFirst = false;
      return queue.shift();
    },
    counts: () => ({ passes, drafted, accepted, rejected: drafted - accepted, sameBits }),
    dispose: drafter.dispose,
  };
}
