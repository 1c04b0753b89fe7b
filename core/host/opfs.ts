/** The browser's storage for this origin: folders, files written in one step, free space, and its refusals by name. */
import { GureumError } from "../errors.ts";
import type { BlobLike } from "./blobs.ts";

interface WritableLike {
  truncate(byteLength: number): Promise<void>;
  write(bytes: Uint8Array): Promise<void>;
  close(): Promise<void>;
  abort(): Promise<void>;
}
interface SyncAccessLike {
  truncate(byteLength: number): void;
  write(bytes: Uint8Array, options: { at: number }): number;
  flush(): void;
  close(): void;
}
interface FileHandle {
  readonly kind: "file";
  getFile(): Promise<BlobLike>;
  createWritable?(): Promise<WritableLike>;
  /** In workers alone. */
  createSyncAccessHandle?(): Promise<SyncAccessLike>;
}
interface DirectoryHandle {
  readonly kind: "directory";
  keys(): AsyncIterable<string>;
  getFileHandle(name: string, options?: { create: boolean }): Promise<FileHandle>;
  getDirectoryHandle(name: string, options?: { create: boolean }): Promise<DirectoryHandle>;
  removeEntry(name: string, options?: { recursive: boolean }): Promise<void>;
}
interface StorageManager {
  getDirectory?(): Promise<DirectoryHandle>;
  estimate?(): Promise<{ quota?: number; usage?: number }>;
  persist?(): Promise<boolean>;
}
interface Locks {
  request<T>(name: string, body: () => Promise<T>): Promise<T>;
}

/** What a page has of its origin's storage. */
export interface Storage {
  readonly root: () => Promise<DirectoryHandle>;
  /** Bytes that may still be written; null where the browser does not tell. */
  free(): Promise<number | null>;
  /** Asks that what is kept stays when space runs short. */
  persist(): Promise<boolean>;
  /** Runs `body` while no other tab of this origin does so under the name. */
  alone<T>(name: string, body: () => Promise<T>): Promise<T>;
}

/** @throws GureumError "unsupported" where there is none: outside of browsers, or on a page that did not come by https */
export function storageOf(): Storage {
  const { storage, locks } = (globalThis as { navigator?: { storage?: StorageManager; locks?: Locks } }).navigator ?? {};
  if (!storage?.getDirectory)
    throw new GureumError("unsupported", {
      where: "storage",
      what: "this host has no storage for an origin (OPFS)",
      remedy: "take a browser that has it, on a page served by https or from this machine",
    });
  return {
    root: () => storage.getDirectory!(),
    async free() {
      const { quota, usage } = (await storage.estimate?.()) ?? {};
      return quota === undefined || usage === undefined ? null : quota - usage;
    },
    persist: async () => (await storage.persist?.().catch(() => false)) ?? false,
    alone: (name, body) => (locks ? locks.request(`gureum kept ${name}`, body) : body()),
  };
}

/** A browser's refusal, named. */
function storageError(where: string, error: unknown): GureumError {
  if (error instanceof GureumError) return error;
  const { name = "", message = String(error) } = (error ?? {}) as { name?: string; message?: string };
  if (name === "QuotaExceededError")
    return new GureumError(
      "disk-full",
      { where, what: "the browser's storage for this page is used up", remedy: "delete a model that is kept, or free space on the disk" },
      error,
    );
  if (name === "SecurityError" || name === "NotAllowedError")
    return new GureumError(
      "access",
      {
        where,
        what: "the browser gives this page no storage",
        got: message,
        remedy: "leave the private window, or allow the site to store data",
      },
      error,
    );
  return new GureumError(
    "io",
    { where, what: "the browser's storage fails", got: message, remedy: "try again; close other tabs of this page" },
    error,
  );
}

async function stored<T>(where: string, body: () => Promise<T>): Promise<T> {
  try {
    return await body();
  } catch (error) {
    throw storageError(where, error);
  }
}

/** What `find` gives; null where nothing is there. */
async function ifThere<T>(where: string, find: () => Promise<T>): Promise<T | null> {
  try {
    return await find();
  } catch (error) {
    if ((error as { name?: unknown } | null)?.name === "NotFoundError") return null;
    throw storageError(where, error);
  }
}

/** A folder in the storage. */
export interface KeptFolder {
  folders(): Promise<string[]>;
  /** null where it is not there and not to be made. */
  folder(name: string, create: boolean): Promise<KeptFolder | null>;
  /** null where there is none. */
  file(name: string): Promise<BlobLike | null>;
  /** A file in one step: it is there whole, or as it was before. @throws GureumError "disk-full", "io" */
  write(name: string, bytes: Uint8Array): Promise<void>;
  /** A file, or a folder with what is in it; nothing where it is not there. */
  remove(name: string): Promise<void>;
}

async function writeOnce(file: FileHandle, bytes: Uint8Array): Promise<void> {
  const writable = await file.createWritable!();
  try {
    // The room first: a full storage refuses that by its name, but of a write it may say only that a pipe broke (Chromium).
    await writable.truncate(bytes.length);
    await writable.write(bytes);
  } catch (error) {
    await writable.abort().catch(() => {});
    throw error;
  }
  await writable.close();
}

/** Without `createWritable` a file is written in place; one that is cut is shorter than it should be, and so is known. */
async function writeInPlace(handle: FileHandle, where: string, bytes: Uint8Array): Promise<void> {
  if (!handle.createSyncAccessHandle)
    throw new GureumError("unsupported", {
      where,
      what: "this browser writes files in workers only",
      remedy: "keep the model from a worker",
    });
  const access = await handle.createSyncAccessHandle();
  try {
    access.truncate(0);
    for (let at = 0; at < bytes.length; ) {
      const written = access.write(bytes.subarray(at), { at });
      // Chromium gives a negative number as an unsigned one where its quota ends.
      if (written <= 0 || written > bytes.length - at)
        throw new GureumError("disk-full", { where, what: "the browser's storage takes no more bytes" });
      at += written;
    }
    access.flush();
  } finally {
    access.close();
  }
}

function folderOf(where: string, handle: DirectoryHandle): KeptFolder {
  return {
    folders: () =>
      stored(where, async () => {
        const names: string[] = [];
        for await (const name of handle.keys()) names.push(name);
        return names;
      }),
    async folder(name, create) {
      const at = `${where}/${name}`;
      const found = await ifThere(at, () => handle.getDirectoryHandle(name, { create }));
      return found && folderOf(at, found);
    },
    file: (name) => ifThere(`${where}/${name}`, async () => (await handle.getFileHandle(name)).getFile()),
    write: (name, bytes) =>
      stored(`${where}/${name}`, async () => {
        const file = await handle.getFileHandle(name, { create: true });
        await (file.createWritable ? writeOnce(file, bytes) : writeInPlace(file, `${where}/${name}`, bytes));
      }),
    async remove(name) {
      await ifThere(`${where}/${name}`, () => handle.removeEntry(name, { recursive: true }));
    },
  };
}

/** The folder of all kept models. @throws GureumError "access", "io" */
export const openRoot = (storage: Storage): Promise<KeptFolder> =>
  stored("storage", async () => folderOf("storage", await (await storage.root()).getDirectoryHandle("gureum-models", { create: true })));
