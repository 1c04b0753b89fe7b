/** Parts of a folder as f32, hidden states and perplexity in one call. About 5 s. */
import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { memoryStore } from "../../core/checkpoint/byte-source.ts";
import { encodeSafetensors } from "../../core/checkpoint/safetensors.ts";
import { bf16Value, f16Values } from "../../core/dtype.ts";
import { perplexity } from "../../core/eval/perplexity.ts";
import { embeddedModel, type LoadedModel, loadModel, readEmbeddings, readLinear, readTensor } from "../../index.ts";
import { dataFile } from "./fixtures/golden.ts";

const store = async (...entries: Parameters<typeof encodeSafetensors>[0]) =>
  memoryStore("m", new Map([["model.safetensors", await encodeSafetensors(entries)]]));
const bytesOf = (array: ArrayBufferView): Uint8Array => new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
const sha256 = (array: ArrayBufferView): string => createHash("sha256").update(bytesOf(array)).digest("hex");

let model: LoadedModel;
beforeAll(async () => {
  model = await loadModel(embeddedModel(), { backend: "cpu" });
});
afterAll(() => model.dispose());

describe("readTensor", () => {
  it("gives every 16-bit and 8-bit float its value", async () => {
    const every16 = Uint16Array.from({ length: 65536 }, (_, bits) => bits);
    const every8 = Uint8Array.from({ length: 256 }, (_, bits) => bits);
    const place = await store(
      { name: "f16", dtype: "F16", shape: [256, 256], data: bytesOf(every16) },
      { name: "bf16", dtype: "BF16", shape: [65536], data: bytesOf(every16) },
      { name: "e5m2", dtype: "F8_E5M2", shape: [256], data: every8 },
      { name: "e4m3", dtype: "F8_E4M3", shape: [2, 128], data: every8 },
    );
    const f16 = await readTensor(place, "f16");
    expect({ ...f16, data: sha256(f16.data) }).toEqual({ name: "f16", dtype: "F16", shape: [256, 256], data: sha256(f16Values()) });
    expect(sha256((await readTensor(place, "bf16")).data)).toBe(sha256(Float32Array.from(every16, bf16Value)));
    expect((await readTensor(place, "e5m2")).data).toEqual(Float32Array.from(every8, (bits) => f16Values()[bits << 8]!));
    const { shape, data } = await readTensor(place, "e4m3");
    expect(shape).toEqual([2, 128]);
    // OCP 8-bit Floating Point Specification, table 1: largest number, smallest normal, smallest and largest subnormal, one, NaN.
    expect([0x7e, 0x08, 0x01, 0x07, 0x38, 0xb8, 0x7f, 0xff].map((bits) => data[bits])).toEqual([
      448,
      2 ** -6,
      2 ** -9,
      7 * 2 ** -9,
      1,
      -1,
      NaN,
      NaN,
    ]);
    for (let bits = 1; bits < 0x7f; bits++) {
      expect(data[bits]!).toBeGreaterThan(data[bits - 1]!);
      expect(data[bits | 0x80]).toBe(-data[bits]!);
    }
  });

  it("rounds F64 once, keeps whole numbers that f32 holds, and refuses the others by name", async () => {
    const place = await store(
      { name: "f64", dtype: "F64", shape: [2], data: bytesOf(Float64Array.of(0.1, -1e300)) },
      { name: "small", dtype: "I64", shape: [2], data: bytesOf(BigInt64Array.of(-(2n ** 40n), 16777216n)) },
      { name: "large", dtype: "I64", shape: [1], data: bytesOf(BigInt64Array.of(2n ** 53n + 1n)) },
      { name: "words", dtype: "I32", shape: [2], data: bytesOf(Int32Array.of(7, 16777217)) },
      { name: "bytes", dtype: "I8", shape: [2], data: Uint8Array.of(255, 127) },
      { name: "four", dtype: "F4", shape: [2], data: Uint8Array.of(0) },
    );
    expect((await readTensor(place, "f64")).data).toEqual(Float32Array.of(0.1, -Infinity));
    expect((await readTensor(place, "small")).data).toEqual(Float32Array.of(-(2 ** 40), 2 ** 24));
    expect((await readTensor(place, "bytes")).data).toEqual(Float32Array.of(-1, 127));
    await expect(readTensor(place, "large")).rejects.toMatchObject({ code: "range", message: expect.stringContaining("9007199254740993") });
    await expect(readTensor(place, "words")).rejects.toMatchObject({
      code: "range",
      message: expect.stringMatching(/^m > "words": element 1, expected a number that f32 holds, got 16777217 — .*readLinear/),
    });
    await expect(readTensor(place, "four")).rejects.toMatchObject({ code: "unsupported" });
    await expect(readTensor(place, "none")).rejects.toMatchObject({
      code: "missing-tensor",
      message: expect.stringMatching(/no tensor "none"/),
    });
  });
});

