/**
 * A browser's storage for an origin as far as kept models use it, from memory. A file that is written shows what was written when its writer
 * closes and not before; `getFile` gives a snapshot; names are checked; a quota ends in QuotaExceededError. Source: WHATWG File System Standard.
 */
export interface FakeStorage {
  /** By path. */
  readonly files: Map<string, Uint8Array<ArrayBuffer>>;
  quota: number;
  persists: boolean;
  /** Called before each write of a file; what it throws, the writer throws. */
  onWrite: (path: string) => void;
  /** Whether files have `createWritable`, and `createSyncAccessHandle`. */
  ways: readonly ("writable" | "sync")[];
  /** What navigator is to be. */
  readonly navigator: object;
}

const fault = (name: string, message: string = name): DOMException => new DOMException(message, name);

export function fakeStorage(): FakeStorage {
  const folders = new Set<string>([""]);
  const usage = (): number => [...self.files.values()].reduce((sum, { length }) => sum + length, 0);
  const room = (path: string, byteLength: number): void => {
    if (usage() - (self.files.get(path)?.length ?? 0) + byteLength > self.quota) throw fault("QuotaExceededError");
  };
  const put = (path: string, bytes: Uint8Array<ArrayBuffer>): void => {
    room(path, bytes.length);
    self.files.set(path, bytes);
  };
  const check = (name: string): void => {
    if (name === "" || name === "." || name === ".." || /[/\\]/.test(name)) throw new TypeError(`Name is not allowed: ${name}`);
  };
  const fileHandle = (path: string): object => ({
    kind: "file",
    name: path.slice(path.lastIndexOf("/") + 1),
    getFile: async () => {
      const bytes = self.files.get(path);
      if (!bytes) throw fault("NotFoundError");
      return new Blob([bytes]);
    },
    ...(self.ways.includes("writable")
      ? {
          createWritable: async () => {
            let written: Uint8Array[] = [];
            return {
              truncate: async (byteLength: number) => room(path, byteLength),
              async write(bytes: Uint8Array) {
                self.onWrite(path);
                written.push(bytes.slice());
              },
              async close() {
                put(path, new Uint8Array(Buffer.concat(written)));
              },
              async abort() {
                written = [];
              },
            };
          },
        }
      : {}),
    ...(self.ways.includes("sync")
      ? {
          createSyncAccessHandle: async () => ({
            truncate: () => put(path, new Uint8Array(0)),
            write(bytes: Uint8Array, { at }: { at: number }) {
              self.onWrite(path);
              const some = bytes.subarray(0, 5_000_000);
              try {
                put(path, new Uint8Array(Buffer.concat([self.files.get(path)!.subarray(0, at), some])));
              } catch {
                return 2 ** 32 - 8; // as Chromium 156
              }
              return some.length;
            },
            flush() {},
            close() {},
          }),
        }
      : {}),
  });
  const directoryHandle = (at: string): object => ({
    kind: "directory",
    name: at.slice(at.lastIndexOf("/") + 1),
    async *keys() {
      const inside = [...self.files.keys(), ...folders].filter((path) => path !== at && path.startsWith(at === "" ? "" : `${at}/`));
      yield* new Set(inside.map((path) => path.slice(at === "" ? 0 : at.length + 1).split("/")[0]!));
    },
    async getFileHandle(name: string, { create = false } = {}) {
      check(name);
      const path = `${at}/${name}`;
      if (folders.has(path)) throw fault("TypeMismatchError");
      if (!self.files.has(path)) {
        if (!create) throw fault("NotFoundError");
        self.files.set(path, new Uint8Array(0));
      }
      return fileHandle(path);
    },
    async getDirectoryHandle(name: string, { create = false } = {}) {
      check(name);
      const path = `${at}/${name}`;
      if (!folders.has(path)) {
        if (!create) throw fault("NotFoundError");
        folders.add(path);
      }
      return directoryHandle(path);
    },
    async removeEntry(name: string, { recursive = false } = {}) {
      const path = `${at}/${name}`;
      if (self.files.delete(path)) return;
      if (!folders.has(path)) throw fault("NotFoundError");
      const inside = [...self.files.keys()].filter((one) => one.startsWith(`${path}/`));
      if (inside.length > 0 && !recursive) throw fault("InvalidModificationError");
      for (const one of inside) self.files.delete(one);
      for (const one of [...folders]) if (one === path || one.startsWith(`${path}/`)) folders.delete(one);
    },
  });
  const held = new Map<string, Promise<unknown>>();
  const self: FakeStorage = {
    files: new Map(),
    quota: 2 ** 32,
    persists: true,
    onWrite: () => {},
    ways: ["writable"],
    navigator: {
      storage: {
        getDirectory: async () => directoryHandle(""),
        estimate: async () => ({ quota: self.quota, usage: usage() }),
        persist: async () => self.persists,
      },
      locks: {
        request: (name: string, body: () => Promise<unknown>) => {
          const after = (held.get(name) ?? Promise.resolve()).then(body, body);
          held.set(
            name,
            after.catch(() => {}),
          );
          return after;
        },
      },
    },
  };
  return self;
}
