/**
 * The tokenizer as everything else sees it, and how to get one: from a model folder, or from the bytes of one file.
 * Two readings of a literal `<s>` exist and both are needed: in a user's text it is characters, in a text that a chat template
 * rendered it is the token. docs/formats/tokenizer.md has the formats and where the reference implementations differ.
 */
import { checkIdList, checkOptionsObject, checkText, type OptionNames, shown as shownValue } from "../core/arguments.ts";
import type { ByteStore } from "../core/checkpoint/byte-source.ts";
import { openFolder } from "../core/checkpoint/folder.ts";
import { orDownload } from "../core/checkpoint/foreign.ts";
import { GureumError, within, withinAsync } from "../core/errors.ts";
import { createByteLevelStream } from "./byte-level.ts";
import { createStreamingDecoder, type StreamingDecoder } from "./decoding.ts";
import { asFlag, asId, asObject, isObject, type JsonObject } from "./json.ts";
import type { TokenizerParts } from "./parts.ts";
import { sentencePieceParts } from "./sentencepiece-tokenizer.ts";
import { type AddedToken, createMatcher, giveIds, renumberedNote, splitAtTokens } from "./special-tokens.ts";
import { readStoreFile, readTokenizerConfig, tokenizerClass, tokenNames } from "./tokenizer-config.ts";
import { parseAddedToken, tokenizerJsonParts } from "./tokenizer-json.ts";
import { wellFormed } from "./unicode.ts";

export type { StreamingDecoder } from "./decoding.ts";
export type { PieceRole, TokenizerParts } from "./parts.ts";
export type { AddedToken } from "./special-tokens.ts";

/** How a text is read. */
export interface EncodeOptions {
  /**
   * "text" (default): special tokens in the text are ordinary characters, as sentencepiece reads it: right for what users write.
   * "recognise": they become their ids, and each stretch between them is normalized alone, as Hugging Face's fast tokenizers do:
   * right for what a chat template rendered.
   */
  readonly specialTokens?: "text" | "recognise";
  /** Puts BOS first; off by default, since a rendered template brings its own. `Tokenizer.addBos` says what the model wants. */
  readonly addBos?: boolean;
  /** Puts EOS last; off by default. */
  readonly addEos?: boolean;
}

const encodeOptionNames: OptionNames<EncodeOptions> = { specialTokens: true, addBos: true, addEos: true };

/** How tokens are written. */
export interface DecodeOptions {
  /**
   * "sentencepiece" (default, and what streams): broken bytes are U+FFFD one by one, control tokens are left out, the unknown
   * token shows as " ⁇ ". "huggingface": the chain of tokenizer.json.
   */
  readonly reading?: "sentencepiece" | "huggingface";
  /** In Hugging Face's reading: leave special tokens out (default) or write them. */
  readonly skipSpecialTokens?: boolean;
}

const decodeOptionNames: OptionNames<DecodeOptions> = { reading: true, skipSpecialTokens: true };

/** Text to ids and back. */
export interface Tokenizer {
  /** One more than the largest id. */
  readonly vocabSize: number;
  /** Of the token that begins a text. */
  readonly bosId: number | null;
  /** Of the token that ends a text. */
  readonly eosId: number | null;
  /** Of the token for what has none. */
  readonly unkId: number | null;
  /** Of the token that fills a batch. */
  readonly padId: number | null;
  /** Whether the model's files ask for BOS before (EOS after) a text that is not a rendered template. */
  readonly addBos: boolean;
  /** Whether a text is followed by the end token. */
  readonly addEos: boolean;
  /** Tokens beside the vocabulary's pieces. */
  readonly addedTokens: readonly AddedToken[];
  /** What its files state and is read otherwise, a line each: added tokens whose ids are not the ones stated. */
  readonly notes: readonly string[];
  /**
   * Text to ids. A lone surrogate counts as U+FFFD.
   * @throws GureumError "usage" where a BOS or EOS is asked for that the vocabulary lacks; "range" for a character that a
   * vocabulary without unknown token lacks.
   */
  encode(text: string, options?: EncodeOptions): number[];
  /** An id without a token decodes to nothing. @throws GureumError "range" for what is no id. */
  decode(ids: ArrayLike<number>, options?: DecodeOptions): string;
  /**
   * Decodes ids as they come, in sentencepiece's reading. `after`: ids that came before and are not shown; a space at the start
   * of what follows them is then text and no longer the dummy prefix.
   * An id without a token gives nothing. @throws GureumError "range", from `push` as well, for what is no id.
   */
  streamingDecoder(after?: ArrayLike<number>): StreamingDecoder;
  /** "" for an id without a token. @throws GureumError "range" for what is no id. */
  idToPiece(id: number): string;
  /** undefined: no such piece */
  pieceToId(piece: string): number | undefined;
}

