/**
 * What differs between Node, Deno and browsers beyond the globals they share. `#host` in package.json names the one of the host that runs:
 * node.ts under Node's condition, which Deno and Bun have too, web.ts under any other.
 */
import type { ByteStore } from "../core/checkpoint/byte-source.ts";
import type * as folders from "../core/host/folders.ts";
import type * as reading from "../core/host/node.ts";
import type * as writing from "../core/host/write.ts";
import type { HostThreads } from "../core/threads.ts";
import type { HubOptions } from "../hub/model.ts";

/** Files and folders by path. In a browser each call throws GureumError "unsupported". */
export type HostFiles = Pick<typeof reading, "directoryStore" | "fileSource" | "readText"> &
  Pick<typeof writing, "checkFreeSpace" | "filesIn" | "writeFile" | "writeFolder"> &
  Pick<typeof folders, "folderName" | "folderState" | "makeFolder" | "moveFolder" | "removeFolder">;

/** Which parts of a model are brought. */
export interface FindOptions extends HubOptions {
  /** Everything, or what a tokenizer needs alone. */
  readonly part?: "all" | "text";
}

/** Models by the words that name them on this host. All throw GureumError "not-found", "access", "network", "disk-full", "io". */
export interface HostModels {
  /** The word for the small model that comes with gureum. */
  embedded(): string;
  /** Where it lies, with what is missing brought. */
  find(place: string, options?: FindOptions): Promise<string>;
  /** To be loaded. */
  open(place: string, options?: FindOptions): Promise<ByteStore>;
  /** To be looked into: no more is brought than what is read. */
  view(place: string, options?: HubOptions): Promise<ByteStore>;
}

/** A process that answers what it is asked, one question after the other. */
export interface HostProcess {
  /** @throws "exit 1" or the signal, as a text, where the process ends first */
  ask(question: unknown): Promise<unknown>;
  kill(): void;
}

export interface Host {
  readonly files: HostFiles;
  readonly models: HostModels;
  threads(): HostThreads;
  /** Runs a module of this package, named from its root without extension; null where there are no processes. */
  readonly fork: ((module: string, args: readonly string[]) => HostProcess) | null;
  /** CPU time of this process so far, all threads, in milliseconds; null where nothing tells. */
  readonly cpuMs: (() => number) | null;
  /** Bytes of memory of this process; null where nothing tells. */
  readonly memory: (() => { readonly rss: number; readonly heapUsed: number; readonly external: number }) | null;
  /** The CPU's name, the system's release, and the commit of the checkout that runs; null where nothing tells. */
  readonly machine: (() => Promise<{ readonly cpu: string; readonly release: string; readonly commit: string | null }>) | null;
}
