/** Model folders of the person's own: by the directory picker, by a file field where there is none, or dropped. */
import type { Place } from "../engine/protocol.ts";

interface Picker {
  showDirectoryPicker?(options: { id: string; mode: "read" }): Promise<FileSystemDirectoryHandle>;
}

export const directoryPlace = (handle: FileSystemDirectoryHandle): Place => ({ kind: "directory", name: handle.name, handle });

/** A folder on the page's own server, by its address or the path to it. */
export function addressPlace(text: string, keep: boolean): Place {
  const { href, pathname, host } = new URL(text.endsWith("/") ? text : `${text}/`, location.href);
  return { kind: "address", name: decodeURIComponent(pathname.split("/").at(-2) ?? "") || host, address: href, keep };
}

/** The files of one folder; those of its folders are left out. */
export function filesPlace(files: readonly File[]): Place | null {
  const [first] = files;
  if (!first) return null;
  const name = first.webkitRelativePath.split("/")[0] || first.name;
  return { kind: "files", name, files: files.filter(({ webkitRelativePath }) => webkitRelativePath.split("/").length <= 2) };
}

/** Lets the person choose a folder; null where that was cancelled, undefined where this browser has no picker. */
export async function pickFolder(): Promise<Place | null | undefined> {
  const { showDirectoryPicker } = globalThis as Picker;
  if (!showDirectoryPicker) return undefined;
  try {
    return directoryPlace(await showDirectoryPicker.call(globalThis, { id: "model", mode: "read" }));
  } catch {
    return null;
  }
}

type Entry = FileSystemEntry & {
  createReader?(): FileSystemDirectoryReader;
  file?(done: (file: File) => void, fail: (error: unknown) => void): void;
};

/** The files of a dropped folder, in browsers whose drops give no handle. */
async function filesOf(entry: FileSystemDirectoryEntry): Promise<File[]> {
  const reader = entry.createReader();
  const all: File[] = [];
  for (;;) {
    const some = await new Promise<Entry[]>((done, fail) => reader.readEntries(done as (entries: FileSystemEntry[]) => void, fail));
    if (some.length === 0) return all;
    for (const one of some) if (one.isFile) all.push(await new Promise<File>((done, fail) => one.file!(done, fail)));
  }
}

/** What was dropped, as a model folder; null where it is none. Must be called in the event itself. */
export async function droppedFolder({ items, files }: DataTransfer): Promise<Place | null> {
  const loose = [...files];
  const [item] = items;
  const asHandle = (
    item as (DataTransferItem & { getAsFileSystemHandle?(): Promise<FileSystemHandle | null> }) | undefined
  )?.getAsFileSystemHandle?.();
  const entry = item?.webkitGetAsEntry();
  const handle = await asHandle;
  if (handle?.kind === "directory") return directoryPlace(handle as FileSystemDirectoryHandle);
  if (entry?.isDirectory) return { kind: "files", name: entry.name, files: await filesOf(entry as FileSystemDirectoryEntry) };
  return loose.length > 0 ? { kind: "files", name: loose[0]!.name, files: loose } : null;
}
