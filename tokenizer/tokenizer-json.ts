/**
 * The parts of a tokenizer that comes from Hugging Face's `tokenizer.json`: BPE and unigram models, with the pipelines of Llama, Mistral,
 * Qwen, DeepSeek and SmolLM. `truncation` and `padding` are ignored: they are a training script's leftovers, not the model's.
 * Source: huggingface/tokenizers `src/tokenizer/serialization.rs`.
 */
import { GureumError, within } from "../core/errors.ts";
import { parsePlainJson } from "../core/json.ts";
import { asArray, asFlag, asId, asObject, asString } from "./json.ts";
import { parseBpe } from "./json-bpe.ts";
import { parseDecoders } from "./json-decoder.ts";
import { checkPiece } from "./json-model.ts";
import { parseNormalizers } from "./json-normalizer.ts";
import { parsePostProcessors, type TemplateToken } from "./json-post-processor.ts";
import { parsePreTokenizers } from "./json-pre-tokenizer.ts";
import { parseUnigram } from "./json-unigram.ts";
import type { PieceRole, TokenizerParts } from "./parts.ts";
import { type AddedToken, giveIds, renumberedNote } from "./special-tokens.ts";

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
 * @throws GureumError "format" for a broken file, "unsupported" (by name) for a stage or model that is not done here.
 */
export function tokenizerJsonParts(bytes: Uint8Array): TokenizerParts {
  const file = asObject(parsePlainJson(bytes), "");
  if (file.model === undefined && file.config !== undefined)
    throw new GureumError("unsupported", {
      what: "a vocabulary in Mistral's tekken format is not supported",
      expected: "a tokenizer.json",
      remedy: "take the one that Hugging Face's form of the model has",
    });
  if (file.model === undefined)
    throw new GureumError("format", {
      what: "no tokenizer, but other JSON",
      expected: "a model",
      got: `the keys ${Object.keys(file).slice(0, 5).join(", ") || "of an empty object"}`,
      remedy: "download the file again",
    });
  const config = asObject(file.model, "model");
  const listed = asArray(file.added_tokens ?? [], "added_tokens").map((value, i) =>
    within("added_tokens", () => parseAddedToken(value, asId(asObject(value, `${i}`).id, `${i} > id`), `${i}`)),
  );
  const special = new Set(listed.filter((token) => token.special).map((token) => token.content));
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
  const addedTokens = giveIds(listed, ids, model.vocab.size, []);
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
  // Where pieces are bytes every text has ids: the unknown token is one like any other.
  if (model.unkId !== null && !decoding.byteLevel) roles[model.unkId] = "unknown";
  const named = (token: TemplateToken | null, usual: string): number | null => {
    if (token === null) return special.has(usual) ? ids.get(usual)! : null;
    if (token.id >= size || pieces[token.id] === "")
      throw new GureumError("format", {
        where: "post_processor",
        what: `${JSON.stringify(token.name)} has an id outside the vocabulary`,
        got: `${token.id}`,
      });
    return token.id;
  };
  return {
    pieces,
    roles,
    ids,
    modelSize: model.vocab.size,
    addedTokens,
    notes: renumberedNote(
      "added_tokens",
      listed,
      addedTokens.map(({ id }) => id),
    ),
    bosId: named(around.before, "<s>"),
    eosId: named(around.after, "</s>"),
    unkId: model.unkId,
    padId: named(null, "<pad>"),
    addBos: around.before !== null,
    addEos: around.after !== null,
    unkSurface: " \u2047 ",
    leadingSpace: decoding.dropsLeadingSpace ? "dropOne" : "keep",
    pieceText: decoding.pieceText,
    normalize,
    segment: (normalized, atStart, out) => {
      for (const { text } of preTokenize({ text: normalized, first: atStart })) if (text !== "") model.segment(text, out);
    },
    byteLevel: decoding.byteLevel,
    decodeTokens: decoding.decodeTokens,
  };
}
