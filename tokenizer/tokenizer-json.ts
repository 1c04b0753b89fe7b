/**
 * The parts of a tokenizer that comes from Hugging Face's `tokenizer.json`: BPE and unigram models with the pipelines of
 * Llama and Mistral. `truncation` and `padding` are ignored: they are a training script's leftovers, not the model's.
 * Source: huggingface/tokenizers `src/tokenizer/serialization.rs`, `models/bpe/model.rs`, `models/unigram/model.rs`.
 */
import { GureumError, within } from "../core/errors.ts";
import { parseJson, plainJson } from "../core/json.ts";
import { encodeUtf8 } from "../core/utf8.ts";
import { applyMerges, createCharacterTable, createMergeTable, getCharacter, type SegmentText, setCharacter } from "./bpe.ts";
import { asArray, asFlag, asId, asObject, asString, type JsonObject, wrongType } from "./json.ts";
import { parseDecoders, parseNormalizers, parsePostProcessors, parsePreTokenizers } from "./json-pipeline.ts";
import type { PieceRole, TokenizerParts } from "./parts.ts";
import type { AddedToken } from "./special-tokens.ts";
import { createTrie, insert } from "./trie.ts";
import { wellFormed } from "./unicode.ts";
import { viterbi } from "./unigram.ts";

const bytePiece = (byte: number): string => `<0x${byte.toString(16).toUpperCase().padStart(2, "0")}>`;

/** Ids of the byte pieces, -1 where one is missing. */
function byteIdsOf(vocab: ReadonlyMap<string, number>): Int32Array {
  return Int32Array.from({ length: 256 }, (_, byte) => vocab.get(bytePiece(byte)) ?? -1);
}

/** UTF-8 of a text as byte ids; null where one of them is missing. */
function bytesOf(text: string, byteIds: Int32Array): number[] | null {
  const ids = Array.from(encodeUtf8(text), (byte) => byteIds[byte]!);
  return ids.includes(-1) ? null : ids;
}

interface Model {
  readonly vocab: ReadonlyMap<string, number>;
  readonly segment: SegmentText;
  readonly unkId: number | null;
  readonly byteFallback: boolean;
}

function checkPiece(piece: string): string {
  if (wellFormed(piece) !== piece) throw new GureumError("format", { what: "a token is not Unicode text", got: JSON.stringify(piece) });
  return piece;
}

function parseMerge(value: unknown, rank: number): readonly [string, string] {
  const pair = typeof value === "string" ? value.split(" ") : value;
  if (!Array.isArray(pair) || pair.length !== 2 || typeof pair[0] !== "string" || typeof pair[1] !== "string")
    throw wrongType(`merges > ${rank}`, "two tokens", value);
  return [pair[0], pair[1]];
}