/**
 * The ids that have a token. A model may have more rows than its tokenizer has tokens (vocabularies are padded, added tokens leave
 * gaps): what it says with such a row decodes to nothing, as in transformers.
 */
function withTokens(ids: ArrayLike<number>, pieces: readonly string[]): number[] {
  checkIdList("tokenizer", "ids", ids);
  const known: number[] = [];
  for (let i = 0; i < ids.length; i++) {
    const id = ids[i]!;
    if (!Number.isInteger(id) || id < 0)
      throw new GureumError("range", {
        where: "tokenizer",
        what: "not a token id",
        expected: "a whole number from 0",
        got: shownValue(id),
      });
    if (pieces[id]) known.push(id);
  }
  return known;
}

/** Puts a tokenizer together from its parts. */
export function createTokenizer(parts: TokenizerParts): Tokenizer {
  const { pieces, ids, addedTokens, normalize, segment } = parts;
  const ordinary = addedTokens.filter((token) => !token.special);
  const matchers = (tokens: readonly AddedToken[]) => ({
    verbatim: createMatcher(
      tokens.filter((token) => !token.normalized),
      (token) => token.content,
    ),
    normalized: createMatcher(
      tokens.filter((token) => token.normalized),
      (token) => normalize(token.content, true),
    ),
  });
  const inText = matchers(ordinary);
  const inRendered = matchers(addedTokens);
  const specialIds = new Set(addedTokens.filter((token) => token.special).map((token) => token.id));

  const createDecoder = (): StreamingDecoder => (parts.byteLevel ? createByteLevelStream(parts) : createStreamingDecoder(parts));
  // What Hugging Face's reading shows for a token that is looked for in the normalized text: its normalized form.
  const shown = new Map(ordinary.filter((token) => token.normalized).map((token) => [token.id, normalize(token.content, true)]));

  const need = (id: number | null, name: string): number => {
    if (id === null) throw new GureumError("usage", { where: "tokenizer", what: `${name} was asked for, but the vocabulary has none` });
    return id;
  };

  return {
    vocabSize: pieces.length,
    bosId: parts.bosId,
    eosId: parts.eosId,
    unkId: parts.unkId,
    padId: parts.padId,
    addBos: parts.addBos,
    addEos: parts.addEos,
    addedTokens,
    notes: parts.notes,
    encode(text, options = {}) {
      checkText("encode", "text", text);
      checkOptionsObject("encode", options, encodeOptionNames);
      const { verbatim, normalized } = options.specialTokens === "recognise" ? inRendered : inText;
      const out: number[] = [];
      if (options.addBos) out.push(need(parts.firstId ?? parts.bosId, "BOS"));
      const whole = wellFormed(text);
      for (const outer of verbatim ? splitAtTokens(verbatim, whole) : [{ id: -1, start: 0, end: whole.length }]) {
        if (outer.id >= 0) {
          out.push(outer.id);
          continue;
        }
        const stretch = normalize(whole.slice(outer.start, outer.end), outer.start === 0);
        for (const inner of normalized ? splitAtTokens(normalized, stretch) : [{ id: -1, start: 0, end: stretch.length }]) {
          if (inner.id >= 0) out.push(inner.id);
          else if (inner.start < inner.end) segment(stretch.slice(inner.start, inner.end), outer.start === 0 && inner.start === 0, out);
        }
      }
      if (options.addEos) out.push(need(parts.lastId ?? parts.eosId, "EOS"));
      return out;
    },
    decode(ids, options = {}) {
      checkOptionsObject("decode", options, decodeOptionNames);
      const given = withTokens(ids, pieces);
      if (options.reading !== "huggingface") {
        const decoder = createDecoder();
        return decoder.push(given) + decoder.flush();
      }
      const skip = options.skipSpecialTokens ?? true;
      const tokens = given.filter((id) => !(skip && specialIds.has(id))).map((id) => shown.get(id) ?? pieces[id]!);
      return parts.decodeTokens(tokens);
    },
    streamingDecoder(after) {
      const decoder = createDecoder();
      const push = (given: ArrayLike<number>): string => decoder.push(withTokens(given, pieces));
      if (after) push(after);
      return { push, flush: decoder.flush };
    },
    idToPiece(id) {
      return pieces[withTokens([id], pieces)[0] ?? -1] ?? "";
    },
    pieceToId: (piece) => ids.get(piece),
  };
}

