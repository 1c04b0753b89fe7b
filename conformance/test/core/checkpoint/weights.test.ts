/** From a folder to weights: what is read is what was written, and every way to break a folder is one named error. */
import { fileURLToPath } from "node:url";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { encodeSafetensors, type TensorEntry } from "../../../../core/checkpoint/safetensors.ts";
import { listRefs, openCheckpoint, readWeights } from "../../../../core/checkpoint/weights.ts";
import { bf16Value, f16Values } from "../../../../core/dtype.ts";
import { GureumError } from "../../../../core/errors.ts";
import { directoryStore } from "../../../../core/host/node.ts";
import { checkAwqMatrix } from "../../../../core/quant/awq-format.ts";
import type { AwqMatrix, DenseMatrix } from "../../../../core/tensor.ts";
import { load, refusal } from "./loading.ts";
import { editJson, type Files, readEntries, rewrite, smallShape, storeOf, writeSmall } from "./small-checkpoint.ts";

const single = "model.safetensors";
const q0 = "model.layers.0.self_attn.q_proj";

/** A dense fp16 copy of the small checkpoint, without quantization, with what `extra` adds. */
async function denseFiles(dtype: "F16" | "BF16" | "F32", changes: object = {}, extra: TensorEntry[] = []): Promise<Files> {
  const files = await writeSmall();
  const { hiddenSize: d, intermediateSize: f, vocabSize } = smallShape.config;
  const width = dtype === "F32" ? 4 : 2;
  const one = dtype === "F32" ? [0, 0, 0x80, 0x3f] : dtype === "F16" ? [0, 0x3c] : [0x80, 0x3f];
  const tensor = (name: string, shape: number[]): TensorEntry => {
    const count = shape.reduce((a, b) => a * b, 1);
    return { name, dtype, shape, data: Uint8Array.from({ length: count * width }, (_, i) => one[i % width]!) };
  };
  const layers = [0, 1].flatMap((i) => [
    tensor(`model.layers.${i}.self_attn.q_proj.weight`, [16, d]),
    tensor(`model.layers.${i}.self_attn.k_proj.weight`, [8, d]),
    tensor(`model.layers.${i}.self_attn.v_proj.weight`, [8, d]),
    tensor(`model.layers.${i}.self_attn.o_proj.weight`, [d, 16]),
    tensor(`model.layers.${i}.mlp.gate_proj.weight`, [f, d]),
    tensor(`model.layers.${i}.mlp.up_proj.weight`, [f, d]),
    tensor(`model.layers.${i}.mlp.down_proj.weight`, [d, f]),
    tensor(`model.layers.${i}.input_layernorm.weight`, [d]),
    tensor(`model.layers.${i}.post_attention_layernorm.weight`, [d]),
  ]);
  const outer = [tensor("model.embed_tokens.weight", [vocabSize, d]), tensor("model.norm.weight", [d]), ...extra];
  editJson(files, "config.json", (config) => Object.assign(config, { quantization_config: null }, changes));
  const head = (changes as { tie_word_embeddings?: boolean }).tie_word_embeddings ? [] : [tensor("lm_head.weight", [vocabSize, d])];
  files.set(single, await encodeSafetensors([...layers, ...outer, ...head]));
  return files;
}

