/**
 * One process at a time, by a file that names its holder. Held is a file whose process lives on this host, or that was touched a short
 * while ago from another.
 */
import { readFile, rename, rm, stat, utimes, writeFile } from "node:fs/promises";
import { hostname } from "node:os";
import { basename, dirname, join } from "node:path";
import process from "node:process";
import { GureumError } from "../errors.ts";
import { makeFolders } from "./folders.ts";
import { hostError } from "./host-error.ts";
import { beginPart, endPart } from "./parts.ts";
import { pause } from "./web-ask.ts";

/** A holder touches its lock at this rate, in milliseconds; one that has not for STALE_MS is gone. */
const TOUCH_MS = 5000;
const STALE_MS = 20_000;
const LOOK_MS = 200;

let count = 0;

const lives = (pid: number): boolean => {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as { code?: unknown }).code === "EPERM";
  }
};

/** Whether the lock's holder is gone. */
async function isStale(path: string): Promise<boolean> {
  try {
    const [pid = "", host = ""] = (await readFile(path, "utf8")).split(" ");
    if (host === hostname() && /^\d+$/.test(pid)) return !lives(Number(pid));
    return Date.now() - (await stat(path)).mtimeMs > STALE_MS;
  } catch {
    return false;
  }
}

/**
 * Waits until no other process holds `path`, and holds it.
 * @param onWait called once where somebody else does; what it throws ends the waiting
 * @param named in messages
 * @returns what lets it go
 */
async function hold(path: string, onWait: () => void, named = path): Promise<() => Promise<void>> {
  const mine = `${process.pid} ${hostname()} ${count++}`;
  await makeFolders(dirname(path)).catch((error: unknown) => {
    throw hostError(named === path ? dirname(path) : named, error);
  });
  for (let waited = false; ; ) {
    try {
      await writeFile(path, mine, { flag: "wx" });
      break;
    } catch (error) {
      if ((error as { code?: unknown }).code !== "EEXIST") throw hostError(named, error);
    }
    if (await isStale(path)) {
      // By renaming: of several that find it stale only one gets it.
      const aside = `${path}.${process.pid}-${count++}`;
      await rename(path, aside).then(
        () => rm(aside, { force: true }),
        () => {},
      );
      continue;
    }
    if (!waited) onWait();
    waited = true;
    await pause(LOOK_MS);
  }
  beginPart(path);
  const touch = setInterval(() => void utimes(path, new Date(), new Date()).catch(() => {}), TOUCH_MS);
  touch.unref();
  return async () => {
    clearInterval(touch);
    if ((await readFile(path, "utf8").catch(() => "")) === mine) await rm(path, { force: true });
    endPart(path);
  };
}

/** Runs `body` alone among all that ask for `path`. `onWait` is called once where somebody else holds it. */
export async function withLock<T>(path: string, onWait: () => void, body: () => Promise<T>): Promise<T> {
  const release = await hold(path, onWait);
  try {
    return await body();
  } finally {
    await release();
  }
}

/**
 * Takes a file or folder that is written bit by bit for this process alone, by a hidden file beside it.
 * @returns what lets it go
 * @throws GureumError "usage" where another process writes it
 */
export function claim(target: string): Promise<() => Promise<void>> {
  const refuse = (): never => {
    throw new GureumError("usage", {
      where: target,
      what: "another process is writing it",
      remedy: "let that one end, or write to another place",
    });
  };
  return hold(join(dirname(target), `.${basename(target)}.lock`), refuse, target);
}