describe.each(readdirSync(dataFile("checkpoints")).filter((name) => !name.includes(".")))("readLinear of %s", (name) => {
  const folder = dataFile(`checkpoints/${name}`);
  const { weights = {} } = JSON.parse(readFileSync(`${folder}/expected.json`, "utf8")) as { weights?: Record<string, string> };

  it("is the dialect's own definition bit for bit, by either name", async () => {
    const traceNames: Record<string, string> = { "self_attn.q_proj": "qProj", "mlp.down_proj": "downProj" };
    for (const [key, hash] of Object.entries(weights)) {
      const { shape, data, stored } = await readLinear(folder, key);
      expect([key, sha256(data)]).toEqual([key, hash]);
      expect(data).toHaveLength(shape[0] * shape[1]);
      expect(stored.kind).toBe("int4");
      const [, layer, part] = /^model\.layers\.(\d+)\.(.*)$/.exec(key)!;
      if (traceNames[part!]) expect((await readLinear(folder, `layers.${layer}.${traceNames[part!]}`)).data).toEqual(data);
    }
    const head = await readLinear(folder, "lm_head");
    expect(head.stored.kind).toBe("dense");
    expect(head.data).toHaveLength(head.shape[0] * head.shape[1]);
  });
});

describe("readLinear", () => {
  it("gives a dense linear as its tensor, and names what is no linear", async () => {
    const { data, shape } = await readTensor(embeddedModel(), "lm_head.weight");
    const { data: head, ...about } = await readLinear(embeddedModel(), "lmHead");
    expect(about).toEqual({ name: "lm_head", shape, bias: null, stored: { kind: "dense", dtype: "F16" } });
    expect(sha256(head)).toBe(sha256(data));
    for (const wrong of ["model.layers.8.mlp.up_proj", "model.norm", "layers.0.qNorm", ""])
      await expect(readLinear(embeddedModel(), wrong)).rejects.toMatchObject({
        code: "missing-tensor",
        message: expect.stringMatching(
          /^readLinear: no linear ".*", expected lm_head, or one of self_attn\.q_proj, .* to model\.layers\.7\./,
        ),
      });
  });
});

describe("readEmbeddings", () => {
  it("gives the rows that a forward pass starts from", async () => {
    const ids = [1, 2038, 0, 4095, 2038];
    const { trace } = await model.forward(ids, { trace: ["embeddings"] });
    const rows = await readEmbeddings(embeddedModel(), ids);
    expect(rows).toMatchObject({ shape: [5, 256], dtype: "F16", name: "model.embed_tokens.weight" });
    expect(rows.data).toEqual(trace.get("embeddings")!.data);
    await expect(readEmbeddings(embeddedModel(), [4096])).rejects.toMatchObject({ code: "range" });
  });

  it("reads what it needs and no more", async () => {
    let read = 0;
    const files = new Map<string, Uint8Array>();
    for (const name of ["config.json", "model.safetensors"]) files.set(name, readFileSync(`${embeddedModel()}/${name}`));
    const inMemory = memoryStore("counted", files);
    const counted = {
      ...inMemory,
      open: async (name: string) => {
        const source = await inMemory.open(name);
        return {
          ...source,
          readInto(at: number, target: Uint8Array) {
            read += target.length;
            return source.readInto(at, target);
          },
        };
      },
    };
    await readEmbeddings(counted, [3]);
    expect(read).toBeLessThan(100_000);
  });
});