/** The token a config names, as a string or as an AddedToken object; undefined where it names none. */
function namedToken(config: JsonObject, name: string): string | null | undefined {
  const value = config[name];
  if (value === undefined || value === null) return value;
  const content = isObject(value) ? value.content : value;
  if (typeof content !== "string") throw new GureumError("format", { where: name, what: "wrong type", expected: "a token" });
  return content;
}

/** The tokens of `added_tokens_decoder`, by id. @throws GureumError "format" */
function moreTokens(config: JsonObject): AddedToken[] {
  const listed = Object.entries(asObject(config.added_tokens_decoder ?? {}, "added_tokens_decoder"));
  return listed.map(([key, value]) => {
    const where = `added_tokens_decoder > ${key}`;
    return parseAddedToken(value, asId(/^\d+$/.test(key) ? Number(key) : key, where), where);
  });
}

/** Special tokens that the files name, of the vocabulary but not yet among the added ones: they are matched like these. */
function namedTokens(config: JsonObject, ids: ReadonlyMap<string, number>, known: readonly AddedToken[]): AddedToken[] {
  const additional = Array.isArray(config.additional_special_tokens) ? config.additional_special_tokens : [];
  const named = [...tokenNames.map((name) => config[name]), ...additional].flatMap((token) => {
    const { content, ...flags } = isObject(token) ? token : { content: token };
    return typeof content === "string" ? [parseAddedToken({ ...flags, content, special: true }, 0, content)] : [];
  });
  const have = new Set(known.map(({ content }) => content));
  return named.filter(({ content }) => ids.has(content) && !have.has(content));
}

/** What tokenizer_config.json says over the tokenizer's own file. */
function applyConfig(parts: TokenizerParts, config: JsonObject, className: string | undefined): TokenizerParts {
  // Of a tokenizer.json the post-processor frames a text; only these classes write it anew by the config's flags.
  const byFlags = parts.modelSize === null || className === undefined || /^(?:Llama|CodeLlama|Gemma|Cohere)Tokenizer$/.test(className);
  const flag = (name: "add_bos_token" | "add_eos_token", own: boolean, id: number | null): boolean => {
    const stated = asFlag(config[name], own, name);
    return byFlags ? stated && id !== null : own;
  };
  const addedTokens = [...parts.addedTokens];
  const ids = new Map(parts.ids);
  const pieces = [...parts.pieces];
  const roles = [...parts.roles];
  const { modelSize } = parts;
  const add = (stated: AddedToken): void => {
    const at = addedTokens.findIndex(({ content }) => content === stated.content);
    // A sentencepiece model's tokens have the ids that are stated; transformers matches them in the text as it was given.
    if (stated.content === "" || (modelSize === null && (at >= 0 || addedTokens.some(({ id }) => id === stated.id)))) return;
    const token = modelSize === null ? { ...stated, normalized: false } : giveIds([stated], ids, modelSize, addedTokens)[0]!;
    const { id, content } = token;
    if (modelSize === null && ((ids.get(content) ?? id) !== id || (pieces[id] ?? "") !== (ids.has(content) ? content : "")))
      throw new GureumError("format", {
        where: "added_tokens_decoder",
        what: `${JSON.stringify(content)} does not fit the vocabulary`,
        got: `id ${id}`,
      });
    while (pieces.length <= id) {
      pieces.push("");
      roles.push("text");
    }
    ids.set(content, id);
    pieces[id] = content;
    if (roles[id] !== "unknown" && roles[id] !== "byte") roles[id] = token.special ? "control" : "text";
    if (at >= 0) addedTokens[at] = token;
    else addedTokens.push(token);
  };
  const more = moreTokens(config);
  for (const token of more) add(token);
  const given = more.map(({ id, content }) => (modelSize === null || content === "" ? id : ids.get(content)!));
  if (modelSize !== null) for (const token of namedTokens(config, ids, addedTokens)) add(token);
  const idOf = (name: string, own: number | null): number | null => {
    const token = namedToken(config, name);
    return token === undefined ? own : token === null ? null : (ids.get(token) ?? null);
  };
  const bosId = idOf("bos_token", parts.bosId);
  const eosId = idOf("eos_token", parts.eosId);
  return {
    ...parts,
    pieces,
    roles,
    ids,
    addedTokens,
    notes: [...parts.notes, ...renumberedNote("tokenizer_config.json > added_tokens_decoder", more, given)],
    bosId,
    eosId,
    padId: idOf("pad_token", parts.padId),
    firstId: !byFlags && parts.addBos ? parts.bosId : null,
    lastId: !byFlags && parts.addEos ? parts.eosId : null,
    addBos: flag("add_bos_token", parts.addBos, bosId),
    addEos: flag("add_eos_token", parts.addEos, eosId),
  };
}