function parseBpe(model: JsonObject): Model {
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
  const table = createMergeTable(
    asArray(model.merges, "merges").map((value, rank) => {
      const [left, right] = parseMerge(value, rank);
      return [idOf(left, rank), idOf(right, rank), idOf(left + right, rank), rank] as const;
    }),
  );
  const unkToken = model.unk_token ?? null;
  const unkId = unkToken === null ? null : (vocab.get(asString(unkToken, "unk_token")) ?? null);
  if (unkToken !== null && unkId === null)
    throw new GureumError("format", { where: "unk_token", what: `${JSON.stringify(unkToken)} is not in the vocabulary` });
  const byteIds = byteIdsOf(vocab);

  const segment: SegmentText = (text, ids) => {
    if (ignoreMerges) {
      const whole = vocab.get(text);
      if (whole !== undefined) {
        ids.push(whole);
        return;
      }
    }
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

function parseUnigram(model: JsonObject, special: ReadonlySet<string>): Model {
  const entries = asArray(model.vocab, "vocab");
  const vocab = new Map<string, number>();
  const scores = new Float64Array(entries.length);
  const trie = createTrie();
  let minScore = Number.POSITIVE_INFINITY;
  for (const [id, entry] of entries.entries()) {
    const [piece, score] = asArray(entry, `vocab > ${id}`);
    const text = checkPiece(asString(piece, `vocab > ${id}`));
    if (typeof score !== "number" || !Number.isFinite(score)) throw wrongType(`vocab > ${id}`, "a finite score", score);
    scores[id] = score;
    minScore = Math.min(minScore, score);
    vocab.set(text, id);
    // tokenizers would match special tokens here; a user's text must not be able to spell one.
    if (!special.has(text)) insert(trie, text, id);
  }
  const unkId = model.unk_id === null || model.unk_id === undefined ? -1 : asId(model.unk_id, "unk_id");
  if (unkId >= entries.length)
    throw new GureumError("format", {
      where: "unk_id",
      what: "not in the vocabulary",
      expected: `below ${entries.length}`,
      got: `${unkId}`,
    });
  const byteFallback = asFlag(model.byte_fallback, false, "byte_fallback");
  const byteIds = byteIdsOf(vocab);
  const unigram = { trie, scores, minScore, unkId, float32: false };
  const segment: SegmentText = (text, ids) => {
    const best = viterbi(unigram, text);
    let start = 0;
    for (let i = 0; i < best.ids.length; i++) {
      let end = best.ends[i]!;
      if (best.ids[i] !== unkId) ids.push(best.ids[i]!);
      else {
        while (i + 1 < best.ids.length && best.ids[i + 1] === unkId) end = best.ends[++i]!;
        const run = text.slice(start, end);
        const known = special.has(run) ? undefined : vocab.get(run);
        const bytes = known === undefined && byteFallback ? bytesOf(run, byteIds) : null;
        if (bytes) for (const id of bytes) ids.push(id);
        else ids.push(known ?? unkId);
      }
      start = end;
    }
  };
  return { vocab, segment, unkId: unkId < 0 ? null : unkId, byteFallback };
}

/** One entry of `added_tokens` (or, without its id, of `added_tokens_decoder`). */
export function parseAddedToken(value: unknown, id: number, where: string): AddedToken {
  const token = asObject(value, where);
  const special = asFlag(token.special, false, "special");
  return {
    id,
    content: checkPiece(asString(token.content, `${where} > content`)),
    lstrip: asFlag(token.lstrip, false, "lstrip"),
    rstrip: asFlag(token.rstrip, false, "rstrip"),
    singleWord: asFlag(token.single_word, false, "single_word"),
    normalized: asFlag(token.normalized, !special, "normalized"),
    special,
  };
}

/**
 * Bytes of a `tokenizer.json` to tokenizer parts. BOS and EOS are what the post-processor puts around a text, else `<s>` and `</s>`.
 * @throws GureumError "format" for a broken file, "unsupported" (by name) for a stage or model outside the list above.
 */
export function tokenizerJsonParts(bytes: Uint8Array): TokenizerParts {
  const file = asObject(plainJson(parseJson(bytes)), "");
  const config = asObject(file.model, "model");
  const addedTokens = asArray(file.added_tokens ?? [], "added_tokens").map((value, i) =>
    within("added_tokens", () => parseAddedToken(value, asId(asObject(value, `${i}`).id, `${i} > id`), `${i}`)),
  );
  const special = new Set(addedTokens.filter((token) => token.special).map((token) => token.content));
  const type = config.type ?? (Array.isArray(config.vocab) ? "Unigram" : "BPE");
  if (type !== "BPE" && type !== "Unigram")
    throw new GureumError("unsupported", {
      where: "model",
      what: `a model of type ${JSON.stringify(type)} is not supported`,
      expected: "BPE or Unigram",
    });
  const model = within("model", () => (type === "BPE" ? parseBpe(config) : parseUnigram(config, special)));
  const normalize = within("normalizer", () => parseNormalizers(file.normalizer));
  const preTokenize = within("pre_tokenizer", () => parsePreTokenizers(file.pre_tokenizer));
  const decoding = within("decoder", () => parseDecoders(file.decoder));
  const around = within("post_processor", () => parsePostProcessors(file.post_processor));

  const ids = new Map(model.vocab);
  for (const { content, id } of addedTokens) {
    if ((ids.get(content) ?? id) !== id)
      throw new GureumError("format", {
        where: "added_tokens",
        what: `${JSON.stringify(content)} has two ids`,
        expected: `${ids.get(content)}`,
        got: `${id}`,
      });
    ids.set(content, id);
  }
  let size = 0;
  for (const id of ids.values()) size = Math.max(size, id + 1);
  const pieces = new Array<string>(size).fill("");
  for (const [piece, id] of ids) {
    if (pieces[id] !== "")
      throw new GureumError("format", {
        where: "vocab",
        what: `id ${id} is given twice`,
        got: `${JSON.stringify(pieces[id])} and ${JSON.stringify(piece)}`,
      });
    pieces[id] = piece;
  }
  const roles: PieceRole[] = pieces.map((piece) => (decoding.byteFallback && /^<0x[0-9A-F]{2}>$/.test(piece) ? "byte" : "text"));
  for (const token of addedTokens) if (token.special) roles[token.id] = "control";
  if (model.unkId !== null) roles[model.unkId] = "unknown";
  const named = (name: string | null, usual: string): number | null => {
    if (name === null) return special.has(usual) ? ids.get(usual)! : null;
    const id = ids.get(name);
    if (id === undefined)
      throw new GureumError("format", { where: "post_processor", what: `${JSON.stringify(name)} is not in the vocabulary` });
    return id;
  };
  return {
    pieces,
    roles,
    ids,
    addedTokens,
    bosId: named(around.before, "<s>"),
    eosId: named(around.after, "</s>"),
    unkId: model.unkId,
    padId: named(null, "<pad>"),
    addBos: around.before !== null,
    addEos: around.after !== null,
    unkSurface: " \u2047 ",
    leadingSpace: decoding.dropsLeadingSpace ? "dropOne" : "keep",
    normalize,
    segment: (normalized, atStart, out) => {
      for (const { text } of preTokenize({ text: normalized, first: atStart })) if (text !== "") model.segment(text, out);
    },
    decodeTokens: decoding.decodeTokens,
  };
}
