/** Modules found in a folder of the package, as source or as built; in Node and Deno. */
import { readdirSync } from "node:fs";

/** Every module below `folder`, by its file's name without extension, in the order of the names. */
export async function modulesIn(folder: URL): Promise<ReadonlyMap<string, Readonly<Record<string, unknown>>>> {
  const files = readdirSync(folder, { recursive: true, encoding: "utf8" })
    .map((path) => path.replaceAll("\\", "/"))
    .filter((path) => /(?<!\.d)\.[jt]s$/.test(path))
    .map((path) => ({ path, name: path.slice(path.lastIndexOf("/") + 1, -3) }))
    .sort((a, b) => (a.name < b.name ? -1 : 1));
  const found = new Map<string, Readonly<Record<string, unknown>>>();
  for (const { path, name } of files) found.set(name, (await import(new URL(path, folder).href)) as Readonly<Record<string, unknown>>);
  return found;
}
