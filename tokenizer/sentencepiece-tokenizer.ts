/**
 * The parts of a tokenizer that comes from a `tokenizer.model`. Control and unknown pieces are its special tokens, as
 * Hugging Face's converter has it, so that rendered templates can be read; its Hugging Face decoder is the legacy Llama chain.
 * Source for the latter: transformers `convert_slow_tokenizer.py` (`LlamaConverter`, legacy=True).
 */
import { within } from "../core/errors.ts";
import { encodeUtf8 } from "../core/utf8.ts";
import type { SegmentText } from "./bpe.ts";
import { byteFallbackDecoder, byteOfPiece, fuseDecoder, replaceDecoder, stripDecoder } from "./decoding.ts";
import { createNormalizer, spaceSymbol } from "./normalizer.ts";
import type { PieceRole, TokenizerParts } from "./parts.ts";
import { createSentencePieceBpe, pushBytes } from "./sentencepiece-bpe.ts";
import { type PieceType, parseSentencePieceModel, type SentencePieceModel } from "./sentencepiece-model.ts";
import type { AddedToken } from "./special-tokens.ts";
import { createTrie, insert } from "./trie.ts";
import { viterbi } from "./unigram.ts";

const roles: Record<PieceType, PieceRole> = {
  normal: "text",
  userDefined: "text",
  unused: "text",
  unknown: "unknown",
  control: "control",
  byte: "byte",
};

/** The smallest positive normal float32: sentencepiece starts its search for the highest score there. */
const fltMin = 2 ** -126;

/** sentencepiece's unigram model; a user-defined piece scores (bytes · highest score − 0.1), so that it is always taken. */
export function createSentencePieceUnigram(model: SentencePieceModel, unkId: number, byteIds: Int32Array | null): SegmentText {
  const trie = createTrie();
  const scores = new Float64Array(model.pieces.length);
  let minScore = 3.4028234663852886e38;
  let maxScore = fltMin;
  for (const { type, score } of model.pieces)
    if (type === "normal") {
      minScore = Math.min(minScore, score);
      maxScore = Math.max(maxScore, score);
    }
  for (const [id, { piece, score, type }] of model.pieces.entries()) {
    if (type !== "normal" && type !== "userDefined") continue;
    insert(trie, piece, id);
    scores[id] = type === "userDefined" ? Math.fround(encodeUtf8(piece).length * maxScore) - 0.1 : score;
  }
  const unigram = { trie, scores, minScore, unkId, float32: true };
  return (text, ids) => {
    const best = viterbi(unigram, text);
    let start = 0;
    let afterUnknown = false;
    for (let i = 0; i < best.ids.length; i++) {
      const id = best.ids[i]!;
      if (id !== unkId) ids.push(id);
      else if (!pushBytes(text.codePointAt(start)!, byteIds, ids) && !afterUnknown) ids.push(id);
      afterUnknown = id === unkId;
      start = best.ends[i]!;
    }
  };
}

/**
 * Bytes of a `tokenizer.model` to tokenizer parts. `legacy` as in tokenizer_config.json: whether every stretch between special
 * tokens gets the dummy prefix, or only one that begins the text.
 * @throws GureumError as `parseSentencePieceModel`, and "format" for a broken charsmap.
 */
export function sentencePieceParts(bytes: Uint8Array, legacy = true): TokenizerParts {
  const model = parseSentencePieceModel(bytes);
  const { pieces } = model;
  const ids = new Map<string, number>();
  const byteIds = model.byteFallback ? new Int32Array(256) : null;
  const addedTokens: AddedToken[] = [];
  const userDefined = createTrie();
  let unkId = 0;
  // Reserved pieces are looked up first, so they are entered last.
  for (const [id, { piece, type }] of pieces.entries()) if (roles[type] === "text") ids.set(piece, id);
  for (const [id, { piece, type }] of pieces.entries()) {
    if (roles[type] !== "text") ids.set(piece, id);
    if (type === "unknown") unkId = id;
    if (type === "byte" && byteIds) byteIds[byteOfPiece(piece)] = id;
    if (type === "userDefined") insert(userDefined, piece, id);
    if (type === "unknown" || type === "control")
      addedTokens.push({ id, content: piece, lstrip: false, rstrip: false, singleWord: false, normalized: false, special: true });
  }
  const control = (name: string): number | null => {
    const id = ids.get(name);
    return id !== undefined && pieces[id]!.type === "control" ? id : null;
  };
  const segment =
    model.modelType === "unigram"
      ? createSentencePieceUnigram(model, unkId, byteIds)
      : createSentencePieceBpe({
          pieces: pieces.map((piece) => piece.piece),
          scores: pieces.map((piece) => piece.score),
          mergeable: (id) => roles[pieces[id]!.type] === "text",
          userDefined: (id) => pieces[id]!.type === "userDefined",
          unused: (id) => pieces[id]!.type === "unused",
          unkId,
          byteIds,
        });
  const symbols = userDefined.nodes > 1 ? userDefined : null;
  const normalize = within("normalizer_spec", () => createNormalizer(model, symbols));
  const normalizeInside = createNormalizer({ ...model, addDummyPrefix: false }, symbols);
  const strip = stripDecoder(" ", model.addDummyPrefix ? 1 : 0, 0);
  const spaces = replaceDecoder(spaceSymbol, " ");
  const bosId = control(model.bosPiece);
  return {
    pieces: pieces.map((piece) => piece.piece),
    roles: pieces.map((piece) => roles[piece.type]),
    ids,
    modelSize: null,
    addedTokens,
    notes: [],
    bosId,
    eosId: control(model.eosPiece),
    unkId,
    padId: control(model.padPiece),
    addBos: bosId !== null,
    addEos: false,
    unkSurface: model.unkSurface,
    byteLevel: false,
    leadingSpace: model.removeExtraWhitespaces ? "dropEach" : model.addDummyPrefix ? "dropOne" : "keep",
    normalize: (text, atStart) => (atStart || legacy ? normalize : normalizeInside)(text),
    segment: (normalized, _atStart, out) => segment(normalized, out),
    decodeTokens: (tokens) => strip(fuseDecoder(byteFallbackDecoder(spaces(tokens)))).join(""),
  };
}
