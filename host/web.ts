/** The host in browsers, windows and workers alike: no paths, no processes; models by address. */
import type { ByteStore } from "../core/checkpoint/byte-source.ts";
import { GureumError } from "../core/errors.ts";
import { type UrlOptions, urlStore } from "../core/host/url-store.ts";
import { webThreads } from "../core/host/web-threads.ts";
import { embedded, embeddedStore } from "./embedded-files.ts";
import type { Host, HostFiles } from "./host.ts";

const noPath = (where: string): GureumError =>
  new GureumError("unsupported", {
    where,
    what: "a browser has no files by path",
    remedy: "give a ByteStore, or run it in Node or Deno",
  });
const refuse = async (path: unknown): Promise<never> => {
  throw noPath(String(path));
};
const refuseNow = (path: unknown): never => {
  throw noPath(String(path));
};

const files: HostFiles = {
  checkFreeSpace: refuse,
  directoryStore: refuseNow,
  fileSource: refuse,
  filesIn: refuseNow,
  folderName: (path) => path.split(/[/\\]+/).findLast((part) => part !== "" && part !== ".") ?? path,
  folderState: refuse,
  makeFolder: refuse,
  moveFolder: refuse,
  readText: refuse,
  removeFolder: refuse,
  writeFile: refuse,
  writeFolder: refuse,
};

/** An address, also one relative to the page or the worker. */
const open = async (place: string, options?: UrlOptions): Promise<ByteStore> => {
  if (place === embedded) return embeddedStore(options);
  const { location } = globalThis as { location?: { href: string } };
  if (URL.canParse(place, location?.href)) return urlStore(new URL(place, location?.href).href, options);
  throw noPath(place);
};

export const host: Host = {
  files,
  models: { embedded: () => embedded, find: async (place) => place, open, view: open },
  threads: () => webThreads(),
  fork: null,
  cpuMs: null,
  memory: null,
  machine: null,
};
