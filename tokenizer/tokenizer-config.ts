/**
 * What a model folder says about its tokenizer outside the vocabulary: tokenizer_config.json, with
 * special_tokens_map.json and added_tokens.json (which older releases of transformers wrote beside it) merged in.
 * Source: transformers `tokenization_utils_base.py` (`_from_pretrained`, `special_tokens_map`).
 */
import type { ByteStore } from "../core/checkpoint/byte-source.ts";
import { maxSmallBytes, openFolder } from "../core/checkpoint/folder.ts";
import { orDownload } from "../core/checkpoint/foreign.ts";
import { GureumError, within, withinAsync } from "../core/errors.ts";
import { parsePlainJson } from "../core/json.ts";
import { asArray, asId, asObject, asString, isObject, type JsonObject } from "./json.ts";

/** A whole file of a store. @throws GureumError as `Folder.read`, "not-found" */
export async function readStoreFile(store: ByteStore, fileName: string): Promise<Uint8Array> {
  const bytes = await (await openFolder(store)).read(fileName, maxSmallBytes);
  if (!bytes) throw new GureumError("not-found", { where: fileName, what: "no such file" });
  return bytes;
}

/** The single tokens that transformers gives a name, and a template a variable. */
export const tokenNames = ["bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"] as const;

const endOfText = "<|endoftext|>";
const llama = { bos_token: "<s>", eos_token: "</s>", unk_token: "<unk>" };
/** What a tokenizer class names where no file does: the defaults of its constructor in transformers. */
const classDefaults: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  LlamaTokenizer: llama,
  CodeLlamaTokenizer: llama,
  Qwen2Tokenizer: { eos_token: endOfText, unk_token: endOfText, pad_token: endOfText },
  GPT2Tokenizer: { bos_token: endOfText, eos_token: endOfText, unk_token: endOfText },
  GPTNeoXTokenizer: { bos_token: endOfText, eos_token: endOfText, unk_token: endOfText },
  GemmaTokenizer: { bos_token: "<bos>", eos_token: "<eos>", unk_token: "<unk>", pad_token: "<pad>", mask_token: "<mask>" },
};
/** The class that transformers takes for a `model_type` of config.json where tokenizer_config.json names none. */
const classOfModel: Readonly<Record<string, string>> = {
  llama: "LlamaTokenizer",
  mistral: "LlamaTokenizer",
  qwen2: "Qwen2Tokenizer",
  qwen3: "Qwen2Tokenizer",
};

/** A config's token: a string, or an AddedToken object; undefined where it names none. */
function tokenText(value: unknown, where: string): string | undefined {
  if (value === undefined || value === null) return undefined;
  return asString(isObject(value) ? value.content : value, where);
}

const asTokens = (value: unknown): unknown[] => (Array.isArray(value) ? value : []);
const contentOf = (token: unknown): unknown => (isObject(token) ? token.content : token);
const isFirst = (token: unknown, at: number, all: readonly unknown[]): boolean =>
  all.findIndex((other) => contentOf(other) === contentOf(token)) === at;

/**
 * The folder's tokenizer_config.json, `{}` where it has none. Tokens it does not name come from special_tokens_map.json. In a folder
 * without `added_tokens_decoder` (older than it) that file's tokens stand also against tokenizer_config.json's, as transformers has it,
 * and added_tokens.json makes an `added_tokens_decoder`.
 * @throws GureumError "format" naming the broken file
 */
export async function readTokenizerConfig(store: ByteStore, files: ReadonlySet<string>): Promise<JsonObject> {
  const readObject = async (fileName: string): Promise<JsonObject> => {
    if (!files.has(fileName)) return {};
    const bytes = await readStoreFile(store, fileName);
    try {
      return within(fileName, () => asObject(parsePlainJson(bytes), ""));
    } catch (error) {
      throw orDownload(error);
    }
  };
  const own = await readObject("tokenizer_config.json");
  const merged: Record<string, unknown> = { ...own };
  const map = await readObject("special_tokens_map.json");
  const isOlder = (own.added_tokens_decoder ?? null) === null;
  for (const [name, value] of Object.entries(map))
    if (name === "additional_special_tokens") merged[name] = [...asTokens(own[name]), ...asTokens(value)].filter(isFirst);
    else if (isOlder || !(name in own)) merged[name] = value;
  const added = await readObject("added_tokens.json");
  if (isOlder && Object.keys(added).length > 0) {
    const special = new Set<unknown>(
      [...tokenNames.map((name) => merged[name]), ...asTokens(merged.additional_special_tokens)].map(contentOf),
    );
    merged.added_tokens_decoder = within("added_tokens.json", () =>
      Object.fromEntries(
        Object.entries(added).map(([content, id]) => [
          String(asId(id, content)),
          { content, special: special.has(content), normalized: !special.has(content) },
        ]),
      ),
    );
  }
  return merged;
}

/** The class whose defaults hold; undefined where the files leave it open. */
export async function tokenizerClass(store: ByteStore, files: ReadonlySet<string>, config: JsonObject): Promise<string | undefined> {
  if (typeof config.tokenizer_class === "string") return config.tokenizer_class.replace(/Fast$/, "");
  if (!files.has("config.json")) return undefined;
  const bytes = await readStoreFile(store, "config.json");
  const { model_type } = within("config.json", () => asObject(parsePlainJson(bytes), ""));
  return typeof model_type === "string" ? classOfModel[model_type] : undefined;
}

/**
 * The special tokens as a chat template sees them: `bos_token` and its like, `additional_special_tokens`, and the names
 * of `extra_special_tokens`. A name that no file and no class default gives is left out: it is undefined in the
 * template.
 * @param config of `readTokenizerConfig`
 * @throws GureumError "format"
 */
export async function templateTokens(
  store: ByteStore,
  files: ReadonlySet<string>,
  config: JsonObject,
): Promise<Readonly<Record<string, unknown>>> {
  return withinAsync(store.name, async () => {
    const defaults = classDefaults[(await tokenizerClass(store, files, config)) ?? ""] ?? {};
    return within("tokenizer_config.json", () => {
      const tokens: Record<string, unknown> = {};
      for (const name of tokenNames) {
        // A token that is null in the files is none, whatever the class would take.
        const text = name in config ? tokenText(config[name], name) : defaults[name];
        if (text !== undefined) tokens[name] = text;
      }
      const additional = config.additional_special_tokens;
      if (additional !== undefined && additional !== null)
        tokens.additional_special_tokens = asArray(additional, "additional_special_tokens").map((token, i) =>
          tokenText(token, `additional_special_tokens > ${i}`),
        );
      if (isObject(config.extra_special_tokens))
        for (const [name, token] of Object.entries(config.extra_special_tokens)) {
          const text = tokenText(token, `extra_special_tokens > ${name}`);
          if (text !== undefined) tokens[name] = text;
        }
      return tokens;
    });
  });
}
