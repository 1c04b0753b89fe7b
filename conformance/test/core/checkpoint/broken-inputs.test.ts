/** The table of broken inputs in docs/formats.md: each is made here, and inspect says of it what the table says. */
import { readFileSync } from "node:fs";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { memoryStore } from "../../../../core/checkpoint/byte-source.ts";
import { encodeSafetensors, type TensorEntry } from "../../../../core/checkpoint/safetensors.ts";
import { GureumError } from "../../../../core/errors.ts";
import { directoryStore } from "../../../../core/host/node.ts";
import { inspectModel, loadModel } from "../../../../index.ts";
import { fieldFiles } from "../../fixtures/field.ts";
import { editJson, type Files, readEntries, rewrite, smallShape, writeSmall } from "./small-checkpoint.ts";

const weights = "model.safetensors";
const index = "model.safetensors.index.json";
const text = (content: string): Uint8Array => new TextEncoder().encode(content);
const pointer = fieldFiles("lfs-pointer").get(weights)!;

/** A small checkpoint, with the tokenizer of the field's cases, changed. */
const small =
  (change: (files: Files) => unknown, maxShardBytes = smallShape.maxShardBytes) =>
  async (): Promise<Files> => {
    const files = await writeSmall({ ...smallShape, maxShardBytes });
    for (const name of ["tokenizer.json", "tokenizer_config.json"]) files.set(name, fieldFiles("padded-vocab").get(name)!);
    editJson(files, "config.json", (config) => Object.assign(config, { vocab_size: 59 }));
    await rewrite(files, (await firstShards(files))[0]!, (entry) => entry);
    for (const shard of await firstShards(files)) await rewrite(files, shard, widenVocabulary);
    await change(files);
    return files;
  };
const firstShards = async (files: Files): Promise<string[]> => [...files.keys()].filter((name) => name.endsWith(".safetensors")).sort();
/** The embedding and the head with a row for each token of the tokenizer. */
const widenVocabulary = (entry: TensorEntry): TensorEntry =>
  /^(model\.embed_tokens|lm_head)\.weight$/.test(entry.name) ? { ...entry, shape: [59, 16], data: new Uint8Array(59 * 32) } : entry;
const config = (changes: object) => small((files) => editJson(files, "config.json", (value) => Object.assign(value, changes)));
const added = (entry: TensorEntry) =>
  small(async (files) => files.set(weights, await encodeSafetensors([...(await readEntries(files, weights)), entry])));
const f16 = (name: string, ...shape: number[]): TensorEntry => ({
  name,
  dtype: "F16",
  shape,
  data: new Uint8Array(2 * shape.reduce((product, size) => product * size, 1)),
});

/** An added token that the vocabulary does not have: its id is 59. */
const addToken = (files: Files, id: number): void =>
  editJson(files, "tokenizer.json", (value) =>
    (value.added_tokens as object[]).push({
      id,
      content: "<big>",
      special: true,
      single_word: false,
      lstrip: false,
      rstrip: false,
      normalized: false,
    }),
  );

