/** Receipts: what is written is verified, on either device; what was changed is refused by name. About 25 s, some of them compiling. */
import { cpSync, readFileSync, writeFileSync } from "node:fs";
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
import { loadExactGpuModel } from "../../../gpu/model/exact.ts";
import { expectFailure, gureum } from "../cli/gureum.ts";
import { randomCases } from "../fixtures/exact-models.ts";
import { freshFolder } from "../fixtures/fresh-folder.ts";
import { memoryRefs } from "../fixtures/memory-refs.ts";
import { testDevice } from "../gpu/device.ts";

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

/** A receipt with something changed, and sealed again by whoever changed it. */
function resealed(change: Partial<Receipt>, of = receipt): Receipt {
  const { sha256: _, ...claim } = { ...of, ...change };
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

  it("holds on WebGPU as on the CPU, and fails there at the same place", async () => {
    const device = await loadExactGpuModel(await testDevice(), config, memoryRefs(weights));
    expect(await verifyReceipt(device, sha256, receipt)).toBe(12);
    const other = resealed({ ids: receipt.ids.with(4, (receipt.ids[4]! + 1) % config.vocabSize) });
    await expect(verifyReceipt(device, sha256, other)).rejects.toMatchObject({
      code: "divergence",
      details: { where: "receipt > ids[4]" },
    });
    device.dispose();
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
      const changed = parseReceipt(JSON.stringify(resealed(change)), sha256);
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

  it("of another version, arithmetic or format is refused by name", () => {
    const read = (change: Partial<Receipt>) => (): Receipt => parseReceipt(JSON.stringify(resealed(change)), sha256);
    expect(read({ arithmetic: "exact 2" })).toThrow("another arithmetic, or another version of it");
    expect(read({ format: "gureum receipt 2" })).toThrow("another format of receipts");
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
      const verifying = (async () => verifyReceipt(model, sha256, parseReceipt(JSON.stringify(resealed(change as never)), sha256)))();
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

describe("gureum verify", () => {
  const folder = freshFolder("verify");
  const path = join(folder, "receipt.json");
  const verify = (at = path, ...words: string[]) => gureum(["verify", at, "--backend", "cpu", ...words]);
  /** A file with another receipt. */
  const as = (name: string, text: string): string => {
    writeFileSync(join(folder, name), text);
    return join(folder, name);
  };

  beforeAll(async () => {
    const words = ["generate", "구름은", "--backend", "cpu", "--arithmetic", "exact", "--max-new-tokens", "6", "--seed", "3"];
    const { code, err } = await gureum([...words, "--temperature", "0.8", "--receipt", path]);
    expect(code, err).toBe(0);
  });

  it("finds what `generate --receipt` wrote to hold", async () => {
    const { code, out, err } = await verify();
    expect(out, err).toMatch(/^verified: 6 of 6 ids, \d+ prompt tokens, on cpu in \d+ ms\n$/);
    expect(code).toBe(0);
    const piped = await gureum(["verify", "-", "--backend", "cpu"], readFileSync(path, "utf8"));
    expect(piped.out, piped.err).toMatch(/^verified: 6 of 6 ids/);
    const { verified, checked, ids } = JSON.parse((await verify(path, "--positions", "2", "--json")).out);
    expect([verified, checked, ids]).toEqual([true, 2, 6]);
  });

  it("says in one line of a changed one, of another version, and of one sealed again, which it is", async () => {
    const own = JSON.parse(readFileSync(path, "utf8")) as Receipt;
    const ids = own.ids.with(2, own.ids[2]! + 1);
    expectFailure(await verify(as("changed.json", JSON.stringify({ ...own, ids }))), 1, /^gureum: receipt: changed after it was written/);
    const version = JSON.stringify(resealed({ arithmetic: "exact 2" }, own));
    expectFailure(await verify(as("version.json", version)), 1, /^gureum: receipt: another arithmetic, or another version of it/);
    const forged = JSON.stringify(resealed({ ids }, own));
    expectFailure(await verify(as("forged.json", forged)), 1, /^gureum: receipt > ids\[2\]: /);
  });

  it("names the file in which another model differs", async () => {
    const other = join(folder, "other");
    cpSync(embeddedModelPath(), other, { recursive: true });
    const weights = readFileSync(join(other, "model.safetensors"));
    weights[weights.length - 1]! ^= 1;
    writeFileSync(join(other, "model.safetensors"), weights);
    expectFailure(await verify(path, "--model", other), 1, /^gureum: receipt > model > model\.safetensors: another model/);
  });
});