/** A line of a tiktoken file: a token in base64, its rank. No sentencepiece model begins like that. */
function isTiktoken(bytes: Uint8Array): boolean {
  return /^[A-Za-z0-9+/]+={0,2} \d+\r?\n/.test(String.fromCharCode(...bytes.subarray(0, 400)));
}

/** tokenizer.json is an object; a sentencepiece model begins with field 1, so never with a brace. */
function partsOf(bytes: Uint8Array, fileName: string, config: JsonObject): TokenizerParts {
  const json = /\.json$/i.test(fileName) || (!/\.model$/i.test(fileName) && bytes[0] === 0x7b);
  return within(fileName, () => {
    if (json) {
      const parts = tokenizerJsonParts(bytes);
      return { ...parts, notes: parts.notes.map((note) => `${fileName} > ${note}`) };
    }
    if (isTiktoken(bytes))
      throw new GureumError("unsupported", {
        what: "a vocabulary in tiktoken's format is not supported",
        expected: "a sentencepiece model",
        remedy: "take the tokenizer.json that Hugging Face's form of the model has",
      });
    return sentencePieceParts(bytes, asFlag(config.legacy, true, "legacy"));
  });
}

/**
 * A tokenizer from the bytes of one file, `tokenizer.model` or `tokenizer.json`; the name says which (other names: the bytes do).
 * Without a tokenizer_config.json, BOS is asked for as Llama's defaults have it: always for tokenizer.model, by the post-processor for tokenizer.json.
 * @throws GureumError "format", "unsupported" or "non-finite", naming the file.
 */
export function parseTokenizer(bytes: Uint8Array, fileName: string): Tokenizer {
  return createTokenizer(partsOf(bytes, fileName, {}));
}

/**
 * The tokenizer of a model folder: `tokenizer.json` (it holds the added tokens), `tokenizer.model` only where there is no other: the
 * two need not agree, so one that is not supported is never replaced by the other in silence. tokenizer_config.json,
 * special_tokens_map.json and added_tokens.json add their tokens and say about BOS and EOS.
 * @throws GureumError "not-found" where the folder has neither; else as `parseTokenizer`.
 */
export async function loadTokenizer(store: ByteStore): Promise<Tokenizer> {
  return withinAsync(store.name, async () => {
    const folder = await openFolder(store);
    const files = folder.names;
    const config = await readTokenizerConfig(folder, files);
    const fileName = ["tokenizer.json", "tokenizer.model"].find((name) => files.has(name));
    if (fileName === undefined) {
      const others = [...files].filter((name) => /^(?:tekken\.json|vocab\.json|merges\.txt|.*\.tiktoken)$/.test(name));
      throw new GureumError("not-found", {
        what: "no tokenizer",
        expected: "tokenizer.json or tokenizer.model",
        ...(others.length > 0 && {
          got: others.sort().join(", "),
          remedy: "write a tokenizer.json with transformers (AutoTokenizer.from_pretrained(…).save_pretrained(…))",
        }),
      });
    }
    const bytes = await readStoreFile(folder, fileName);
    let parts: TokenizerParts;
    try {
      parts = partsOf(bytes, fileName, config);
    } catch (error) {
      const another = fileName === "tokenizer.json" && files.has("tokenizer.model");
      if (!(error instanceof GureumError && error.code === "unsupported" && another)) throw orDownload(error);
      throw new GureumError(
        error.code,
        { ...error.details, remedy: "to take tokenizer.model instead, move tokenizer.json out of the folder" },
        error,
      );
    }
    const className = await tokenizerClass(folder, files, config);
    const whole = within("tokenizer_config.json", () => applyConfig(parts, config, className));
    return createTokenizer({ ...whole, notes: whole.notes.map((note) => `${store.name} > ${note}`) });
  });
}
