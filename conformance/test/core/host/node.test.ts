/** The disk: reads whole or an error, writes whole or nothing. */
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import {
  appendFile,
  chmod,
  lstat,
  mkdir,
  mkdtemp,
  open,
  readdir,
  readFile,
  rm,
  stat,
  symlink,
  truncate,
  utimes,
  writeFile as writePlain,
} from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { readBytes } from "../../../../core/checkpoint/byte-source.ts";
import { GureumError } from "../../../../core/errors.ts";
import { checkFreeSpace, directoryStore, fileSource, hostError, writeFile, writeFolder } from "../../../../core/host/node.ts";
import { onLeftParts } from "../../../../core/host/parts.ts";

let folder = "";
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "gureum-host-"));
});
afterEach(() => rm(folder, { recursive: true }));

const path = (name: string): string => join(folder, name);
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
    await expect(fileSource(path("none"))).rejects.toMatchObject({ code: "not-found", message: `${path("none")}: no such file or folder` });
    await expect(fileSource(path("sub"))).rejects.toMatchObject({ code: "io", message: `${path("sub")}: is a folder, not a file` });
    await expect(fileSource(path("a/b"))).rejects.toMatchObject({ code: "not-found" });
    await expect(fileSource("/dev/null")).rejects.toMatchObject({ code: "io", message: "/dev/null: is not a regular file" });
    await expect(fileSource("a\0b")).rejects.toBeInstanceOf(GureumError);
  });

  it.skipIf(process.getuid?.() === 0)("says that permission is denied", async () => {
    await writePlain(path("a"), bytes());
    await chmod(path("a"), 0);
    await expect(fileSource(path("a"))).rejects.toMatchObject({ code: "io", message: `${path("a")}: permission denied` });
  });
});

describe("directoryStore", () => {
  it("lists files, follows links, and stays inside its folder", async () => {
    await writePlain(path("a.json"), bytes(1));
    await mkdir(path("sub"));
    await symlink(path("a.json"), path("b.json"));
    const store = directoryStore(folder);
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
      message: expect.not.stringContaining("\n"),
    });
  });

  it("leaves a GureumError as it is, and takes anything else", () => {
    const error = new GureumError("limit", { what: "x" });
    expect(hostError("p", error)).toBe(error);
    expect(hostError("p", "odd").message).toBe("p: odd");
  });
});

describe("writeFile, writeFolder", () => {
  it("write what the body sends, over what was there", async () => {
    await writePlain(path("a"), bytes(9, 9, 9));
    await writeFile(path("a"), async (sink) => {
      const reused = bytes(1, 2);
      await sink(reused);
      reused.fill(3);
      await sink(reused);
    });
    expect([...(await readFile(path("a")))]).toEqual([1, 2, 3, 3]);
    expect(await readdir(folder)).toEqual(["a"]);
  });

  it("leave the old file and nothing else where the body fails", async () => {
    await writePlain(path("a"), bytes(9));
    const failing = writeFile(path("a"), async (sink) => {
      await sink(bytes(1));
      throw new GureumError("aborted", { what: "stopped" });
    });
    await expect(failing).rejects.toMatchObject({ code: "aborted" });
    expect(await readdir(folder)).toEqual(["a"]);
    expect([...(await readFile(path("a")))]).toEqual([9]);
  });

  it("show no file of a folder before all are written, and none where one fails", async () => {
    const target = path("x/y");
    const write = (fail: boolean) =>
      writeFolder(target, async (writer) => {
        await writer.file("one", (sink) => sink(bytes(1)));
        expect((await readdir(target)).filter((name) => !name.endsWith(".part"))).toEqual([]);
        await writer.file("two", async (sink) => {
          await sink(bytes(2));
          if (fail) throw Object.assign(new Error("ENOSPC: no space"), { code: "ENOSPC" });
        });
      });
    await expect(write(true)).rejects.toMatchObject({ code: "disk-full", message: `${join(target, "two")}: no space left on the disk` });
    expect(await readdir(folder)).toEqual([]);
    await write(false);
    expect((await readdir(target)).sort()).toEqual(["one", "two"]);
  });

  it("keep what else is in the folder where they fail", async () => {
    await writePlain(path("other"), bytes(5));
    await expect(
      writeFolder(folder, async (writer) => {
        await writer.file("one", (sink) => sink(bytes(1)));
        await writer.file("../out", (sink) => sink(bytes(1)));
      }),
    ).rejects.toThrow(/not a plain file name/);
    expect(await readdir(folder)).toEqual(["other"]);
  });

  it.skipIf(process.platform !== "linux")("report a full disk as such (/dev/full)", async () => {
    const handle = await open("/dev/full", "w");
    const error = await handle.write(bytes(1)).catch((cause: unknown) => hostError("/dev/full", cause));
    await handle.close();
    expect(error).toMatchObject({ code: "disk-full", message: "/dev/full: no space left on the disk" });
  });

  it("keep the mode of what they replace, follow a link, and write to a device or a FIFO as it is", async () => {
    await writePlain(path("a"), bytes(9));
    await chmod(path("a"), 0o640);
    await symlink("a", path("link"));
    await symlink("new", path("dangling"));
    for (const name of ["a", "link", "dangling"]) await writeFile(path(name), (sink) => sink(bytes(1)));
    expect((await lstat(path("link"))).isSymbolicLink()).toBe(true);
    expect((await stat(path("a"))).mode & 0o777).toBe(0o640);
    expect([...(await readFile(path("new")))]).toEqual([1]);
    execFileSync("mkfifo", [path("fifo")]);
    const reader = readFile(path("fifo"));
    await writeFile(path("fifo"), (sink) => sink(bytes(1, 2, 3)));
    expect([...(await reader)]).toEqual([1, 2, 3]);
    expect((await lstat(path("fifo"))).isFIFO()).toBe(true);
    await writeFile("/dev/null", (sink) => sink(bytes(1)));
    expect((await lstat("/dev/null")).isCharacterDevice()).toBe(true);
    expect((await readdir(folder)).sort()).toEqual(["a", "dangling", "fifo", "link", "new"]);
    await symlink("circle", path("circle"));
    await expect(writeFile(path("circle"), (sink) => sink(bytes(1)))).rejects.toMatchObject({ code: "io" });
  });

  it("refuse a folder in the file's place, and a missing folder", async () => {
    await mkdir(path("a"));
    await expect(writeFile(path("a"), async () => {})).rejects.toMatchObject({
      code: "io",
      message: `${path("a")}: is a folder, not a file`,
    });
    await expect(writeFile(path("none/a"), async () => {})).rejects.toMatchObject({ code: "not-found" });
    expect(await readdir(folder)).toEqual(["a"]);
  });
});

