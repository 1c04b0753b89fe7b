/**
 * Ids to text, both ways there are. sentencepiece's works id by id, so it streams; Hugging Face's is a chain of steps
 * over all tokens. Sources: google/sentencepiece `src/sentencepiece_processor.cc` (`Decode`); huggingface/tokenizers
 * `src/decoders/*.rs`.
 */
import { decodeUtf8, sequenceLength } from "../core/utf8.ts";
import { spaceSymbol } from "./normalizer.ts";
import type { TokenizerParts } from "./parts.ts";

/** Text as ids arrive: a character is shown when its last byte is there. */
export interface StreamingDecoder {
  /** The text these ids complete. */
  push(ids: ArrayLike<number>): string;
  /** What is left at the end: U+FFFD for every byte of a character that never came whole. */
  flush(): string;
}

const replacementCharacter = "\ufffd";

/** The byte a piece like `<0x0A>` stands for. */
export const byteOfPiece = (piece: string): number => Number.parseInt(piece.slice(3, 5), 16);

/**
 * sentencepiece's decoder. All outputs together are what one `push` of all ids and a `flush` give, however the ids are
 * cut.
 */
export function createStreamingDecoder(parts: TokenizerParts): StreamingDecoder {
  let pending: number[] = [];
  let atStart = true;
  let tookSpace = false;
  let anyText = false;

  /** Whole characters of the pending bytes; all of them where nothing can follow. */
  const takeBytes = (final: boolean): string => {
    const bytes = Uint8Array.from(pending);
    let text = "";
    let at = 0;
    while (at < bytes.length) {
      const length = sequenceLength(bytes, at, bytes.length);
      if (length < 0 && !final) break;
      text += length > 0 ? decodeUtf8(bytes.subarray(at, at + length)) : replacementCharacter;
      at += Math.max(length, 1);
    }
    pending = pending.slice(at);
    return text;
  };
  const textOf = (id: number): string => {
    if (tookSpace || anyText) atStart = false;
    tookSpace = false;
    const role = parts.roles[id];
    if (role === "control") return "";
    if (role === "unknown") return parts.unkSurface;
    const piece = parts.pieces[id]!;
    const text = parts.pieceText ? parts.pieceText(piece) : piece.replaceAll(spaceSymbol, " ");
    if (!atStart || parts.leadingSpace === "keep" || piece.startsWith(" ") || !text.startsWith(" ")) return text;
    tookSpace = parts.leadingSpace === "dropOne";
    return text.slice(1);
  };
  return {
    push(ids) {
      const texts: string[] = [];
      const emit = (text: string): void => {
        if (text === "") return;
        anyText = true;
        texts.push(text);
      };
      for (let i = 0; i < ids.length; i++) {
        const id = ids[i]!;
        if (parts.roles[id] === "byte") {
          pending.push(byteOfPiece(parts.pieces[id]!));
          emit(takeBytes(false));
        } else {
          if (pending.length > 0) emit(takeBytes(true));
          emit(textOf(id));
        }
      }
      return texts.join("");
    },
    flush() {
      const text = takeBytes(true);
      if (text !== "") anyText = true;
      return text;
    },
  };
}

/** A step of Hugging Face's chain: tokens to tokens. */
export type TokenDecoder = (tokens: string[]) => string[];

/** Each token's occurrences of `from` become `to`. */
export function replaceDecoder(from: string, to: string): TokenDecoder {
  return (tokens) => tokens.map((token) => token.replaceAll(from, to));
}

/** A run of byte tokens becomes its text, or one U+FFFD a byte where the run as a whole is not UTF-8. */
export const byteFallbackDecoder: TokenDecoder = (tokens) => {
  const decoded: string[] = [];
  let run: number[] = [];
  const endRun = (): void => {
    const bytes = Uint8Array.from(run);
    let at = 0;
    let length = 1;
    while (at < bytes.length && length > 0) {
      length = sequenceLength(bytes, at, bytes.length);
      at += length;
    }
    if (length > 0) decoded.push(decodeUtf8(bytes));
    else for (const _ of run) decoded.push(replacementCharacter);
    run = [];
  };
  for (const token of tokens) {
    if (/^<0x[0-9a-fA-F]{2}>$/.test(token)) run.push(byteOfPiece(token));
    else {
      if (run.length > 0) endRun();
      decoded.push(token);
    }
  }
  if (run.length > 0) endRun();
  return decoded;
};

/** All tokens become one. */
export const fuseDecoder: TokenDecoder = (tokens) => [tokens.join("")];

/** Takes up to `start` of `content` (one character) off the front of each token, up to `stop` off its end. */
export function stripDecoder(content: string, start: number, stop: number): TokenDecoder {
  return (tokens) =>
    tokens.map((token) => {
      let from = 0;
      while (from / content.length < start && token.startsWith(content, from)) from += content.length;
      let to = token.length;
      while ((token.length - to) / content.length < stop && to - content.length >= from && token.endsWith(content, to))
        to -= content.length;
      return token.slice(from, to);
    });
}

/** `replacement` becomes a space; in the first token it goes away where encoding may have put it there. */
export function metaspaceDecoder(replacement: string, dropInFirst: boolean): TokenDecoder {
  return (tokens) => tokens.map((token, i) => token.replaceAll(replacement, i === 0 && dropInFirst ? "" : " "));
}
