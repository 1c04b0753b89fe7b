/** Model folders that a person may come with: dropped, and such as do not load. */
import { cpSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Page } from "playwright-core";
import { model } from "./page-tests.ts";

/** Drops files or folders from this machine's disk onto the page. */
export async function drop(page: Page, ...files: string[]): Promise<void> {
  const session = await page.context().newCDPSession(page);
  const data = { items: [], files, dragOperationsMask: 1 };
  for (const type of ["dragEnter", "dragOver", "drop"] as const)
    await session.send("Input.dispatchDragEvent", { type, x: 200, y: 300, data });
  await session.detach();
}

/** The embedded model in which something is wrong: what, and the words that the page has for it. */
export const broken: readonly (readonly [what: string, wound: (folder: string) => void, said: RegExp])[] = [
  ["no config.json", (folder) => rmSync(join(folder, "config.json")), /config\.json/],
  ["a config.json that is no JSON", (folder) => writeFileSync(join(folder, "config.json"), "{"), /config\.json > byte 1: not/],
  ["no weights", (folder) => rmSync(join(folder, "model.safetensors")), /safetensors/],
  ["weights that are cut off", (folder) => truncateSync(join(folder, "model.safetensors"), 1_000_000), /model\.safetensors/],
  ["weights that are text", (folder) => writeFileSync(join(folder, "model.safetensors"), "not a model".repeat(99)), /model\.safetensors/],
  ["an architecture that is not known", (folder) => configure(folder, { architectures: ["MambaForCausalLM"] }), /Mamba/],
];

function configure(folder: string, change: object): void {
  const file = join(folder, "config.json");
  writeFileSync(file, JSON.stringify({ ...(JSON.parse(readFileSync(file, "utf8")) as object), ...change }));
}

/** Writes the embedded model to a folder and does this to it. */
export function wounded(folder: string, wound: (folder: string) => void): string {
  cpSync(model, folder, { recursive: true });
  wound(folder);
  return folder;
}