describe("files of a model folder that are none", () => {
  it.each(["FIFO", "folder"])("are named, and nothing waits for them: a %s", async (kind) => {
    if (kind === "FIFO") execFileSync("mkfifo", [path("config.json")]);
    else await mkdir(path("config.json"));
    const store = directoryStore(folder);
    expect(await store.list()).toEqual(["config.json"]);
    await expect(store.open("config.json")).rejects.toMatchObject({
      code: "io",
      message: `${path("config.json")}: ${kind === "FIFO" ? "is not a regular file" : "is a folder, not a file"}`,
    });
  });
});

describe("parts of a run that was ended", () => {
  const writing = `
    const { writeFolder } = await import(process.argv[1]);
    await writeFolder(process.argv[2], (w) => w.file("big", async (sink) => { await sink(new Uint8Array(9)); console.log("begun"); await new Promise((r) => setTimeout(r, 60_000)); }));`;
  const start = async (folder = "model"): Promise<ChildProcess> => {
    const built = fileURLToPath(new URL("../../../../dist/core/host/node.js", import.meta.url));
    const child = spawn(process.execPath, ["--input-type=module", "-e", writing, "--", built, path(folder)]);
    await once(child.stdout!, "data");
    return child;
  };

  it.each(["SIGTERM", "SIGHUP", "SIGINT"] as const)("go with %s", async (signal) => {
    const child = await start();
    child.kill(signal);
    expect(await once(child, "exit")).toEqual([null, signal]);
    expect(await readdir(path("model"))).toEqual([]);
  });

  it("are told of once, by the next who writes there, but not those of a process that lives", async () => {
    const told: unknown[] = [];
    onLeftParts((...left) => void told.push(left));
    const [killed, alive] = [await start("killed"), await start("alive")];
    killed.kill("SIGKILL");
    await once(killed, "exit");
    for (const name of ["killed", "killed", "alive"]) await writeFile(path(`${name}/other`), (sink) => sink(bytes(1)));
    expect(told).toEqual([[path("killed"), [`.big.${killed.pid}-0.part`]]]);
    alive.kill("SIGKILL");
    await once(alive, "exit");
    onLeftParts(() => {});
  });
});

describe("checkFreeSpace", () => {
  it("asks the nearest existing folder", async () => {
    await checkFreeSpace(path("not/yet/there"), 1);
    // /proc has no blocks, and so no free ones: that is not a full disk.
    if (process.platform === "linux") await checkFreeSpace("/proc/not/there", 1);
    await expect(checkFreeSpace(path("not/yet/there"), 2 ** 60)).rejects.toMatchObject({ code: "disk-full" });
  });
});