/** By the words of the table's first column. */
const inputs: Readonly<Record<string, () => Promise<Files>>> = {
  "weights: Git LFS pointer": small((files) => files.set(weights, pointer)),
  "config.json: Git LFS pointer": small((files) => files.set("config.json", pointer)),
  "tokenizer.json: Git LFS pointer": small((files) => files.set("tokenizer.json", pointer)),
  "weights: HTML page": small((files) => files.set(weights, text("<!DOCTYPE html><html><head><title>404</title></head></html>"))),
  "weights: JSON message": small((files) => files.set(weights, text('{"error":"Repository not found"}'))),
  "weights: gzip archive": small((files) => files.set(weights, Uint8Array.of(0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3, 1, 2))),
  "tokenizer.json: JSON message": small((files) => files.set("tokenizer.json", text('{"error":"Invalid credentials"}'))),
  "tokenizer.json: cut off": small((files) => files.set("tokenizer.json", files.get("tokenizer.json")!.subarray(0, 2000))),
  "chat_template.jinja: HTML page": small((files) => files.set("chat_template.jinja", text("<!DOCTYPE html><html></html>"))),
  "weights: plain text": small((files) => files.set(weights, text("Entry not found"))),
  "weights: GGUF file": small((files) => files.set(weights, text("GGUF\u0003\0\0\0 tensors"))),
  "weights: cut off": small((files) => files.set(weights, files.get(weights)!.subarray(0, 5000))),
  "weights: PyTorch's only": small((files) => files.delete(weights) && files.set("pytorch_model.bin", new Uint8Array(4))),
  "shards without their index": small((files) => files.delete(index), 3000),
  "an adapter alone": small((files) => files.set("adapter_model.safetensors", files.get(weights)!) && files.delete(weights)),
  "a shard is missing": small(async (files) => files.delete((await firstShards(files))[1]!), 3000),
  "index and shard disagree": small(
    (files) =>
      editJson(files, index, (value) =>
        Object.assign(value.weight_map as object, { "model.norm.weight": "model-00001-of-00003.safetensors" }),
      ),
    3000,
  ),
  "no config.json": small((files) => files.delete("config.json")),
  "config.json: not JSON": small((files) => files.set("config.json", text("{'a': 1}"))),
  "another architecture": config({ architectures: ["Phi3ForCausalLM"] }),
  "another quantization": config({ quantization_config: { quant_method: "bitsandbytes" } }),
  "another width": config({ quantization_config: { quant_method: "awq", bits: 8 } }),
  "GPTQ in act-order": config({ quantization_config: { quant_method: "gptq", bits: 4, desc_act: true } }),
  "GPTQ whose tensors are in act-order": small(async (files) => {
    editJson(files, "config.json", (value) =>
      Object.assign(value, { quantization_config: { quant_method: "gptq", bits: 4, group_size: 8 } }),
    );
    // The same words in GPTQ's shapes, and an order of the inputs: what is stored there matters to no header.
    const entries = (await readEntries(files, weights)).map((entry) =>
      entry.name.endsWith(".qweight") ? { ...entry, shape: [entry.shape[0]! / 8, entry.shape[1]! * 8] } : entry,
    );
    const order = Int32Array.from({ length: 16 }, (_, k) => k % 2);
    const index = { name: "model.layers.0.mlp.up_proj.g_idx", dtype: "I32", shape: [16], data: new Uint8Array(order.buffer) } as const;
    files.set(weights, await encodeSafetensors([...entries, index]));
  }),
  "int4 without a config": config({ quantization_config: null }),
  "a missing tensor": small((files) => rewrite(files, weights, (entry) => (entry.name === "model.norm.weight" ? null : entry))),
  "tensors of another shape": small((files) =>
    rewrite(files, weights, (entry) => (entry.name === "model.norm.weight" ? f16("model.norm.weight", 8) : entry)),
  ),
  "a part that no step computes": added(f16("model.layers.0.self_attn.q_norm.weight", 8)),
  "a tensor that is not used": added(f16("visual.patch_embed.weight", 4)),
  "a bias without a flag": added(f16("model.layers.0.self_attn.q_proj.bias", 16)),
  "an end id outside the vocabulary": small((files) =>
    editJson(files, "generation_config.json", (value) => Object.assign(value, { eos_token_id: [2, 99] })),
  ),
  "a broken generation_config.json": small((files) => files.set("generation_config.json", text("<html>"))),
  "a tokenizer that is not supported": small((files) =>
    editJson(files, "tokenizer.json", (value) => Object.assign(value, { pre_tokenizer: { type: "Nonsense" } })),
  ),
  "a template that does not parse": small((files) =>
    editJson(files, "tokenizer_config.json", (value) => Object.assign(value, { chat_template: "{% if %}" })),
  ),
  "a template that does not render": small((files) => files.set("chat_template.jinja", text("{{ messages | groupby('role') }}"))),
  "an added token with another id than it gets": small((files) => addToken(files, 500)),
  "added_tokens_decoder with another id": small((files) =>
    editJson(files, "tokenizer_config.json", (value) =>
      Object.assign(value, { added_tokens_decoder: { 7: { content: "</s>", special: true }, 90: { content: "<big>" } } }),
    ),
  ),
  "a token beyond the embedding in the template": small((files) => {
    addToken(files, 59);
    files.set("chat_template.jinja", text("<big>{{ messages[0].content }}"));
  }),
  "sampling that is none": small((files) =>
    editJson(files, "generation_config.json", (value) => Object.assign(value, { do_sample: true, temperature: -1 })),
  ),
  "no tokenizer": small((files) => files.delete("tokenizer.json")),
};

const root = fileURLToPath(new URL("../../../../", import.meta.url));
const docs = readFileSync(join(root, "docs/formats.md"), "utf8");
const section = /## Broken inputs\n([\s\S]*?)(\n## |$)/.exec(docs)?.[1] ?? "";
/** Input, and what is said of it, of each row whose second cell is in code marks. */
const rows = [...section.matchAll(/^\| ([^|]+) \| (error|warning) \| `((?:[^`])+)` \|$/gm)].map((row) => ({
  input: row[1]!,
  severity: row[2]!,
  message: row[3]!,
}));

describe("docs/formats.md, broken inputs", () => {
  it("has a row for each input that is made here, and no other", () => {
    expect(rows.map(({ input }) => input)).toEqual(Object.keys(inputs));
  });

  it.each(Object.entries(inputs))("says what inspect says: %s", async (input, make) => {
    const { problems } = await inspectModel(memoryStore("DIR", await make()));
    const row = rows.find((row) => row.input === input);
    const said = problems.map(({ severity, message }) => `${severity} ${message}`);
    expect(said).toContain(`${row?.severity} ${row?.message}`);
    for (const line of said) expect(line).not.toContain("\n");
  });

  it.each(Object.entries(inputs))("an error stops loading, a warning does not: %s", async (input, make) => {
    const files = await make();
    const severity = rows.find((row) => row.input === input)?.severity;
    const loading = loadModel(memoryStore("DIR", files), { backend: "cpu", needs: severity === "error" ? "messages" : "ids" });
    if (severity === "warning") await expect(loading).resolves.toBeDefined();
    else await expect(loading).rejects.toBeInstanceOf(GureumError);
  });
});

describe("a path that is no model folder", () => {
  it("is named with what to do", async () => {
    const work = await mkdtemp(join(tmpdir(), "gureum-"));
    try {
      await mkdir(join(work, "folder"));
      await writeFile(join(work, "model.gguf"), "GGUF");
      await writeFile(join(work, "model.safetensors"), "");
      const said = (path: string): Promise<string> =>
        inspectModel(directoryStore(path)).then(
          () => "opened",
          (error: Error) => error.message.replace(work, ""),
        );
      expect(await said(join(work, "model.gguf"))).toBe(
        "/model.gguf: is a file, not a model folder — gureum reads safetensors: take that release of the model",
      );
      expect(await said(join(work, "model.safetensors"))).toBe(
        "/model.safetensors: is a file, not a model folder — give the folder that holds it",
      );
      expect(await said(join(work, "none"))).toBe("/none: no such file or folder — check the path");
    } finally {
      await rm(work, { recursive: true });
    }
  });
});