describe("readWeights", () => {
  it("gives every tensor's own bits, each in a buffer of its own", async () => {
    const files = await writeSmall();
    const weights = await load(files);
    const written = new Map((await readEntries(files, single)).map((entry) => [entry.name, entry.data as Uint8Array]));
    const bytes = (array: ArrayBufferView): Uint8Array => new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
    const q = weights.layers[1]!.qProj.weight as AwqMatrix;
    checkAwqMatrix(q);
    const key = "model.layers.1.self_attn.q_proj";
    expect(bytes(q.qweight)).toEqual(written.get(`${key}.qweight`));
    expect(bytes(q.qzeros)).toEqual(written.get(`${key}.qzeros`));
    expect(bytes(q.scales)).toEqual(written.get(`${key}.scales`));
    expect(q).toMatchObject({ kind: "awq", outFeatures: 16, inFeatures: 16, groupSize: 8 });
    expect(bytes(weights.embedTokens.data)).toEqual(written.get("model.embed_tokens.weight"));
    expect(weights.embedTokens).toMatchObject({ kind: "dense", dtype: "F16", outFeatures: 24, inFeatures: 16 });
    expect(weights.norm).toEqual(new Float32Array(16).fill(1));
    const buffers = [q.qweight, q.qzeros, q.scales, weights.embedTokens.data, weights.lmHead.data].map(({ buffer }) => buffer);
    expect(new Set(buffers).size).toBe(buffers.length);
    expect(q.qweight.buffer.byteLength).toBe(q.qweight.byteLength);
  });

  it.each(["F16", "BF16", "F32"] as const)("keeps dense %s in its bits and widens norms to f32", async (dtype) => {
    const weights = await load(await denseFiles(dtype));
    const matrix = weights.layers[0]!.downProj.weight as DenseMatrix;
    expect(matrix).toMatchObject({ kind: "dense", dtype, outFeatures: 16, inFeatures: 32 });
    const value = matrix.data[0]!;
    expect(dtype === "F32" ? value : dtype === "F16" ? f16Values()[value] : bf16Value(value)).toBe(1);
    expect(weights.layers[1]!.inputLayernorm).toEqual(new Float32Array(16).fill(1));
    expect(weights.lmHead).not.toBe(weights.embedTokens);
  });

  it("ties the head to the embedding as the same object, unless the file has both, of which it tells", async () => {
    const weights = await load(await denseFiles("F16", { tie_word_embeddings: true }));
    expect(weights.lmHead).toBe(weights.embedTokens);
    const head = { name: "lm_head.weight", dtype: "F16", shape: [24, 16], data: new Uint8Array(768) } as const;
    const files = await denseFiles("F16", { tie_word_embeddings: true }, [head]);
    const checkpoint = await openCheckpoint(storeOf(files));
    expect(checkpoint.notes()).toEqual(['m > "lm_head.weight": the config ties the head to the embedding; this one is used']);
    await checkpoint.close();
    const both = await load(files);
    expect(new Set(both.lmHead.data)).toEqual(new Set([0]));
    expect(both.embedTokens.data).toEqual(weights.embedTokens.data);
  });

  it("reads biases where the config has them, beside AWQ too", async () => {
    const files = await writeSmall();
    editJson(files, "config.json", (config) => Object.assign(config, { attention_bias: true }));
    expect(await refusal(files)).toBe(
      'missing-tensor m > "model.layers.0.self_attn.q_proj.bias": the checkpoint has no such tensor — check that config.json and the weights are of one release',
    );
    const biases = [0, 1].flatMap((i) =>
      (["q", "k", "v", "o"] as const).map((p): TensorEntry => {
        const n = p === "k" || p === "v" ? 8 : 16;
        return {
          name: `model.layers.${i}.self_attn.${p}_proj.bias`,
          dtype: "F16",
          shape: [n],
          data: new Uint8Array(new Uint16Array(n).fill(0x4000).buffer),
        };
      }),
    );
    files.set(single, await encodeSafetensors([...(await readEntries(files, single)), ...biases]));
    const { layers } = await load(files);
    expect(layers[0]!.kProj.bias).toEqual(new Float32Array(8).fill(2));
    expect(layers[0]!.gateProj.bias).toBeNull();
  });

  it("decides AWQ module by module", async () => {
    const files = await writeSmall();
    const kept = (await readEntries(files, single)).filter(({ name }) => !name.startsWith(`${q0}.`));
    const dense: TensorEntry = { name: `${q0}.weight`, dtype: "F16", shape: [16, 16], data: new Uint8Array(512) };
    files.set(single, await encodeSafetensors([...kept, dense]));
    const { layers } = await load(files);
    expect([layers[0]!.qProj.weight.kind, layers[0]!.kProj.weight.kind, layers[1]!.qProj.weight.kind]).toEqual(["dense", "awq", "awq"]);
  });

  it("reads group size -1 as one group", async () => {
    const files = await writeSmall({
      ...smallShape,
      config: { ...smallShape.config, quantization: { layout: "awq", groupSize: "whole", symmetric: false } },
    });
    const { layers } = await load(files);
    expect(layers[0]!.downProj.weight).toMatchObject({ kind: "awq", groupSize: 32, inFeatures: 32 });
  });

  it("passes over rotary buffers and any other extra tensor", async () => {
    const files = await writeSmall();
    const extra: TensorEntry = { name: "model.layers.0.self_attn.rotary_emb.inv_freq", dtype: "F32", shape: [4], data: new Uint8Array(16) };
    files.set(single, await encodeSafetensors([...(await readEntries(files, single)), extra, { ...extra, name: "other" }]));
    expect(await refusal(files)).toBe("loaded");
  });

  it("uses a bias that the config does not tell of, and says so", async () => {
    const files = await writeSmall();
    const bias: TensorEntry = {
      name: `${q0}.bias`,
      dtype: "F16",
      shape: [16],
      data: new Uint8Array(new Uint16Array(16).fill(0x4000).buffer),
    };
    files.set(single, await encodeSafetensors([...(await readEntries(files, single)), bias]));
    const { refs, notes } = await openCheckpoint(storeOf(files));
    expect((await readWeights(refs)).layers[0]!.qProj.bias).toEqual(new Float32Array(16).fill(2));
    expect(notes()).toEqual([`m > "${q0}.bias": the config tells of no bias here; it is used`]);
  });

  it.each(["q_norm.weight", "q_proj.lora_A.weight", "attn_sink", "v_proj.act_scale"])(
    "refuses what it would leave out of a layer: %s",
    async (name) => {
      const files = await writeSmall();
      const extra: TensorEntry = { name: `model.layers.1.self_attn.${name}`, dtype: "F16", shape: [8], data: new Uint8Array(16) };
      files.set(single, await encodeSafetensors([...(await readEntries(files, single)), extra]));
      expect(await refusal(files)).toMatch(
        /^unsupported m\/model\.safetensors > "model\.layers\.1\.self_attn\..*LlamaForCausalLM has no such part/,
      );
    },
  );

  it("takes a tied model that kept only its head", async () => {
    const files = await denseFiles("F16", { tie_word_embeddings: true });
    await rewrite(files, single, (entry) => (entry.name === "model.embed_tokens.weight" ? { ...entry, name: "lm_head.weight" } : entry));
    const weights = await load(files);
    expect(weights.lmHead).toBe(weights.embedTokens);
    expect(weights.embedTokens.outFeatures).toBe(24);
  });

  it("takes the only .safetensors of a folder, whatever its name, but no shard of several", async () => {
    const files = await writeSmall();
    const bytes = files.get(single)!;
    files.delete(single);
    expect(await refusal(new Map([...files, ["gptq_model-4bit-128g.safetensors", bytes]]))).toBe("loaded");
    for (const name of ["model-00001-of-00002.safetensors", "consolidated.safetensors"])
      expect(await refusal(new Map([...files, [name, bytes]]))).toMatch(/^not-found m: no checkpoint/);
  });

  it("does not need an index entry, or a tensor, that the model does not use", async () => {
    const files = await writeSmall({ ...smallShape, maxShardBytes: 1500 });
    const index = "model.safetensors.index.json";
    editJson(files, index, (value) => {
      const map = value.weight_map as Record<string, string>;
      map["visual.weight"] = "model-00099-of-00099.safetensors";
      map["model.layers.0.self_attn.rotary_emb.cos_cached"] = Object.values(map)[0]!;
    });
    const { refs, notes } = await openCheckpoint(storeOf(files));
    await readWeights(refs);
    expect(notes().length).toBe(2);
  });

  it("reports progress up to exactly all bytes", async () => {
    const { refs } = await openCheckpoint(storeOf(await writeSmall()));
    const total = listRefs(refs).reduce((sum, { byteLength }) => sum + byteLength, 0);
    const seen: number[] = [];
    await readWeights(refs, (done, all) => {
      expect(all).toBe(total);
      seen.push(done);
    });
    expect(seen[0]).toBe(0);
    expect(seen.at(-1)).toBe(total);
    expect(seen).toEqual([...seen].sort((a, b) => a - b));
  });

  it("reads the embedded model from disk", async () => {
    const checkpoint = await openCheckpoint(directoryStore(fileURLToPath(new URL("../../../../models/gureum-tiny-awq", import.meta.url))));
    const weights = await readWeights(checkpoint.refs);
    await checkpoint.close();
    expect(weights.layers.length).toBe(8);
    expect(weights.layers[7]!.downProj.weight).toMatchObject({ kind: "awq", outFeatures: 256, inFeatures: 768, groupSize: 128 });
    expect(weights.lmHead.data.length).toBe(4096 * 256);
  });

  it("hands out ranges of a tensor and refuses to leave it", async () => {
    const { refs } = await openCheckpoint(storeOf(await writeSmall()));
    const whole = new Uint8Array(refs.embedTokens.byteLength);
    await refs.embedTokens.readInto(0, whole);
    await fc.assert(
      fc.asyncProperty(fc.nat(whole.length), fc.nat(whole.length), async (a, b) => {
        const piece = new Uint8Array(Math.abs(a - b));
        await refs.embedTokens.readInto(Math.min(a, b), piece);
        expect(piece).toEqual(whole.subarray(Math.min(a, b), Math.max(a, b)));
      }),
    );
    await expect(refs.embedTokens.readInto(1, whole)).rejects.toThrow(/read outside the tensor/);
    await expect(refs.embedTokens.readInto(-1, new Uint8Array(1))).rejects.toThrow(GureumError);
  });
});

