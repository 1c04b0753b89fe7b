/** What the tests of this folder read: the repository as files. */
import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

export const root: URL = new URL("../../../", import.meta.url);

export const pathOf = (name: string): string => fileURLToPath(new URL(name, root));
export const textOf = (name: string): string => readFileSync(new URL(name, root), "utf8");

const rooms = ["core", "tokenizer", "gpu", "host", "hub", "wasm", "conformance", "bench", "cli", "worker", "page"];

/** Every TypeScript file of the rooms and at the top, by its path from the root, in order. */
export const sources = (): string[] =>
  [
    ...readdirSync(root).filter((name) => name.endsWith(".ts")),
    ...rooms.flatMap((room) =>
      readdirSync(new URL(`${room}/`, root), { recursive: true, encoding: "utf8" }).map((name) => `${room}/${name.replaceAll("\\", "/")}`),
    ),
  ]
    .filter((name) => /\.tsx?$/.test(name) && !name.endsWith(".d.ts"))
    .sort();
