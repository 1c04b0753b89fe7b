/**
 * What a backend is to the code that generates with it. core/model/llama.ts and gpu/model/llama.ts both give a `Model`;
 * core/generate drives it, so sampling options, stopping and streaming exist once.
 */
import type { LlamaConfig } from "../config.ts";

/** Named values of a forward pass, in the order they arise (docs/notation.md lists names and shapes). */
export interface TraceValue {
  /** The step's name. */
  readonly name: string;
  /** Sizes, the slowest first. */
  readonly shape: readonly number[];
  /** Row by row. */
  readonly data: Float32Array;
}

/** Called with each tapped value; a returned array of the same length takes its place (steering). */
export type TapHook = (value: TraceValue) => Float32Array | undefined;

/** What a forward pass is to give. */
export interface ForwardOptions {
  /** Which positions' logits to compute; "last" by default. */
  readonly logits?: "last" | "all";
  /** Names of tap points to hand back, `*` matching within a name: "layers.*.residual". */
  readonly trace?: readonly string[];
  /** Hooks by name or pattern, as in `trace`. */
  readonly steer?: Readonly<Record<string, TapHook>>;
  /** Awaited after each part that is fed, with the tokens fed so far: once, at the end, where `trace` or `steer` watches the pass. */
  readonly onProgress?: (tokensDone: number) => void | Promise<void>;
}

/** What a forward pass gave. */
export interface ForwardResult {
  /** [T, V] with `logits: "all"`, else [1, V] of the last position; row-major */
  readonly logits: Float32Array;
  /** Values that were asked for, by name. */
  readonly trace: ReadonlyMap<string, TraceValue>;
}

/** docs/sampling.md has the steps, in this order: penalty, temperature, top-k, top-p, min-p, draw. Greedy where `temperature` is 0. */
export interface SamplingOptions {
  /** τ: a token's weight is exp((logit − largest logit) / τ), 0.0001 to 10,000; 0: always the likeliest token, the lowest id among equals. */
  readonly temperature: number;
  /** Draw among the K likeliest; 0: off. */
  readonly topK: number;
  /** Draw among the fewest likeliest whose weights reach this share of all that top-k leaves; 1: off. */
  readonly topP: number;
  /** Draw among those of at least this share of the likeliest's weight; 0: off. */
  readonly minP: number;
  /** r: logits of ids that occurred are times f32(1/r) where above 0, times f32(r) elsewhere; 1: off. */
  readonly repetitionPenalty: number;
  /** u64: a draw depends on it, the position and the logits alone. */
  readonly seed: bigint;
}

/** Tokens of one batch. */
export interface DecodedBatch {
  /** The new tokens. */
  readonly ids: readonly number[];
  /** Natural log of each id's probability under the unmodified softmax of the logits. */
  readonly logprobs: readonly number[];
}

/** A token and what the model's own softmax, before any hook or option, says of it and of the likeliest. */
export interface Token {
  /** The token. */
  readonly id: number;
  /** Natural log of its share of softmax(logits). */
  readonly logprob: number;
  /** The likeliest of its place, where they were asked for. */
  readonly top?: readonly { readonly id: number; readonly logprob: number }[];
}

/** Draws on the host: the token at position `ids.length`, from the logits that follow `ids`. */
export type Choose = (logits: Float32Array, ids: readonly number[]) => Token;

/** One sequence: its ids and their cached keys and values. */
export interface Session {
  /** Whose session it is. */
  readonly model: Model;
  /** Ids fed or sampled so far. */
  readonly ids: readonly number[];
  /** Positions there is room for. */
  readonly maxContext: number;
  /**
   * Feeds `ids` after those already there.
   * @throws GureumError "range" for no id or one outside the vocabulary, "context" where they do not fit, "non-finite"
   * for logits that are not finite, where nothing is traced or steered.
   */
  forward(ids: ArrayLike<number>, options?: ForwardOptions): Promise<ForwardResult>;
  /**
   * Feeds `ids` and keeps the logits of the last position inside the backend, for `decode`. `onProgress` is awaited
   * after each chunk; what it throws ends the feeding, with the ids fed so far kept.
   * @throws GureumError "range", "context" as `forward`
   */
  prefill(ids: ArrayLike<number>, onProgress?: (tokensDone: number) => void | Promise<void>): Promise<void>;
  /**
   * Samples up to `count` ids one after the other, each from the logits that follow its predecessor. `prefill` comes
   * first. Fewer come back only where the context is full, or the next would throw. The log-probability of an id drawn
   * from logits that are not finite is NaN. @throws GureumError "non-finite" for keys or values that the cache's dtype
   * does not hold
   */
  decode(sampling: SamplingOptions, count: number): Promise<DecodedBatch>;
  /**
   * The logits [V] that wait to be sampled: a copy, and on a GPU a wait for it.
   * @throws GureumError "usage" where none do
   */
  logits(): Promise<Float32Array>;
  /**
   * Forgets every id from `length` on; `prefill` or `forward` must follow before `decode`.
   * @throws GureumError "usage" for no whole number, "range" for more ids than there are
   */
  truncate(length: number): void;
  /**
   * A session that holds what this one does, and goes on apart from it: one copy of the cache, whatever was computed for it. Of the same
   * `maxContext`, and its own to dispose.
   * @throws GureumError "usage" while another call runs, "out-of-memory"
   */
  fork(): Promise<Session>;
  /** Frees what it holds; nothing may be called afterwards. */
  dispose(): void;
}

