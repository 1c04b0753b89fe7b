/** What inspect says of good folders, and that it says everything that is wrong with bad ones. */
import { fileURLToPath } from "node:url";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { memorySource } from "../../../../core/checkpoint/byte-source.ts";
import { bytesToRun, formatReport, inspectFile, inspectFolder, isBroken } from "../../../../core/checkpoint/inspect.ts";
import { encodeSafetensors } from "../../../../core/checkpoint/safetensors.ts";
import { openCheckpoint } from "../../../../core/checkpoint/weights.ts";
import { directoryStore } from "../../../../core/host/node.ts";
import { editJson, readEntries, rewrite, smallShape, storeOf, writeSmall } from "./small-checkpoint.ts";

const single = "model.safetensors";

describe("inspectFolder", () => {
  it("describes the embedded model without a problem", async () => {
    const report = await inspectFolder(directoryStore(fileURLToPath(new URL("../../../../models/gureum-tiny-awq", import.meta.url))));
    expect(report.problems).toEqual([]);
    expect(isBroken(report)).toBe(false);
    expect(report.quantization).toBe("AWQ int4, groups of 128, 56 of 56 linears");
    expect(report.tensors.length).toBe(187);
    expect(report.bytesOnDisk).toBe(7354928);
    const text = formatReport(report);
    expect(text).toContain("LlamaForCausalLM, 8 layers, hidden 256, ffn 768, vocabulary 4096");
    expect(text).toMatch(/model\.layers\.7\.mlp\.down_proj\.qweight +I32 +\[768, 32\] +98304 +model\.safetensors/);
    expect(text.split("\n").at(-1)).toBe(
      "no problems in headers and small files; the weights were not read: numbers that are not finite, and scales beyond float16, show when they are loaded",
    );
  });

  it("counts weights with norms in f32, and keys and values of every position", async () => {
    const files = await writeSmall();
    const { config, refs } = await openCheckpoint(storeOf(files));
    const { tensorBytes, memory } = await inspectFolder(storeOf(files));
    const normElements = (2 * config.numHiddenLayers + 1) * config.hiddenSize;
    const need = bytesToRun(config, refs, "webgpu", 10, "F16");
    expect(need.weightBytes).toBe(tensorBytes + 2 * normElements);
    expect(need.cacheBytes).toBe(10 * 2 * 2 * 1 * 8 * 2);
    expect(bytesToRun(config, refs, "cpu", 10, "F32").cacheBytes).toBe(2 * need.cacheBytes);
    expect(memory.map(({ contextLength }) => contextLength)).toEqual([64, 64, 64]);
  });

  it("reads nothing but headers and small files", async () => {
    const store = storeOf(await writeSmall());
    let read = 0;
    const counting = {
      ...store,
      async open(name: string) {
        const source = await store.open(name);
        return {
          ...source,
          readInto(byteOffset: number, target: Uint8Array) {
            read += target.length;
            if (name === single) expect(byteOffset + target.length).toBeLessThan(8000);
            return source.readInto(byteOffset, target);
          },
        };
      },
    };
    const { bytesOnDisk, tensorBytes, problems } = await inspectFolder(counting);
    expect(problems.filter(({ severity }) => severity === "error")).toEqual([]);
    expect(read).toBeLessThan(bytesOnDisk - tensorBytes + 4000);
  });

  it("collects every problem instead of stopping at the first", async () => {
    const files = await writeSmall({ ...smallShape, maxShardBytes: 1500 });
    const shards = [...files.keys()].filter((name) => name.endsWith(".safetensors")).sort();
    files.set(shards[0]!, files.get(shards[0]!)!.subarray(0, 50));
    files.delete(shards[1]!);
    await rewrite(files, shards[2]!, (entry) => (entry.name.endsWith("qweight") ? { ...entry, dtype: "U32" } : entry));
    editJson(files, "config.json", (config) => Object.assign(config, { num_hidden_layers: 3 }));
    editJson(files, "model.safetensors.index.json", (index) => Object.assign(index, { metadata: { total_size: 1 } }));
    const report = await inspectFolder(storeOf(files));
    const text = report.problems.map(({ severity, message }) => `${severity}: ${message}`).join("\n");
    expect(text).toMatch(new RegExp(`error: m/${shards[0]}: the file is cut off`));
    expect(text).toMatch(new RegExp(`error: m/${shards[1]}: a shard is missing`));
    expect(text).toMatch(/error: m\/.* > ".*qweight": dtype, expected I32, got U32/);
    expect(text).toMatch(/error: m > "model\.layers\.2\.input_layernorm\.weight": the checkpoint has no such tensor/);
    expect(text).toMatch(/warning: m\/model\.safetensors\.index\.json: total_size, expected \d+, got 1/);
    expect(isBroken(report)).toBe(true);
    expect(report.memory).toEqual([]);
    expect(formatReport(report)).toContain("error: ");
  });

  it("warns of tensors that no part of the model uses, but of no rotary buffer", async () => {
    const files = await writeSmall();
    const extra = { name: "vision.weight", dtype: "F16", shape: [1], data: new Uint8Array(2) } as const;
    const rotary = { ...extra, name: "model.layers.0.self_attn.rotary_emb.inv_freq" };
    files.set(single, await encodeSafetensors([...(await readEntries(files, single)), extra, rotary]));
    files.set("tokenizer.model", new Uint8Array(0));
    const report = await inspectFolder(storeOf(files));
    expect(report.problems.map(({ severity, message }) => [severity, message])).toEqual([
      ["warning", 'm > "vision.weight": not a part of this architecture, it is not used'],
    ]);
    expect(isBroken(report)).toBe(false);
  });

  it("still lists the tensors where the config is refused or missing", async () => {
    const files = await writeSmall();
    editJson(files, "config.json", (config) => Object.assign(config, { architectures: ["OPTForCausalLM"] }));
    const report = await inspectFolder(storeOf(files));
    expect(report).toMatchObject({ config: null, quantization: null });
    expect(report.problems[0]).toMatchObject({
      severity: "error",
      code: "unsupported",
      message: expect.stringContaining('"OPTForCausalLM"'),
    });
    expect(report.tensors.length).toBeGreaterThan(40);
    files.clear();
    expect((await inspectFolder(storeOf(files))).problems.map(({ code }) => code)).toEqual(["not-found", "not-found", "format"]);
  });

  it("never throws for a folder with one file changed in any byte", async () => {
    const files = await writeSmall({ ...smallShape, maxShardBytes: 8000 });
    const names = [...files.keys()];
    await fc.assert(
      fc.asyncProperty(fc.constantFrom(...names), fc.nat(1500), fc.nat(255), async (name, at, value) => {
        const changed = files.get(name)!.slice();
        changed[at % changed.length] = value;
        formatReport(await inspectFolder(storeOf(new Map([...files, [name, changed]]))));
      }),
      { numRuns: 300 },
    );
  });
});

