/** Models kept in a browser's storage, by a storage in memory; in Chromium's own: page/library.test.ts. About 4 s of CPU. */
import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from "vitest";
import { type ByteStore, memoryStore, readBytes } from "../../../../core/checkpoint/byte-source.ts";
import { deleteKept, embeddedModel, keepModel, listKept, loadModel, openKept, urlStore, verifyKept } from "../../../../index.ts";
import { expectOwnError } from "../../fixtures/failing.ts";
import { type FileServer, fileServer } from "../../page/file-server.ts";
import { type FakeStorage, fakeStorage } from "./fake-storage.ts";

const PART = 32 * 2 ** 20;
const files = new Map<string, Uint8Array>();
for (const name of readdirSync(embeddedModel())) files.set(name, new Uint8Array(readFileSync(join(embeddedModel(), name))));
const encode = (text: string): Uint8Array => new TextEncoder().encode(text);
/** Of three parts, the last a short one. */
const weights = new Uint8Array(2 * PART + 1000);
for (let i = 0; i < weights.length; i++) weights[i] = i * 31 + (i >>> 15);
const large = new Map([
  ["config.json", encode("{}")],
  ["README.md", encode("not needed")],
  ["model.safetensors", weights],
]);
const sha = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");
let server: FileServer;
let storage: FakeStorage;
beforeAll(async () => {
  server = await fileServer(large);
});
afterAll(async () => {
  await server.close();
  vi.unstubAllGlobals();
});
beforeEach(() => {
  storage = fakeStorage();
  vi.stubGlobal("navigator", storage.navigator);
  server.asked.length = 0;
  server.files.set("model.safetensors", weights);
  server.version = "etag";
});
const remote = (): ByteStore => urlStore(server.url, { patience: { tries: 2, waitMs: 1 } });
/** Weights' bytes that were asked for, the look at the first page apart. */
const asked = (): string[] =>
  server.asked.filter(({ path, range }) => path === "model.safetensors" && range !== "bytes=0-1048575").map(({ range }) => range!);
const bytesOf = async (store: ByteStore, name: string): Promise<string> => {
  const source = await store.open(name);
  return sha(await readBytes(source, 0, source.byteLength));
};

