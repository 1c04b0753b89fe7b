/** Which files of a model's folder the engine reads. Everything else stays where it is. */
import type { ByteStore } from "./byte-source.ts";
import { openFolder } from "./folder.ts";
import { indexFile, singleFile, weightFiles } from "./shards.ts";

/** Folder of further chat templates. */
export const templateFolder = "additional_chat_templates";

/** Small files: config, tokenizer, templates. */
export const companions: ReadonlySet<string> = new Set([
  "config.json",
  "generation_config.json",
  "quant_config.json",
  "quantize_config.json",
  "tokenizer.json",
  "tokenizer.model",
  "tokenizer_config.json",
  "special_tokens_map.json",
  "added_tokens.json",
  "chat_template.jinja",
]);

/** Whether a file is one of the small ones: config, tokenizer, templates; with an index of shards, where it counts, that too. */
export function isCompanion(path: string, hasSingleFile: boolean): boolean {
  const [name = "", inner, ...deeper] = path.split("/");
  if (inner !== undefined) return name === templateFolder && deeper.length === 0 && /^[^\\]+\.jinja$/.test(inner);
  return companions.has(name) || (name === indexFile && !hasSingleFile);
}

/**
 * The files of weights, by the engine's own rule.
 * @param store lists the whole repository; its index can be opened
 * @throws GureumError "not-found" where there are no weights that gureum reads, "format" for a broken index
 */
export const neededWeights = async (store: ByteStore): Promise<string[]> => weightFiles(await openFolder(store));

export { singleFile };
