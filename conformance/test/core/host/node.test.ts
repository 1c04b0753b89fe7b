/** The disk: reads whole or an error. */
import { execFileSync } from "node:child_process";
import { appendFile, chmod, mkdir, open, symlink, truncate, utimes, writeFile as writePlain } from "node:fs/promises";
import process from "node:process";
import { describe, expect, it } from "vitest";
import { readBytes } from "../../../../core/checkpoint/byte-source.ts";
import { GureumError } from "../../../../core/errors.ts";
import { hostError } from "../../../../core/host/host-error.ts";
import { directoryStore, fileSource } from "../../../../core/host/node.ts";
import { folderOfEach } from "../../fixtures/fresh-folder.ts";

const path = folderOfEach("host");
const bytes = (...values: number[]): Uint8Array => Uint8Array.from(values);

describe("fileSource", () => {
  it("reads any range of a file", async () => {
    await writePlain(path("a"), bytes(0, 1, 2, 3, 4));
    const source = await fileSource(path("a"));
    expect(source).toMatchObject({ name: path("a"), byteLength: 5 });
    expect(await readBytes(source, 1, 3)).toEqual(bytes(1, 2, 3));
    expect(await readBytes(source, 5, 0)).toEqual(bytes());
    await expect(readBytes(source, 3, 3)).rejects.toMatchObject({
      code: "io",
      message: `${path("a")}: read past the end, expected at most 5 bytes, got 6`,
    });
    await expect(readBytes(source, -1, 1)).rejects.toBeInstanceOf(GureumError);
    await source.close();
    await expect(readBytes(source, 0, 1)).rejects.toMatchObject({ name: "GureumError", code: "io" });
  });

  it("reads beyond 4 GiB of a file", async () => {
    const handle = await open(path("sparse"), "w");
    const at = 2 ** 32 + 2 ** 31 + 5;
    await handle.write(bytes(7, 8, 9), 0, 3, at);
    await handle.close();
    const source = await fileSource(path("sparse"));
    expect(source.byteLength).toBe(at + 3);
    expect(await readBytes(source, at - 1, 4)).toEqual(bytes(0, 7, 8, 9));
    await source.close();
  });

  it("notices a file that shrinks, grows or is rewritten while it is open", async () => {
    const changes = [
      (file: string) => truncate(file, 3),
      (file: string) => appendFile(file, bytes(9)),
      (file: string) => utimes(file, new Date(0), new Date(0)),
    ];
    for (const [i, change] of changes.entries()) {
      const file = path(`f${i}`);
      await writePlain(file, bytes(0, 1, 2, 3));
      const source = await fileSource(file);
      await change(file);
      await expect(readBytes(source, 0, 4)).rejects.toMatchObject({ code: "io", message: expect.stringMatching(/while it was read/) });
      await source.close();
    }
  });

  it("says what a path is that is no readable file", async () => {
    await mkdir(path("sub"));
    await writePlain(path("a"), bytes());
    await expect(fileSource(path("none"))).rejects.toMatchObject({
      code: "not-found",
      message: `${path("none")}: no such file or folder — check the path`,
    });
    await expect(fileSource(path("sub"))).rejects.toMatchObject({
      code: "io",
      message: `${path("sub")}: is a folder, not a file — give a file`,
    });
    await expect(fileSource(path("a/b"))).rejects.toMatchObject({ code: "not-found" });
    await expect(fileSource("/dev/null")).rejects.toMatchObject({ code: "io", message: "/dev/null: is not a regular file — give a file" });
    await expect(fileSource("a\0b")).rejects.toBeInstanceOf(GureumError);
  });

  it.skipIf(process.getuid?.() === 0)("says that permission is denied", async () => {
    await writePlain(path("a"), bytes());
    await chmod(path("a"), 0);
    await expect(fileSource(path("a"))).rejects.toMatchObject({
      code: "io",
      message: `${path("a")}: permission denied — change its permissions, or give another path`,
    });
  });
});

describe("directoryStore", () => {
  it("lists files, follows links, and stays inside its folder", async () => {
    await writePlain(path("a.json"), bytes(1));
    await mkdir(path("sub"));
    await symlink(path("a.json"), path("b.json"));
    const store = directoryStore(path());
    expect((await store.list()).sort()).toEqual(["a.json", "b.json"]);
    const source = await store.open("b.json");
    expect(await readBytes(source, 0, 1)).toEqual(bytes(1));
    await source.close();
    for (const name of ["../a", "sub/a", "..", ".", "", "a\\b", "a\0"])
      await expect(store.open(name)).rejects.toThrow(/not a plain file name/);
    await expect(directoryStore(path("none")).list()).rejects.toMatchObject({ code: "not-found" });
  });
});

describe("hostError", () => {
  it.each([
    ["ENOSPC", "disk-full"],
    ["EDQUOT", "disk-full"],
    ["ENOENT", "not-found"],
    ["EACCES", "io"],
    ["EIO", "io"],
  ])("gives %s the code %s", (code, expected) => {
    expect(hostError("p", Object.assign(new Error(`${code}: it\nfailed`), { code }))).toMatchObject({
      code: expected,
      message: expect.stringMatching(/^p: [^\n]+ — [^\n]+$/), // one line, with a remedy
    });
  });

  it("leaves a GureumError as it is, and takes anything else", () => {
    const error = new GureumError("limit", { what: "x" });
    expect(hostError("p", error)).toBe(error);
    expect(hostError("p", "odd").message).toBe("p: odd — check the path and its disk");
  });
});

describe("files of a model folder that are none", () => {
  it.each(["FIFO", "folder"])("are named, and nothing waits for them: a %s", async (kind) => {
    if (kind === "FIFO") execFileSync("mkfifo", [path("config.json")]);
    else await mkdir(path("config.json"));
    const store = directoryStore(path());
    expect(await store.list()).toEqual(["config.json"]);
    await expect(store.open("config.json")).rejects.toMatchObject({
      code: "io",
      message: `${path("config.json")}: ${kind === "FIFO" ? "is not a regular file" : "is a folder, not a file"} — give a file`,
    });
  });
});
