/** Receipts: what is written is verified, on either device; what was changed is refused by name. About 8 s. */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { exactCpuModel } from "../../../core/exact/model.ts";
import { exactSampler } from "../../../core/exact/sample.ts";
import { embeddedModelPath } from "../../../core/host/embedded.ts";
import { modelFiles, sha256 } from "../../../core/host/hash.ts";
import { directoryStore } from "../../../core/host/node.ts";
import { cpuModel } from "../../../core/model/cpu.ts";
import type { Model } from "../../../core/model/engine.ts";
import { checkModelFiles, chosen, type ExactModel, makeReceipt, parseReceipt, type Receipt, verifyReceipt } from "../../../core/receipt.ts";
import { greedy } from "../../../core/sample/sampler.ts";
import { randomCases } from "../fixtures/exact-models.ts";
import { freshFolder } from "../fixtures/fresh-folder.ts";

const { config, weights } = randomCases()[0]!;
const sampling = { ...greedy, temperature: 0.9, topP: 0.9, seed: 5n };
const prompt = [1, 5, 9];
let model: Model;
let receipt: Receipt;

beforeAll(async () => {
  model = exactCpuModel(config, weights);
  const session = model.createSession(20);
  await session.prefill(prompt);
  const { ids } = await session.decode(sampling, 12);
  receipt = await makeReceipt(model, sha256, { model: { "config.json": sha256(new Uint8Array(3)) }, context: 20, sampling, prompt, ids });
});

/** The receipt with something changed, and sealed again by whoever changed it. */
async function resealed(change: Partial<Receipt>): Promise<Receipt> {
  const { sha256: _, ...claim } = { ...receipt, ...change };
  const { format, arithmetic, model, context, options, prompt, ids, logits } = claim;
  const text = JSON.stringify({ format, arithmetic, model, context, options, prompt, ids, logits });
  return { ...claim, sha256: sha256(new TextEncoder().encode(text)) };
}