/** What a sequence of a batch is to do: draw with these options, or by `choose`, which then sees the logits of every token. */
export interface SlotWork {
  /** Which sequence. */
  readonly slot: number;
  /** How its tokens are drawn. */
  readonly sampling: SamplingOptions;
  /** Draws on the host instead. */
  readonly choose?: Choose;
}

/** What a sequence of a batch drew; `error`: why it draws no more. */
export interface SlotTokens {
  /** Those of this step, in their order. */
  readonly tokens: readonly Token[];
  /** Why it draws no more. */
  readonly error?: unknown;
}

/**
 * Sequences of different lengths that are computed together, each in a slot of its own: a step feeds one id of each, and reads every weight once.
 * Sequences do not see each other: one that fails, ends or is cleared changes nothing for the others.
 */
export interface Batch {
  /** Whose batch it is. */
  readonly model: Model;
  /** Sequences there is room for. */
  readonly slots: number;
  /** Positions that a slot has room for. */
  readonly maxContext: number;
  /** Ids fed to a slot or drawn in it so far. */
  ids(slot: number): readonly number[];
  /**
   * Begins a sequence in an empty slot: feeds `ids`, and keeps the logits of the last for `decode`. Where it fails the slot is empty again.
   * @param maxContext positions of this sequence, at most the batch's; `dynamic` RoPE scaling depends on it
   * @throws GureumError as Session.prefill
   */
  prefill(
    slot: number,
    ids: ArrayLike<number>,
    maxContext?: number,
    onProgress?: (tokensDone: number) => void | Promise<void>,
  ): Promise<void>;
  /**
   * Draws up to `count` tokens in each of these slots, one after the other; fewer where the sequence is full, or ends in an error.
   * @throws GureumError what stops all of them: "device-lost", "out-of-memory"
   */
  decode(work: readonly SlotWork[], count: number): Promise<readonly SlotTokens[]>;
  /** Empties a slot. */
  clear(slot: number): void;
  /** Frees what it holds; nothing may be called afterwards. */
  dispose(): void;
}

/** How logits become an id and its probability. */
export interface Sampler {
  /** Logits from outside as this arithmetic takes them; absent where it takes any that are finite, and −Infinity. */
  admit?(logits: Float32Array): Float32Array;
  /** The id that this backend draws from logits at a position. */
  sample(logits: Float32Array, options: SamplingOptions, seen: Iterable<number>, position: number): number;
  /** Natural log of the id's share of softmax(logits). */
  logProbability(logits: Float32Array, id: number): number;
  /** The n likeliest ids with the natural log of their shares, the likeliest first. */
  topLogProbabilities(logits: Float32Array, n: number): { id: number; logprob: number }[];
}

/** A loaded model. */
export interface Model {
  /** Its sizes. */
  readonly config: LlamaConfig;
  /** Where it computes. */
  readonly backend: "cpu" | "webgpu";
  /** Absent: core/sample/sampler.ts. The arithmetic exact has its own, of integers. */
  readonly sampler?: Sampler;
  /**
   * The most rows that a pass of `forward` over several may have and still give each the bits that decoding one by one gives: what
   * speculation can promise (docs/library.md).
   */
  readonly sameBitsRows: number;
  /** Tokens worth sampling in one `decode`: 1 where each token is as far away as the last. */
  readonly decodeBatch: number;
  /** A session with room for so many positions. */
  createSession(maxContext: number): Session;
  /** Room for so many sequences of so many positions. @throws GureumError "limit" where the slots' caches do not fit */
  createBatch(slots: number, maxContext: number): Batch;
  /** Sequences of so many positions that are worth computing together here, and fit. */
  sequencesAtOnce(maxContext: number): number;
  /** Frees the weights; its sessions end with it. */
  dispose(): void;
}
