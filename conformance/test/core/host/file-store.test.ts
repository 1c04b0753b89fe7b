/** Folders that a person gives a page, by small fakes; by Chromium's own: page/library.test.ts. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { type ByteStore, readBytes } from "../../../../core/checkpoint/byte-source.ts";
import { type DirectoryHandleLike, embeddedModel, type FileLike, fileStore, type GivenFolder, openChat } from "../../../../index.ts";

type Tree = { readonly [name: string]: Uint8Array<ArrayBuffer> | Tree };
const encode = (text: string): Uint8Array<ArrayBuffer> => new TextEncoder().encode(text) as Uint8Array<ArrayBuffer>;
const isFile = (entry: Uint8Array<ArrayBuffer> | Tree): entry is Uint8Array<ArrayBuffer> => entry instanceof Uint8Array;
const fault = (name: string): DOMException => new DOMException(`a ${name}`, name);

/** As a directory picker gives. */
const handleOf = (name: string, tree: Tree): DirectoryHandleLike => ({
  kind: "directory",
  name,
  async *values() {
    for (const [name, entry] of Object.entries(tree)) yield { kind: isFile(entry) ? "file" : "directory", name };
  },
  async getFileHandle(name) {
    const entry = tree[name];
    if (!entry) throw fault("NotFoundError");
    if (!isFile(entry)) throw fault("TypeMismatchError");
    return { getFile: async () => new File([entry], name) };
  },
  async getDirectoryHandle(name) {
    const entry = tree[name];
    if (!entry || isFile(entry)) throw fault("NotFoundError");
    return handleOf(name, entry);
  },
});

/** As a drop gives: a reader that brings two entries at a time. */
const entryOf = (name: string, entry: Uint8Array<ArrayBuffer> | Tree): never =>
  ({
    name,
    isDirectory: !isFile(entry),
    ...(isFile(entry)
      ? { file: (done: (file: File) => void) => done(new File([entry], name)) }
      : {
          createReader() {
            const all = Object.entries(entry).map(([name, inner]) => entryOf(name, inner));
            return { readEntries: (done: (some: unknown[]) => void) => done(all.splice(0, 2)) };
          },
        }),
  }) as never;

/** As `<input webkitdirectory>` gives. */
function listOf(path: string, tree: Tree): FileLike[] {
  return Object.entries(tree).flatMap(([name, entry]): FileLike[] => {
    if (!isFile(entry)) return listOf(`${path}/${name}`, entry);
    return [Object.defineProperty(new File([entry], name), "webkitRelativePath", { value: `${path}/${name}` })];
  });
}

const tree: Tree = {
  "config.json": encode("{}"),
  "model.safetensors": new Uint8Array(9_000_000).map((_, i) => (i * 7) & 255),
  "empty.json": new Uint8Array(0),
  additional_chat_templates: { "rag.jinja": encode("rag"), "tool_use.jinja": encode("tools") },
};
const ways: readonly (readonly [string, (tree: Tree) => GivenFolder])[] = [
  ["a picked folder", (tree) => handleOf("llama", tree)],
  ["a dropped folder", (tree) => entryOf("llama", tree)],
  ["a chosen folder's files", (tree) => listOf("llama", tree)],
];

describe.each(ways)("%s", (_, give) => {
  const open = (of: Tree = tree): ByteStore => fileStore(give(of));

  it("is named after itself and lists its files", async () => {
    expect(open().name).toBe("llama");
    expect((await open().list()).sort()).toEqual(["config.json", "empty.json", "model.safetensors"]);
    expect((await open().folder!("additional_chat_templates").list()).sort()).toEqual(["rag.jinja", "tool_use.jinja"]);
  });

  it("gives any range of a file, also a longer one than is read at once", async () => {
    const source = await open().open("model.safetensors");
    expect(source.byteLength).toBe(9_000_000);
    for (const [at, length] of [
      [0, 9_000_000],
      [4_194_303, 2],
      [8_999_999, 1],
      [123_456, 5_000_000],
    ] as const)
      expect(Buffer.compare(await readBytes(source, at, length), (tree["model.safetensors"] as Uint8Array).subarray(at, at + length))).toBe(
        0,
      );
    await expect(source.readInto(8_999_999, new Uint8Array(2))).rejects.toMatchObject({ code: "io" });
    expect((await open().open("empty.json")).byteLength).toBe(0);
    expect(await readBytes(await open().folder!("additional_chat_templates").open("rag.jinja"), 0, 3)).toEqual(encode("rag"));
  });

  it("says what is not there", async () => {
    await expect(open().open("other.json")).rejects.toMatchObject({
      code: "not-found",
      message: expect.stringMatching(/^llama\/other\.json: no such file/),
    });
    await expect(open().folder!("none").open("a")).rejects.toMatchObject({ code: "not-found" });
  });

  it("opens a model's tokenizer as the folder on disk does", async () => {
    const disk = Object.fromEntries(
      readdirSync(embeddedModel()).map((name) => [name, new Uint8Array(readFileSync(join(embeddedModel(), name)))]),
    );
    const messages = [{ role: "user", content: "너는 누구니?" }];
    expect((await openChat(open(disk))).encode(messages)).toEqual((await openChat(embeddedModel())).encode(messages));
  });
});

describe("files", () => {
  it("that lie in no folder are one by themselves", async () => {
    const store = fileStore([new File(["{}"], "config.json"), new File(["x"], "tokenizer.json")]);
    expect([store.name, (await store.list()).sort()]).toEqual(["the chosen files", ["config.json", "tokenizer.json"]]);
    expect(() => fileStore([])).toThrow(expect.objectContaining({ code: "not-found" }));
  });

  it("that the browser no longer reads are named, with what to do", async () => {
    const gone = { name: "config.json", size: 10, slice: () => gone, arrayBuffer: () => Promise.reject(fault("NotReadableError")) };
    const source = await fileStore([gone]).open("config.json");
    await expect(readBytes(source, 0, 4)).rejects.toMatchObject({
      code: "io",
      message:
        "the chosen files/config.json: the browser cannot read the file: it changed or went since it was chosen, or its permission did, got a NotReadableError — choose the folder again",
    });
    const short = { name: "a", size: 10, slice: () => short, arrayBuffer: async () => new ArrayBuffer(3) };
    await expect(readBytes(await fileStore([short]).open("a"), 0, 10)).rejects.toMatchObject({
      code: "io",
      message: expect.stringMatching(/cut off/),
    });
  });

  it("whose permission is refused are named, and what is no folder", async () => {
    const closed: DirectoryHandleLike = { ...handleOf("x", {}), getFileHandle: () => Promise.reject(fault("NotAllowedError")) };
    await expect(fileStore(closed).open("config.json")).rejects.toMatchObject({
      code: "access",
      message: "x/config.json: the browser does not let this page read it — choose the folder again",
    });
    await expect(fileStore(entryOf("file.txt", encode("x"))).list()).rejects.toMatchObject({
      code: "not-found",
      message: expect.stringMatching(/not a folder/),
    });
  });
});
