/**
 * The small model that comes with gureum, in a browser. Each file's address stands in the form that bundlers know, so that they bring the
 * files along: relative to this file in the build, `dist/host`.
 */
import { type ByteSource, type ByteStore, memorySource, treeStore } from "../core/checkpoint/byte-source.ts";
import { GureumError } from "../core/errors.ts";
import { urlSource } from "../core/host/url-source.ts";
import type { UrlOptions } from "../core/host/url-store.ts";
import { usualPatience } from "../core/host/web-ask.ts";
import { encodeUtf8 } from "../core/utf8.ts";

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

/** Bytes of a `data:` address, which bundlers make of small files and a page's policy need not allow to be fetched. */
function inlined(where: string, { href }: URL): ByteSource {
  const [head = "", data = ""] = [href.slice(0, href.indexOf(",")), href.slice(href.indexOf(",") + 1)];
  const text = /;base64$/.test(head) ? atob(data) : null;
  return memorySource(where, text === null ? encodeUtf8(decodeURIComponent(data)) : Uint8Array.from(text, (c) => c.charCodeAt(0)));
}

const notBrought = (where: string, cause: unknown): GureumError =>
  new GureumError(
    "not-found",
    {
      where,
      what: "the bundler did not bring the embedded model along",
      remedy: "serve the package's models/gureum-tiny-awq as a folder, and load its address",
    },
    cause,
  );

/** Each file is fetched whole, once, and kept in the browser's cache as any file of the page. */
export function embeddedStore({ onDownload }: Pick<UrlOptions, "onDownload"> = {}): ByteStore {
  let bytesDone = 0;
  const open = async (fileName: string, address: () => URL, where: string): Promise<ByteSource> => {
    let url: URL;
    try {
      url = address();
    } catch (error) {
      throw notBrought(where, error); // a classic script has no address of its own
    }
    if (url.protocol === "data:") return inlined(where, url);
    const onBytes = (bytes: number, total: number): void => {
      bytesDone += bytes;
      onDownload?.({ fileName, bytesDone, bytesTotal: Math.max(bytesDone, total) });
    };
    return urlSource(url.href, { headers: {}, patience: usualPatience, whole: true, onBytes }).catch((error: unknown) => {
      throw error instanceof GureumError && error.code === "not-found" ? notBrought(where, error) : error;
    });
  };
  return treeStore(
    embedded,
    new Map(Object.entries(addresses).map(([fileName, address]) => [fileName, (where) => open(fileName, address, where)])),
  );
}