describe("embed", () => {
  const text = "구름이 하늘에 떠 있다.";

  it("is the mean of the final norm's rows, or the last of them, whatever the length", async () => {
    const ids = Array.from({ length: 300 }, (_, i) => (17 * i + 3) % 4096);
    for (const input of [{ text }, { ids }]) {
      const prompt = model.encodePrompt(input);
      const { data } = (await model.forward(prompt, { trace: ["finalNorm"] })).trace.get("finalNorm")!;
      const D = model.config.hiddenSize;
      const mean = Float32Array.from({ length: D }, (_, i) => {
        let sum = 0;
        for (let t = 0; t < prompt.length; t++) sum += data[t * D + i]!;
        return sum / prompt.length;
      });
      expect(await model.embed(input)).toEqual(mean);
      expect(await model.embed(input, { pooling: "last" })).toEqual(data.slice(-D));
    }
  });

  it("has length 1 where it is asked for, and the direction it has otherwise", async () => {
    const [plain, unit] = [await model.embed(text), await model.embed(text, { normalize: true })];
    const dot = (a: Float32Array, b: Float32Array): number => a.reduce((sum, v, i) => sum + v * b[i]!, 0);
    expect(dot(unit, unit)).toBeCloseTo(1, 6);
    expect(dot(plain, unit) / Math.sqrt(dot(plain, plain))).toBeCloseTo(1, 6);
  });

  it("refuses no text, and a pooling that there is not", async () => {
    await expect(model.embed({ ids: [] })).rejects.toMatchObject({ code: "range", message: expect.stringMatching(/^prompt: no tokens/) });
    await expect(model.embed(text, { pooling: "max" as never })).rejects.toMatchObject({ code: "usage" });
  });
});

describe("perplexity", () => {
  it("of a text is what its tokens' scores say, in one call", async () => {
    const text = "안녕하세요. 오늘은 날씨가 좋습니다.";
    const result = await model.perplexity(text);
    const ids = model.encodePrompt({ text });
    const V = model.config.vocabSize;
    const { logits } = await model.forward(ids, { logits: "all" });
    let sum = 0;
    for (let t = 0; t + 1 < ids.length; t++) sum -= model.sampler.logProbability(logits.subarray(t * V, (t + 1) * V), ids[t + 1]!);
    expect(result.tokens).toBe(ids.length - 1);
    expect(Math.log(result.perplexity)).toBeCloseTo(sum / (ids.length - 1), 12);
    expect(await model.perplexity({ ids })).toEqual(result);
    expect(await model.perplexity([text])).toEqual(result);
  });

  it("takes several texts together, a start, and windows, as core/eval does", async () => {
    const texts = [{ ids: [1, 5, 9, 13, 4, 4, 8, 90, 3, 7], from: 4 }, { ids: [1, 7, 7, 2] }];
    const options = { context: 6, stride: 3 };
    expect(await model.perplexity(texts, options)).toEqual(await perplexity(model, texts, options));
  });

  it("against another model compares both, and refuses windows beyond either", async () => {
    const { comparison } = await model.perplexity("구름", { base: model });
    expect(comparison!.kl.value).toBe(0);
    const limit = model.config.maxPositionEmbeddings;
    await expect(model.perplexity("구름", { context: limit + 1 })).rejects.toMatchObject({ code: "range" });
    await expect(model.perplexity({ ids: [1] })).rejects.toMatchObject({ code: "range", message: expect.stringMatching(/ids to score/) });
  });
});
