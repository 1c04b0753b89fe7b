/** What the models of a tokenizer.json have in common: a vocabulary, and words to ids. */
import { GureumError } from "../core/errors.ts";
import { encodeUtf8 } from "../core/utf8.ts";
import type { SegmentText } from "./bpe.ts";
import { wellFormed } from "./unicode.ts";

export interface JsonModel {
  readonly vocab: ReadonlyMap<string, number>;
  /** A word to ids. */
  readonly segment: SegmentText;
  readonly unkId: number | null;
  readonly byteFallback: boolean;
}

/** UTF-16 units; the longest token of a published vocabulary has a few hundred. Texts grow by as much as one id can say. */
const maxPieceLength = 8192;

/** @throws GureumError "format" for a lone surrogate, or a token of more than 8,192 characters. */
export function checkPiece(piece: string): string {
  if (piece.length > maxPieceLength)
    throw new GureumError("format", {
      what: "a token is too long",
      expected: `at most ${maxPieceLength} characters`,
      got: `${piece.length}`,
    });
  if (wellFormed(piece) !== piece) throw new GureumError("format", { what: "a token is not Unicode text", got: JSON.stringify(piece) });
  return piece;
}

const bytePiece = (byte: number): string => `<0x${byte.toString(16).toUpperCase().padStart(2, "0")}>`;

/** Ids of the byte pieces, -1 where one is missing. */
export function byteIdsOf(vocab: ReadonlyMap<string, number>): Int32Array {
  return Int32Array.from({ length: 256 }, (_, byte) => vocab.get(bytePiece(byte)) ?? -1);
}

/** UTF-8 of a text as byte ids; null where one of them is missing. */
export function bytesOf(text: string, byteIds: Int32Array): number[] | null {
  const ids = Array.from(encodeUtf8(text), (byte) => byteIds[byte]!);
  return ids.includes(-1) ? null : ids;
}