describe("formatReport", () => {
  it("lists more tensors than a call takes arguments", async () => {
    const tensors = Array.from({ length: 200_000 }, (_, i) => ({
      name: `t${i}`,
      dtype: "U8" as const,
      shape: [0],
      byteLength: 0,
      file: "a",
    }));
    const none = { name: "a", config: null, quantization: null, files: [], tensorBytes: 0, bytesOnDisk: 0, memory: [], problems: [] };
    expect(formatReport({ ...none, tensors }).split("\n").length).toBeGreaterThan(200_000);
  });
});

describe("inspectFile", () => {
  it("lists one file alone, or says what breaks it", async () => {
    const bytes = await encodeSafetensors([{ name: "a", dtype: "F8_E4M3", shape: [2, 3], data: new Uint8Array(6) }]);
    const report = await inspectFile(memorySource("one.safetensors", bytes));
    expect(report.tensors).toEqual([{ name: "a", dtype: "F8_E4M3", shape: [2, 3], byteLength: 6, file: "one.safetensors" }]);
    expect(isBroken(report)).toBe(false);
    const broken = await inspectFile(memorySource("one.safetensors", bytes.subarray(0, bytes.length - 1)));
    expect(isBroken(broken)).toBe(true);
    expect(broken.bytesOnDisk).toBe(bytes.length - 1);
  });
});
