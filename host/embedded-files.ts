/**
 * The small model that comes with gureum, in a browser. Each file's address stands in the form that bundlers know, so that they bring the
 * files along: relative to this file in the build, `dist/host`.
 */
import { type ByteStore, memorySource } from "../core/checkpoint/byte-source.ts";
import { GureumError } from "../core/errors.ts";

/** The word for the embedded model. */
export const embedded = "gureum:embedded";

const addresses: Readonly<Record<string, () => URL>> = {
  "config.json": () => new URL("../../models/gureum-tiny-awq/config.json", import.meta.url),
  "generation_config.json": () => new URL("../../models/gureum-tiny-awq/generation_config.json", import.meta.url),
  "model.safetensors": () => new URL("../../models/gureum-tiny-awq/model.safetensors", import.meta.url),
  "special_tokens_map.json": () => new URL("../../models/gureum-tiny-awq/special_tokens_map.json", import.meta.url),
  "tokenizer.json": () => new URL("../../models/gureum-tiny-awq/tokenizer.json", import.meta.url),
  "tokenizer_config.json": () => new URL("../../models/gureum-tiny-awq/tokenizer_config.json", import.meta.url),
};

export function embeddedStore(): ByteStore {
  return {
    name: embedded,
    list: async () => Object.keys(addresses),
    async open(fileName) {
      const address = addresses[fileName];
      if (!address) throw new GureumError("not-found", { where: `${embedded}/${fileName}`, what: "no such file" });
      const response = await fetch(address());
      if (!response.ok) throw new GureumError("network", { where: response.url, what: `the server answers ${response.status}` });
      return memorySource(`${embedded}/${fileName}`, new Uint8Array(await response.arrayBuffer()));
    },
  };
}
