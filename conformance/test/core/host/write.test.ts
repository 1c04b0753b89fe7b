/** The disk: writes whole or nothing, and what cannot be written is known before. */
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { chmod, lstat, mkdir, open, readdir, readFile, stat, symlink, writeFile as writePlain } from "node:fs/promises";
import { createServer } from "node:net";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { GureumError } from "../../../../core/errors.ts";
import { openFifo, readFifo } from "../../../../core/host/fifo.ts";
import { hostError } from "../../../../core/host/host-error.ts";
import { onLeftParts } from "../../../../core/host/parts.ts";
import { checkFreeSpace, checkWritable, writeFile, writeFolder } from "../../../../core/host/write.ts";
import { folderOfEach } from "../../fixtures/fresh-folder.ts";

const path = folderOfEach("host");
const bytes = (...values: number[]): Uint8Array => Uint8Array.from(values);

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
    expect(await readdir(path())).toEqual(["a"]);
  });

  it("leave the old file and nothing else where the body fails", async () => {
    await writePlain(path("a"), bytes(9));
    const failing = writeFile(path("a"), async (sink) => {
      await sink(bytes(1));
      throw new GureumError("aborted", { what: "stopped" });
    });
    await expect(failing).rejects.toMatchObject({ code: "aborted" });
    expect(await readdir(path())).toEqual(["a"]);
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
    await expect(write(true)).rejects.toMatchObject({
      code: "disk-full",
      message: `${join(target, "two")}: no space left on the disk — free some, or give a path on another disk`,
    });
    expect(await readdir(path())).toEqual([]);
    await write(false);
    expect((await readdir(target)).sort()).toEqual(["one", "two"]);
  });

  it("keep what else is in the folder where they fail", async () => {
    await writePlain(path("other"), bytes(5));
    await expect(
      writeFolder(path(), async (writer) => {
        await writer.file("one", (sink) => sink(bytes(1)));
        await writer.file("../out", (sink) => sink(bytes(1)));
      }),
    ).rejects.toThrow(/not a plain file name/);
    expect(await readdir(path())).toEqual(["other"]);
  });

  it.skipIf(process.platform !== "linux")("report a full disk as such (/dev/full)", async () => {
    const handle = await open("/dev/full", "w");
    const error = await handle.write(bytes(1)).catch((cause: unknown) => hostError("/dev/full", cause));
    await handle.close();
    expect(error).toMatchObject({
      code: "disk-full",
      message: "/dev/full: no space left on the disk — free some, or give a path on another disk",
    });
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
    expect((await readdir(path())).sort()).toEqual(["a", "dangling", "fifo", "link", "new"]);
    await symlink("circle", path("circle"));
    await expect(writeFile(path("circle"), (sink) => sink(bytes(1)))).rejects.toMatchObject({ code: "io" });
  });

  it("refuse a folder in the file's place, and a missing folder", async () => {
    await mkdir(path("a"));
    await expect(writeFile(path("a"), async () => {})).rejects.toMatchObject({
      code: "io",
      message: `${path("a")}: is a folder, not a file — give a file`,
    });
    await expect(writeFile(path("none/a"), async () => {})).rejects.toMatchObject({ code: "not-found" });
    expect(await readdir(path())).toEqual(["a"]);
  });
});

describe("checkWritable", () => {
  it("leaves nothing behind, and gives the file that a link leads to", async () => {
    await writePlain(path("a"), bytes(9));
    await symlink("a", path("link"));
    await symlink("new", path("dangling"));
    expect(await checkWritable(path("link"))).toBe(path("a"));
    expect(await checkWritable(path("dangling"))).toBe(path("new"));
    expect([...(await readFile(path("a")))]).toEqual([9]);
    expect((await readdir(path())).sort()).toEqual(["a", "dangling", "link"]);
  });

  it("refuses what writeFile refuses, in its words", async () => {
    await mkdir(path("folder"));
    await symlink("circle", path("circle"));
    const socket = createServer().listen(path("socket"));
    await once(socket, "listening");
    const places = [
      path("folder"),
      path("none/a"),
      path("circle"),
      path("socket"),
      "",
      ...(process.platform === "linux" ? ["/proc/a"] : []),
    ];
    for (const place of places) {
      const said = await writeFile(place, async () => {}).catch((error: unknown) => error);
      expect(said).toMatchObject({ message: expect.stringMatching(/ — /) });
      await expect(checkWritable(place)).rejects.toMatchObject({ message: (said as GureumError).message });
    }
    socket.close();
  });

  it.skipIf(process.getuid?.() === 0)("refuses a folder that may not be written to", async () => {
    await mkdir(path("sealed"), 0o555);
    await expect(checkWritable(path("sealed/a"))).rejects.toMatchObject({ message: expect.stringMatching(/permission denied — /) });
  });

  it("does not open a FIFO or a device", async () => {
    execFileSync("mkfifo", [path("fifo")]);
    for (const place of [path("fifo"), "/dev/null"]) expect(await checkWritable(place)).toBeNull();
  });
});

describe("a FIFO", () => {
  it("that nobody writes to, or reads, is told of in bounded time", async () => {
    execFileSync("mkfifo", [path("fifo")]);
    await expect(readFifo(path("fifo"), 20).next()).rejects.toMatchObject({
      message: expect.stringMatching(/nobody writes to this FIFO.* — /),
    });
    await expect(openFifo(path("fifo"), "named", 20)).rejects.toMatchObject({
      message: expect.stringMatching(/^named: nobody reads.* — /),
    });
  });

  it("is read to its end from a writer that comes later, pauses, and writes more than a pipe holds", async () => {
    execFileSync("mkfifo", [path("fifo")]);
    const script = "sleep 0.1; exec > $0; sleep 0.1; printf abc; sleep 0.1; head -c 200000 /dev/zero";
    const writer = spawn("sh", ["-c", script, path("fifo")]);
    let byteLength = 0;
    for await (const part of readFifo(path("fifo"))) byteLength += part.length;
    expect(byteLength).toBe(200_003);
    expect(writer.exitCode ?? (await once(writer, "exit"))[0]).toBe(0);
  });
});

describe("parts of a run that was ended", () => {
  const writing = `
    const { writeFolder } = await import(process.argv[1]);
    await writeFolder(process.argv[2], (w) => w.file("big", async (sink) => { await sink(new Uint8Array(9)); console.log("begun"); await new Promise((r) => setTimeout(r, 60_000)); }));`;
  const start = async (folder = "model"): Promise<ChildProcess> => {
    const built = fileURLToPath(new URL("../../../../dist/core/host/write.js", import.meta.url));
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
