/**
 * Files under temporary names: a signal that ends the process takes them along, and those of a process that was killed are
 * found again.
 */
import { rmSync } from "node:fs";
import { readdir } from "node:fs/promises";
import process from "node:process";

/** Parts that are being written. */
const unfinished = new Set<string>();
let count = 0;

/** The name under which `fileName` is written: a process has each once. */
export const partName = (fileName: string): string => `.${fileName}.${process.pid}-${count++}.part`;

/** Signals that end a process; an interrupt does only where nobody else listens for it. */
const deadly = ["SIGTERM", "SIGHUP", "SIGINT"] as const;
const handlers = deadly.map((signal) => [signal, () => onSignal(signal)] as const);

function onSignal(signal: (typeof deadly)[number]): void {
  if (signal === "SIGINT" && process.listenerCount(signal) > 1) return;
  for (const path of unfinished) rmSync(path, { force: true });
  unwatch();
  process.kill(process.pid, signal);
}

function unwatch(): void {
  for (const [signal, handler] of handlers) process.off(signal, handler);
}

/** From here on a signal removes the part. */
export function beginPart(path: string): void {
  if (unfinished.size === 0) for (const [signal, handler] of handlers) process.on(signal, handler);
  unfinished.add(path);
}

/** The part is renamed, or removed. */
export function endPart(path: string): void {
  if (unfinished.delete(path) && unfinished.size === 0) unwatch();
}

let tell: ((folder: string, parts: readonly string[]) => void) | undefined;
/** Folders that were looked at. */
const seen = new Set<string>();

/** Hears once of each folder that is written to and holds parts of processes that are no more. */
export function onLeftParts(listener: (folder: string, parts: readonly string[]) => void): void {
  tell = listener;
}

/** Tells of the parts in a folder about to be written to; they may be another machine's, so they stay. */
export async function noteLeftParts(folder: string): Promise<void> {
  if (!tell || seen.has(folder)) return;
  seen.add(folder);
  const left = await leftParts(folder);
  if (left.length > 0) tell(folder, left);
}

/** Parts in a folder of processes that are no more. A folder that is not there has none. */
async function leftParts(path: string): Promise<string[]> {
  const isAlive = (pid: number): boolean => {
    try {
      process.kill(pid, 0);
      return true;
    } catch (error) {
      return (error as { code?: unknown }).code === "EPERM";
    }
  };
  const names = await readdir(path).catch((): string[] => []);
  return names.filter((name) => {
    const [, pid] = /^\..+\.(\d+)-\d+\.part$/.exec(name) ?? [];
    return pid !== undefined && !isAlive(Number(pid));
  });
}
