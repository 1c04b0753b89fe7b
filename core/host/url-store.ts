/** A model folder behind an address. HTTP lists no folders: the names are given, or those that models have are tried. */
import { checkCallback, checkOptionsObject, checkText, hear } from "../arguments.ts";
import { type ByteSource, type ByteStore, type DownloadProgress, heardStore, readBytes, treeStore } from "../checkpoint/byte-source.ts";
import { configFile } from "../checkpoint/config.ts";
import { companions } from "../checkpoint/needed.ts";
import { indexFile, parseIndex, singleFile } from "../checkpoint/shards.ts";
import { GureumError, within } from "../errors.ts";
import { withoutEnd } from "../text.ts";
import { urlSource } from "./url-source.ts";
import { type Patience, usualPatience } from "./web-ask.ts";

/** How a folder of the web is read; all optional. */
export interface UrlOptions {
  /** Names of the folder's files; without it those that models have are tried, and the shards that an index lists. */
  readonly files?: readonly string[];
  /** File name → SHA-256 of its bytes: such a file is fetched whole and checked before anything of it is read. */
  readonly hashes?: Readonly<Record<string, string>>;
  /** Headers of every request: an authorization, say. */
  readonly headers?: Readonly<Record<string, string>>;
  /** How long a bad connection is borne. */
  readonly patience?: Partial<Patience>;
  /** Told of what is not as fast as it might be: a server without ranges. */
  readonly onNote?: (text: string) => void;
  /** Bytes of files that are fetched whole. */
  readonly onDownload?: (progress: DownloadProgress) => void;
}

/** Answers that a server may give for a file that it does not have: some say 403, some a page of theirs. */
async function ifThere(open: () => Promise<ByteSource>): Promise<ByteSource | null> {
  try {
    const source = await open();
    const head = new TextDecoder().decode(await readBytes(source, 0, Math.min(9, source.byteLength)));
    return /^\s*<(!doctype|html)/i.test(head) ? null : source;
  } catch (error) {
    if (error instanceof GureumError && (error.code === "not-found" || error.code === "access")) return null;
    throw error;
  }
}

/** @param address with or without a slash at its end; what a query says goes along with each file */
function addressOf(address: string, fileName: string): string {
  const url = new URL(address);
  url.pathname = `${withoutEnd(url.pathname, "/")}/${fileName.split("/").map(encodeURIComponent).join("/")}`;
  return url.href;
}

/**
 * The folder at an address, "https://huggingface.co/ORG/NAME/resolve/main" for one. Nothing is asked for before `list` or `open`.
 * @throws GureumError "usage" for what is no address; from its calls "not-found", "access", "network", "io"
 */
export function urlStore(address: string, options: UrlOptions = {}): ByteStore {
  checkText("urlStore", "address", address);
  checkOptionsObject("urlStore", options);
  if (!URL.canParse(address) || !/^https?:/.test(address))
    throw new GureumError("usage", {
      where: "urlStore",
      what: "not an address",
      expected: "http://… or https://…",
      got: JSON.stringify(address),
    });
  for (const what of ["onNote", "onDownload"] as const) checkCallback("urlStore", what, options[what]);
  const { heard, end } = hear(options, ["onNote", "onDownload"]);
  const { files, hashes = {}, headers = {}, onNote, onDownload } = heard;
  const patience = { ...usualPatience, ...options.patience };
  const totals = new Map<string, number>();
  let bytesDone = 0;
  const open = (fileName: string): Promise<ByteSource> => {
    const hash = hashes[fileName];
    return urlSource(addressOf(address, fileName), {
      headers,
      patience,
      ...(hash === undefined ? {} : { sha256: hash }),
      ...(onNote ? { onNote } : {}),
      onBytes(byteLength, total) {
        totals.set(fileName, total);
        bytesDone += byteLength;
        onDownload?.({ fileName, bytesDone, bytesTotal: [...totals.values()].reduce((sum, bytes) => sum + bytes, 0) });
      },
    });
  };
  /** What `list` opened to see whether it is there, each to be taken once. */
  let found = new Map<string, ByteSource>();
  const look = async (): Promise<string[]> => {
    const seen = new Map<string, ByteSource>();
    // Its absence says what the address is; why it cannot be had is said at once.
    const config = await open(configFile).catch((error: unknown) => {
      if (error instanceof GureumError && error.code === "not-found") return null;
      throw error;
    });
    if (config) seen.set(configFile, config);
    const others = [...companions, singleFile].filter((name) => name !== configFile);
    const sources = await Promise.all(others.map((name) => ifThere(() => open(name))));
    for (const [i, source] of sources.entries()) if (source) seen.set(others[i]!, source);
    const index = seen.has(singleFile) ? null : await ifThere(() => open(indexFile));
    if (index) seen.set(indexFile, index);
    const bytes = index && (await readBytes(index, 0, index.byteLength));
    const shards = bytes ? within(`${address}/${indexFile}`, () => parseIndex(bytes)).weightMap.values() : [];
    found = seen;
    return [...seen.keys(), ...new Set(shards)];
  };
  const tree = treeStore(address, new Map((files ?? []).map((name) => [name, () => open(name)])));
  const looked: ByteStore = {
    name: address,
    list: look,
    async open(fileName) {
      const source = found.get(fileName);
      found.delete(fileName);
      return source ?? open(fileName);
    },
  };
  return heardStore(files ? tree : looked, end);
}
