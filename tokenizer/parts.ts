/**
 * What a tokenizer is made of, whichever file it came from: tokenizer.ts drives these parts and knows neither format.
 */
import type { AddedToken } from "./special-tokens.ts";

/** What an id stands for when ids become text. */
export type PieceRole = "text" | "unknown" | "control" | "byte";

/** A tokenizer's parts. */
export interface TokenizerParts {
  /** Pieces by id; "" where an id is not used. */
  readonly pieces: readonly string[];
  /** By id. */
  readonly roles: readonly PieceRole[];
  /** By piece. */
  readonly ids: ReadonlyMap<string, number>;
  /** Pieces of a tokenizer.json's model: its added tokens are numbered from there; null: they have the ids that files state. */
  readonly modelSize: number | null;
  /** Tokens beside the pieces. */
  readonly addedTokens: readonly AddedToken[];
  /** What the files state and is read otherwise, a line each. */
  readonly notes: readonly string[];
  /** Of the token that begins a text. */
  readonly bosId: number | null;
  /** Of the token that ends a text. */
  readonly eosId: number | null;
  /** What stands for BOS and EOS around a text where that is not `bosId` and `eosId`: the post-processor's tokens, whatever the config names. */
  readonly firstId?: number | null;
  /** As `firstId`, behind the text. */
  readonly lastId?: number | null;
  /** Of the token for what has none. */
  readonly unkId: number | null;
  /** Of the token that fills a batch. */
  readonly padId: number | null;
  /** Whether the model's files ask for BOS before (EOS after) a text. */
  readonly addBos: boolean;
  /** As `addBos`, behind the text. */
  readonly addEos: boolean;
  /** What sentencepiece's decoder shows for the unknown id. */
  readonly unkSurface: string;
  /** Whether pieces are bytes written as characters (byte-level.ts); then the decoder of sentencepiece does not apply. */
  readonly byteLevel: boolean;
  /** A piece's text, where a file says it; else U+2581 is a space. */
  readonly pieceText?: ((piece: string) => string) | null;
  /** Which leading spaces sentencepiece's decoder takes off: none, the dummy prefix, or one of every piece before the first text. */
  readonly leadingSpace: "keep" | "dropOne" | "dropEach";
  /** A stretch of text without added tokens to what is segmented; `atStart`: it begins the text. */
  readonly normalize: (text: string, atStart: boolean) => string;
  /** Appends the ids of a normalized stretch; `atStart`: it begins the text. */
  readonly segment: (normalized: string, atStart: boolean, ids: number[]) => void;
  /** Hugging Face's decoder: tokens to text. */
  readonly decodeTokens: (tokens: string[]) => string;
}
