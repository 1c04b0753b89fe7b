/**
 * The BPE model of a tokenizer.json: merges in the order of their list, over characters (of byte-level pieces: over bytes).
 * Source: huggingface/tokenizers `models/bpe/model.rs`. No dropout, no marks for the inside or the end of a word.
 */
import { GureumError } from "../core/errors.ts";
import { applyMerges, createCharacterTable, createMergeTable, getCharacter, type SegmentText, setCharacter } from "./bpe.ts";
import { asArray, asFlag, asId, asObject, asString, type JsonObject, wrongType } from "./json.ts";
import { byteIdsOf, bytesOf, checkPiece, type JsonModel } from "./json-model.ts";

/** Words whose ids are remembered: texts repeat theirs. */
const cachedWords = 20_000;
const cachedLength = 64;

function parseMerge(value: unknown, rank: number): readonly [string, string] {
  const pair = typeof value === "string" ? value.split(" ") : value;
  if (!Array.isArray(pair) || pair.length !== 2 || typeof pair[0] !== "string" || typeof pair[1] !== "string")
    throw wrongType(`merges > ${rank}`, "two tokens", value);
  return [pair[0], pair[1]];
}

/**
 * A word to ids. A character outside the vocabulary becomes its byte pieces, else the unknown token, else nothing.
 * @throws GureumError "format" for a broken model, "unsupported" (by name) for an option that is not done here.
 */
export function parseBpe(model: JsonObject): JsonModel {
  for (const name of ["continuing_subword_prefix", "end_of_word_suffix"])
    if (model[name] !== undefined && model[name] !== null && model[name] !== "")
      throw new GureumError("unsupported", { where: name, what: "BPE with marked subwords is not supported", expected: "null" });
  if (model.dropout !== undefined && model.dropout !== null && model.dropout !== 0)
    throw new GureumError("unsupported", { where: "dropout", what: "BPE dropout is not supported", expected: "null or 0" });
  const fuseUnk = asFlag(model.fuse_unk, false, "fuse_unk");
  const byteFallback = asFlag(model.byte_fallback, false, "byte_fallback");
  const ignoreMerges = asFlag(model.ignore_merges, false, "ignore_merges");

  const vocab = new Map<string, number>();
  const characters = createCharacterTable();
  for (const [piece, id] of Object.entries(asObject(model.vocab, "vocab"))) {
    vocab.set(checkPiece(piece), asId(id, `vocab > ${JSON.stringify(piece)}`));
    const point = piece.codePointAt(0);
    if (point !== undefined && piece.length === (point > 0xffff ? 2 : 1)) setCharacter(characters, point, vocab.get(piece)!);
  }
  const idOf = (piece: string, rank: number): number => {
    const id = vocab.get(piece);
    if (id === undefined)
      throw new GureumError("format", { where: `merges > ${rank}`, what: `${JSON.stringify(piece)} is not in the vocabulary` });
    return id;
  };
  // A list of strings may still have the first line of merges.txt.
  const table = createMergeTable(
    asArray(model.merges, "merges")
      .filter((value) => typeof value !== "string" || !value.startsWith("#version"))
      .map((value, rank) => {
        const [left, right] = parseMerge(value, rank);
        return [idOf(left, rank), idOf(right, rank), idOf(left + right, rank), rank] as const;
      }),
  );
  const unkToken = model.unk_token ?? null;
  const unkId = unkToken === null ? null : (vocab.get(asString(unkToken, "unk_token")) ?? null);
  if (unkToken !== null && unkId === null)
    throw new GureumError("format", { where: "unk_token", what: `${JSON.stringify(unkToken)} is not in the vocabulary` });
  const byteIds = byteIdsOf(vocab);

  const words = new Map<string, readonly number[]>();
  const segment: SegmentText = (text, ids) => {
    if (ignoreMerges) {
      const whole = vocab.get(text);
      if (whole !== undefined) {
        ids.push(whole);
        return;
      }
    }
    if (text.length > cachedLength) {
      merge(text, ids);
      return;
    }
    let known = words.get(text);
    if (known === undefined) {
      const found: number[] = [];
      merge(text, found);
      if (words.size >= cachedWords) words.clear();
      words.set(text, found);
      known = found;
    }
    for (const id of known) ids.push(id);
  };
  const merge: SegmentText = (text, ids) => {
    const symbols = new Int32Array(3 * text.length);
    let count = 0;
    // As in `merge_word`: an unknown character waits, to be fused with the next one, until a known character comes.
    let unknownWaits = false;
    const addUnknown = (): void => {
      if (unknownWaits) symbols[count++] = unkId!;
      unknownWaits = false;
    };
    for (const character of text) {
      const symbol = getCharacter(characters, character.codePointAt(0)!);
      if (symbol >= 0) {
        addUnknown();
        symbols[count++] = symbol;
        continue;
      }
      const bytes = byteFallback ? bytesOf(character, byteIds) : null;
      if (bytes) for (const id of bytes) symbols[count++] = id;
      else if (unkId !== null) {
        if (!fuseUnk) addUnknown();
        unknownWaits = true;
      }
    }
    addUnknown();
    count = applyMerges(table, symbols, new Int32Array(count), count, null);
    for (let i = 0; i < count; i++) ids.push(symbols[i]!);
  };
  return { vocab, segment, unkId, byteFallback };
}