describe("a receipt", () => {
  it("survives being written and read, and holds", async () => {
    const read = parseReceipt(JSON.stringify(receipt, null, 1), sha256);
    expect(read).toEqual(receipt);
    expect(await verifyReceipt(model, sha256, read)).toBe(12);
    expect(await verifyReceipt(model, sha256, read, 5)).toBe(5);
  });

  it("holds for more answers than are fed at a time, each drawn with all that was said before", async () => {
    const V = 24;
    /** Few ids are likely, so that a penalty decides, and says what it knows. */
    const logitsAt = (position: number): Float32Array => Float32Array.from({ length: V }, (_, id) => 4 - ((id * 5 + position) % V) / 8);
    const table: ExactModel = {
      config: { ...config, vocabSize: V, maxPositionEmbeddings: 1200 },
      sampler: exactSampler,
      createSession() {
        let fed = 0;
        const session = {
          prefill: async (ids: readonly number[]) => {
            fed += ids.length;
          },
          forward: async (ids: readonly number[]) => {
            const logits = new Float32Array(ids.length * V);
            for (let t = 0; t < ids.length; t++) logits.set(logitsAt(fed + t), t * V);
            fed += ids.length;
            return { logits };
          },
          dispose() {},
        };
        return session as never;
      },
    };
    const penalized = { ...greedy, temperature: 0.8, repetitionPenalty: 1.5, seed: 3n };
    // The first ids are said once.
    const said = Array.from({ length: 300 }, (_, i) => (i < 6 ? V - 1 - i : i % 3));
    const ids: number[] = [];
    while (ids.length < 900) {
      const all = [...said, ...ids];
      ids.push(exactSampler.sample(logitsAt(all.length - 1), penalized, all, all.length));
    }
    const run = { model: { "config.json": sha256(new Uint8Array(3)) }, context: 1200, sampling: penalized, prompt: said, ids };
    const long = await makeReceipt(table, sha256, run);
    expect(await verifyReceipt(table, sha256, parseReceipt(JSON.stringify(long), sha256))).toBe(900);
    expect(long.logits).toEqual(ids.map((_, i) => sha256(new Uint8Array(logitsAt(said.length + i - 1).buffer))));
    expect(await verifyReceipt(table, sha256, long, 7)).toBe(7);
  });

  it("is refused where a byte was changed after it was sealed", () => {
    for (const change of [
      { ids: receipt.ids.with(3, 7) },
      { prompt: [1, 5, 8] },
      { context: 21 },
      { options: { ...receipt.options, seed: "6" } },
    ])
      expect(() => parseReceipt(JSON.stringify({ ...receipt, ...change }), sha256)).toThrow("receipt: changed after it was written");
  });

  it("fails at the first position that differs where it was sealed again", async () => {
    const verify = async (change: Partial<Receipt>): Promise<unknown> => {
      const changed = parseReceipt(JSON.stringify(await resealed(change)), sha256);
      return verifyReceipt(model, sha256, changed).catch((error: unknown) => error);
    };
    const other = (receipt.ids[4]! + 1) % config.vocabSize;
    expect(await verify({ ids: receipt.ids.with(4, other) })).toMatchObject({ code: "divergence", details: { where: "receipt > ids[4]" } });
    expect(await verify({ logits: receipt.logits.with(6, receipt.logits[5]!) })).toMatchObject({
      details: { where: "receipt > logits[6]" },
    });
    expect(await verify({ prompt: [1, 5, 8] })).toMatchObject({ code: "divergence", details: { where: "receipt > logits[0]" } });
    expect(await verify({ options: { ...receipt.options, seed: "6" } })).toMatchObject({ code: "divergence" });
  });

  it("of another version, arithmetic or format is refused by name", async () => {
    const of = async (change: Partial<Receipt>): Promise<string> => JSON.stringify(await resealed(change));
    const refused = async (change: Partial<Receipt>): Promise<() => Receipt> => {
      const text = await of(change);
      return () => parseReceipt(text, sha256);
    };
    expect(await refused({ arithmetic: "exact 2" })).toThrow("another arithmetic, or another version of it");
    expect(await refused({ format: "gureum receipt 2" })).toThrow("another format of receipts");
    for (const text of [
      "",
      "[]",
      "{}",
      JSON.stringify({ ...receipt, logits: receipt.logits.slice(1) }),
      JSON.stringify({ ...receipt, ids: [-1] }),
    ])
      expect(() => parseReceipt(text, sha256)).toThrow(/^receipt: /);
  });

  it("that no run gives is refused by name, whoever sealed it", async () => {
    const wrong: readonly (readonly [Record<string, unknown>, RegExp])[] = [
      [{ context: 1e15 }, /^receipt > context: positions, expected at most \d+, the model's limit, got 1000000000000000 — /],
      [{ prompt: [1, 1e6, 9] }, /^receipt > prompt > ids\[1\]: .*got 1000000/],
      [{ ids: receipt.ids.with(2, 1e6) }, /^receipt > ids > ids\[2\]: .*got 1000000/],
      [{ options: { ...receipt.options, topP: 0 } }, /^receipt > options > sampling: top-p/],
      [{ options: { ...receipt.options, seed: 5 } }, /^receipt: options > seed, expected the digits of a whole number as text — /],
      [{ note: "mine" }, /^receipt: a key that none has, expected format, .*got "note" — /],
      [
        { options: { ...receipt.options, mirostat: 2 } },
        /^receipt: an option that none has, expected temperature, .*, seed, got "mirostat" — /,
      ],
      [{ model: [] }, /^receipt: model, expected file names with their SHA-256 — /],
    ];
    for (const [change, said] of wrong) {
      const verifying = (async () => verifyReceipt(model, sha256, parseReceipt(JSON.stringify(await resealed(change as never)), sha256)))();
      await expect(verifying, JSON.stringify(change)).rejects.toThrow(said);
    }
  });

  it("says nothing twice, of which one would be verified and another read", () => {
    const twice = JSON.stringify(receipt).replace('"ids":', '"ids":[7,7,7],"ids":');
    expect(() => parseReceipt(twice, sha256)).toThrow(/^receipt: duplicate key "ids" — /);
  });

  it("names the file in which another model differs", () => {
    expect(() => checkModelFiles(receipt, { "config.json": sha256(new Uint8Array(4)) })).toThrow(
      "receipt > model > config.json: another model",
    );
    expect(() => checkModelFiles(receipt, { ...receipt.model, "model.safetensors": sha256(new Uint8Array(4)) })).toThrow(
      "model.safetensors",
    );
    checkModelFiles(receipt, receipt.model);
  });

  it("is not given out by another arithmetic, nor for ids that are not drawn", async () => {
    const run = { model: {}, context: 20, sampling, prompt, ids: receipt.ids };
    await expect(makeReceipt(cpuModel(config, weights) as ExactModel, sha256, run)).rejects.toThrow("only the arithmetic exact");
    await expect(makeReceipt(model, sha256, { ...run, ids: [0, 0, 0] })).rejects.toThrow("another id is drawn");
  });

  it("is checked at as many positions as asked for, the last among them", () => {
    for (let count = 1; count < 40; count++)
      for (let wanted = 1; wanted <= count; wanted++) {
        const picked = Array.from({ length: count }, (_, i) => i).filter(chosen(count, wanted));
        expect(picked).toHaveLength(wanted);
        expect(picked.at(-1)).toBe(count - 1);
      }
  });
});

describe("files of a model", () => {
  const folder = freshFolder("receipt");

  it("are hashed as sha256sum does, and only those that decide logits", async () => {
    writeFileSync(join(folder, "config.json"), "{}");
    writeFileSync(join(folder, "tokenizer.json"), "{}");
    expect(await modelFiles(directoryStore(folder))).toEqual({
      "config.json": "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a",
    });
    const files = await modelFiles(directoryStore(embeddedModelPath()));
    expect(Object.keys(files)).toEqual(["config.json", "model.safetensors"]);
    expect(files["config.json"]).toBe(sha256(readFileSync(join(embeddedModelPath(), "config.json"))));
  });
});