describe("a model that is kept", () => {
  it("answers as the folder on disk does", async () => {
    const text = async (place: string | ByteStore): Promise<string> => {
      const model = await loadModel(place, { backend: "cpu", ops: "javascript" });
      let all = "";
      for await (const { text } of model.generate({ text: "구름" }, { maxNewTokens: 4, greedy: true })) all += text;
      model.dispose();
      return all;
    };
    const kept = await keepModel("tiny/모델", memoryStore("folder", files));
    expect(await text(kept)).toBe(await text(embeddedModel()));
    expect(await text(await openKept("tiny/모델"))).toBe(await text(embeddedModel()));
  });

  it("has the files that the engine reads, by their bytes, and templates in their folder", async () => {
    const store = memoryStore("m", new Map([...large, ["additional_chat_templates/rag.jinja", encode("x")]]));
    const kept = await keepModel("m", store);
    expect((await kept.list()).sort()).toEqual(["config.json", "model.safetensors"]);
    expect(await kept.folder!("additional_chat_templates").list()).toEqual(["rag.jinja"]);
    expect(await bytesOf(kept, "model.safetensors")).toBe(sha(weights));
    const source = await kept.open("model.safetensors");
    for (const [at, length] of [
      [PART - 5, 10],
      [PART, 1],
      [2 * PART - 1, 1001],
      [0, 0],
    ] as const)
      expect(await readBytes(source, at, length)).toEqual(weights.slice(at, at + length));
    await expect(source.readInto(2 * PART, new Uint8Array(1001))).rejects.toMatchObject({ code: "io" });
  });

  it("is listed with sizes and hashes, checked again on demand, and deleted whole", async () => {
    await keepModel("b", remote());
    await keepModel("a", memoryStore("folder", files));
    const list = await listKept();
    expect(list.map(({ name, whole }) => [name, whole])).toEqual([
      ["a", true],
      ["b", true],
    ]);
    expect(list[1]!.files["model.safetensors"]).toMatchObject({
      byteLength: weights.length,
      sha256: sha(weights),
      version: expect.stringMatching(/^"/),
    });
    expect(list[1]!.byteLength).toBe(weights.length + 2);
    const told: number[] = [];
    await verifyKept("b", (done) => told.push(done));
    expect(told.at(-1)).toBe(weights.length + 2);
    await expectOwnError((onProgress) => verifyKept("b", onProgress));
    await deleteKept("b");
    expect((await listKept()).map(({ name }) => name)).toEqual(["a"]);
    expect([...storage.files.keys()].filter((path) => path.includes("/b/"))).toEqual([]);
    await deleteKept("b");
    await expect(openKept("b")).rejects.toMatchObject({ code: "not-found", message: "b: no model of this name is kept — keep it first" });
  });

  it("is brought once: the same call again asks for no weights", async () => {
    await keepModel("b", remote());
    expect(asked()).toHaveLength(3);
    const progress: number[] = [];
    await keepModel("b", remote(), { onProgress: ({ bytesDone }) => progress.push(bytesDone) });
    expect(asked()).toHaveLength(3);
    expect(progress.at(-1)).toBe(weights.length + 2);
  });

  it("is brought anew where the server's file is another one, of the same length too", async () => {
    await keepModel("b", remote());
    const other = weights.slice();
    other[5] = 1;
    server.files.set("model.safetensors", other);
    expect(await bytesOf(await keepModel("b", remote()), "model.safetensors")).toBe(sha(other));
  });

  it("is brought anew where neither a hash nor a version tells that it is the same", async () => {
    server.version = "none";
    await keepModel("b", remote());
    await keepModel("b", remote());
    expect(asked()).toHaveLength(6);
    await keepModel("b", remote(), { hashes: { "model.safetensors": sha(weights) } });
    expect(asked()).toHaveLength(6);
  });
});

describe("a tab that dies", () => {
  /** Keeps until the weights' part `n` is to be written. */
  const dieAt = async (n: number, hashes: Record<string, string> = {}): Promise<void> => {
    storage.onWrite = (path) => {
      if (path.endsWith(`model.safetensors.${n}`)) throw new Error("the tab died");
    };
    await expect(keepModel("b", remote(), { hashes })).rejects.toThrow("the tab died");
    storage.onWrite = () => {};
  };

  it("leaves whole parts, behind which the next run goes on", async () => {
    await dieAt(2);
    expect((await listKept())[0]).toMatchObject({ name: "b", whole: false });
    await expect(openKept("b")).rejects.toMatchObject({
      code: "not-found",
      message: expect.stringMatching(/^b: the model is not all there — keep it again/),
    });
    server.asked.length = 0;
    expect(await bytesOf(await keepModel("b", remote()), "model.safetensors")).toBe(sha(weights));
    expect(asked()).toEqual([`bytes=${2 * PART}-${2 * PART + 999}`]);
  });

  it("leaves a cut part where files are written in place, which is written again", async () => {
    storage.ways = ["sync"];
    let writes = 0;
    storage.onWrite = (path) => {
      if (path.endsWith("model.safetensors.1") && ++writes === 3) throw new Error("the tab died");
    };
    await expect(keepModel("b", remote())).rejects.toThrow("the tab died");
    storage.onWrite = () => {};
    expect(storage.files.get("/gureum-models/b/model.safetensors.1")!.length).toBe(10_000_000);
    expect(await bytesOf(await keepModel("b", remote()), "model.safetensors")).toBe(sha(weights));
  });

  it("leaves a beginning of another file, which a hash tells: all of it is brought once more", async () => {
    server.version = "none";
    const hashes = { "model.safetensors": sha(weights) };
    await dieAt(1, hashes);
    storage.files.get("/gureum-models/b/model.safetensors.0")![77]! ^= 1;
    expect(await bytesOf(await keepModel("b", remote(), { hashes }), "model.safetensors")).toBe(sha(weights));
  });

  it("or is stopped, goes on as well", async () => {
    const signal = { aborted: false };
    const onProgress = ({ fileName }: { fileName: string }): void => {
      if (fileName === "model.safetensors") signal.aborted = true;
    };
    await expect(keepModel("b", remote(), { signal, onProgress })).rejects.toMatchObject({
      code: "aborted",
      message: expect.stringMatching(/keep it again/),
    });
    server.asked.length = 0;
    await keepModel("b", remote());
    expect(asked()).toHaveLength(2);
  });

  it("does not stand in another's way: two calls of one name take turns", async () => {
    const [a, b] = await Promise.all([keepModel("b", remote()), keepModel("b", remote())]);
    expect(await bytesOf(a, "model.safetensors")).toBe(await bytesOf(b, "model.safetensors"));
    expect(asked()).toHaveLength(3);
  });
});

describe("a storage that fails", () => {
  it("by its quota is named before anything is brought, and in the middle", async () => {
    storage.quota = 50_000_000;
    await expect(keepModel("b", remote())).rejects.toMatchObject({
      code: "disk-full",
      message: expect.stringMatching(
        /^b: the browser gives this page too little storage, expected 67.*, got (49|50).* free — delete a model that is kept/,
      ),
    });
    expect(asked()).toEqual([]);
    storage.quota = 2 ** 32;
    storage.onWrite = (path) => {
      if (path.endsWith("model.safetensors.1")) throw new DOMException("full", "QuotaExceededError");
    };
    await expect(keepModel("b", remote())).rejects.toMatchObject({
      code: "disk-full",
      message: expect.stringMatching(/storage for this page is used up — delete a model/),
    });
  });

  it("by its quota is named where a file is written in place, and where its write would only say that a pipe broke", async () => {
    storage.ways = ["sync"];
    storage.onWrite = (path) => {
      if (path.includes("safetensors")) storage.quota = 40_000_000;
    };
    await expect(keepModel("b", remote())).rejects.toMatchObject({
      code: "disk-full",
      message: expect.stringMatching(/takes no more bytes/),
    });
    storage.ways = ["writable"];
    // A busy Chromium says of the write of a full storage only that a pipe broke.
    storage.onWrite = (path) => {
      if (storage.quota === 2 ** 32) storage.quota = 10_000_000;
      if (path.includes("safetensors")) throw new DOMException("Failed to write data to data pipe", "AbortError");
    };
    storage.quota = 2 ** 32;
    await expect(keepModel("b", remote())).rejects.toMatchObject({ code: "disk-full" });
    storage.onWrite = (path) => {
      if (path.includes("safetensors")) throw new DOMException("Failed to write data to data pipe", "AbortError");
    };
    storage.quota = 2 ** 32;
    await expect(keepModel("b", remote())).rejects.toMatchObject({ code: "io", message: expect.stringMatching(/data pipe — try again/) });
  });

  it("is not there outside of browsers, or refuses, in one line each", async () => {
    vi.stubGlobal("navigator", {});
    await expect(listKept()).rejects.toMatchObject({
      code: "unsupported",
      message: expect.stringMatching(/^storage: this host has no storage/),
    });
    vi.stubGlobal("navigator", { storage: { getDirectory: async () => Promise.reject(new DOMException("no", "SecurityError")) } });
    await expect(listKept()).rejects.toMatchObject({
      code: "access",
      message: expect.stringMatching(/the browser gives this page no storage, got no — leave/),
    });
    storage.ways = [];
    vi.stubGlobal("navigator", storage.navigator);
    await expect(keepModel("b", remote())).rejects.toMatchObject({ code: "unsupported", message: expect.stringMatching(/from a worker$/) });
  });

  it("loses a part, which opening names, or a bit, which the check names", async () => {
    await keepModel("b", remote());
    const part = "/gureum-models/b/model.safetensors.1";
    storage.files.get(part)![9]! ^= 4;
    await expect(verifyKept("b")).rejects.toMatchObject({
      code: "io",
      message: expect.stringMatching(/^b\/model\.safetensors: the kept bytes changed, expected/),
    });
    storage.files.delete(part);
    await expect(openKept("b")).rejects.toMatchObject({ code: "io", message: expect.stringMatching(/a part of the kept file is missing/) });
    expect(await bytesOf(await keepModel("b", remote()), "model.safetensors")).toBe(sha(weights));
  });

  it("may be cleared by the browser, which is said once", async () => {
    storage.persists = false;
    const notes: string[] = [];
    await keepModel("b", remote(), { onNote: (text) => notes.push(text) });
    expect(notes).toEqual([expect.stringMatching(/^b: the browser may remove what is kept/)]);
  });

  it("with a broken list counts as empty", async () => {
    await keepModel("b", remote());
    storage.files.set("/gureum-models/b/gureum-kept.json", new Uint8Array([1, 2, 3]));
    expect((await listKept())[0]).toMatchObject({ whole: false, files: {} });
    expect(await bytesOf(await keepModel("b", remote()), "model.safetensors")).toBe(sha(weights));
  });

  it("takes no bytes whose hash is not the one that was given", async () => {
    await expect(keepModel("b", remote(), { hashes: { "model.safetensors": "f".repeat(64) } })).rejects.toMatchObject({
      code: "network",
      message: expect.stringMatching(/does not have the SHA-256/),
    });
    expect([...storage.files.keys()].filter((path) => path.includes("safetensors"))).toEqual([]);
  });
});
