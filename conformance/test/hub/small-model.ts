/** What tests of models by name share: for each a hub of its own that has one small model in two commits, and a folder of its own. */
import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeEach, expect } from "vitest";
import { GureumError } from "../../../core/errors.ts";
import { type HubOptions, modelFolder } from "../../../hub/model.ts";
import { parseModelName } from "../../../hub/name.ts";
import { folderOfEach } from "../fixtures/fresh-folder.ts";
import { type FakeHub, type Files, fakeHub } from "./fake-hub.ts";

export const text = (s: string): Uint8Array => new TextEncoder().encode(s);
/** Bytes that no two seeds have in common. */
export const bytesOf = (seed: string, length: number): Uint8Array => {
  const bytes = new Uint8Array(length);
  for (let at = 0; at < length; at += 32)
    bytes.set(
      createHash("sha256")
        .update(`${seed} ${at}`)
        .digest()
        .subarray(0, Math.min(32, length - at)),
      at,
    );
  return bytes;
};
/** Its commits: main, and v2. */
export const first: string = "a".repeat(40);
export const second: string = "b".repeat(40);
export const shard = (i: number): string => `model-0000${i}-of-00002.safetensors`;
const made = new Map<string, Files>();
export const filesOf = (seed: string): Files => made.get(seed) ?? made.set(seed, makeFiles(seed)).get(seed)!;
const makeFiles = (seed: string): Files => ({
  "config.json": text(`{"seed":"${seed}"}`),
  "generation_config.json": text("{}"),
  "tokenizer.json": text('{"model":{}}'),
  "tokenizer.model": bytesOf("tokenizer", 1000),
  "tokenizer_config.json": text('{"legacy":true}'),
  // The same bytes as generation_config.json: one blob.
  "special_tokens_map.json": text("{}"),
  "chat_template.jinja": text("{{ messages }}"),
  "additional_chat_templates/tool_use.jinja": text("{{ tools }}"),
  "model.safetensors.index.json": text(JSON.stringify({ weight_map: { a: shard(1), b: shard(2), c: shard(1) } })),
  [shard(1)]: bytesOf(`${seed} 1`, 300_000),
  [shard(2)]: bytesOf(`${seed} 2`, 60_000),
  "README.md": text("not needed"),
  "pytorch_model.bin": bytesOf("bin", 5000),
  "consolidated.safetensors": bytesOf("duplicate", 5000),
  "original/model.safetensors": bytesOf("another", 5000),
});
export const needed = (files: Files): string[] =>
  Object.keys(files).filter((path) => !/^(README|pytorch|consolidated|original)/.test(path));

export const id: string = "someone/small-awq";
/** Of the test that runs. */
export let hub: FakeHub;
export let home: string;
export let notes: string[];
export let options: HubOptions;
export const environment = (more: Record<string, string> = {}): HubOptions => ({
  ...options,
  environment: { HF_HOME: home, HF_ENDPOINT: hub.url, ...more },
});
export const get = (name: string = id, more: HubOptions = options, part: "all" | "text" = "all"): Promise<string> =>
  modelFolder(parseModelName(name)!, part, more);
export const failure = async (name: string = id, more: HubOptions = options): Promise<GureumError> => {
  const error = await get(name, more).then(
    () => null,
    (e: unknown) => e,
  );
  expect(error).toBeInstanceOf(GureumError);
  expect((error as GureumError).message).not.toContain("\n");
  return error as GureumError;
};
export const expectWhole = async (folder: string, files: Files): Promise<void> => {
  for (const path of needed(files)) expect(Buffer.compare(await readFile(join(folder, path)), files[path]!), path).toBe(0);
};
export const repository = (): string => join(home, "hub", "models--someone--small-awq");

const folder = folderOfEach("hub");
beforeEach(async () => {
  home = folder();
  hub = await fakeHub({
    [id]: { commits: { [first]: filesOf("first"), [second]: filesOf("second") }, refs: { main: first, "refs/pr/7": second, v2: second } },
  });
  notes = [];
  options = { onNote: (note) => notes.push(note), patience: { tries: 3, waitMs: 1, stallMs: 1000 } };
  options = environment();
});
afterEach(() => hub.close());