describe("a broken checkpoint", () => {
  const change = (name: string, edit: (entry: TensorEntry) => TensorEntry | null) => async (): Promise<Files> => {
    const files = await writeSmall();
    await rewrite(files, single, (entry) => (entry.name === name ? edit(entry) : entry));
    return files;
  };
  const setBits = (entry: TensorEntry, at: number, bits: number): TensorEntry => {
    const data = (entry.data as Uint8Array).slice();
    data[2 * at] = bits & 255;
    data[2 * at + 1] = bits >> 8;
    return { ...entry, data };
  };

  it.each<[string, () => Promise<Files>, RegExp]>([
    ["a missing tensor", change("model.norm.weight", () => null), /^missing-tensor m > "model\.norm\.weight"/],
    ["a missing linear", change(`${q0}.qweight`, () => null), /^missing-tensor m > "model\.layers\.0\.self_attn\.q_proj\.weight"/],
    ["missing zero points", change(`${q0}.qzeros`, () => null), /^missing-tensor .*q_proj\.qzeros"/],
    [
      "a wrong shape",
      change(`${q0}.scales`, (entry) => ({ ...entry, shape: [16, 2] })),
      /^shape m\/model\.safetensors > "model\.layers\.0\.self_attn\.q_proj\.scales": shape, expected \[2, 16\], got \[16, 2\]/,
    ],
    ["a wrong rank", change("model.norm.weight", (entry) => ({ ...entry, shape: [16, 1] })), /^shape .*expected \[16\], got \[16, 1\]/],
    [
      "I16 scales",
      change(`${q0}.scales`, (entry) => ({ ...entry, dtype: "I16" })),
      /^dtype m\/model\.safetensors > .*q_proj\.scales": dtype, expected F16 or BF16 or F32, got I16/,
    ],
    ["U32 words", change(`${q0}.qweight`, (entry) => ({ ...entry, dtype: "U32" })), /^dtype .*expected I32, got U32/],
    ["an I16 norm", change("model.norm.weight", (entry) => ({ ...entry, dtype: "I16" })), /^dtype .*expected F16 or BF16 or F32, got I16/],
    [
      "a NaN scale",
      change(`${q0}.scales`, (entry) => setBits(entry, 3, 0x7e01)),
      /^non-finite m\/model\.safetensors > "model\.layers\.0\.self_attn\.q_proj\.scales": NaN or infinity at element 3, expected finite numbers — the file is damaged/,
    ],
    [
      "an infinite scale",
      change("model.layers.1.mlp.down_proj.scales", (entry) => setBits(entry, 63, 0xfc00)),
      /^non-finite m\/model\.safetensors > "model\.layers\.1\.mlp\.down_proj\.scales": .*element 63/,
    ],
    [
      "an infinite norm",
      change("model.norm.weight", (entry) => setBits(entry, 0, 0x7c00)),
      /^non-finite m\/model\.safetensors > "model\.norm\.weight"/,
    ],
  ])("with %s is one named error", async (_, make, message) => {
    expect(await refusal(await make())).toMatch(message);
  });

  it("with both .weight and .qweight, or int4 without quantization_config, is refused", async () => {
    const files = await writeSmall();
    const both: TensorEntry = { name: `${q0}.weight`, dtype: "F16", shape: [16, 16], data: new Uint8Array(512) };
    files.set(single, await encodeSafetensors([...(await readEntries(files, single)), both]));
    expect(await refusal(files)).toMatch(/^format m > .*q_proj": both dense and int4 weights are there/);
    const plain = await writeSmall();
    editJson(plain, "config.json", (config) => Object.assign(config, { quantization_config: null }));
    expect(await refusal(plain)).toMatch(/^format m > .*no quantization_config/);
  });

  it("with a group size that does not divide is refused", async () => {
    const files = await writeSmall();
    editJson(files, "config.json", (config) => Object.assign(config.quantization_config as object, { group_size: 5 }));
    expect(await refusal(files)).toMatch(/^shape m > .*q_proj": AWQ input features, expected a multiple of the group size 5, got 16/);
  });

  it("truncated anywhere, or with any header byte changed, loads or is a GureumError", async () => {
    const files = await writeSmall();
    const good = files.get(single)!;
    await fc.assert(
      fc.asyncProperty(fc.nat(good.length - 1), fc.nat(2000), fc.nat(255), async (cut, at, value) => {
        expect(await refusal(new Map([...files, [single, good.subarray(0, cut)]]))).toMatch(/^format m\/model\.safetensors/);
        const flipped = good.slice();
        flipped[at % good.length] = value;
        await refusal(new Map([...files, [single, flipped]]));
      }),
      { numRuns: 300 },
    );
  });
});
