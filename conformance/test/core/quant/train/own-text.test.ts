/** Text that a float model writes itself, on small random models. */
import { describe, expect, it } from "vitest";
import { memoryFolder } from "../../../../../core/checkpoint/byte-sink.ts";
import { memoryStore } from "../../../../../core/checkpoint/byte-source.ts";
import { openCheckpoint, readWeights } from "../../../../../core/checkpoint/weights.ts";
import { cpuModel } from "../../../../../core/model/cpu.ts";
import { ownTexts, type Writing } from "../../../../../core/quant/train/own-text.ts";
import type { Files } from "../../checkpoint/small-checkpoint.ts";
import { writeFloat } from "../float-checkpoint.ts";

const { config, refs } = await openCheckpoint(memoryStore("m", await writeFloat({ family: "llama" })));
const weights = await readWeights(refs);
const texts = [
  [1, 5, 9, 3, 17, 30, 12, 4],
  [1, 21, 22],
  [1, 7, 7, 8, 36, 35],
  [6, 6, 6, 6],
];
const writing = (more: Partial<Writing> = {}): Writing => {
  const parts: Files = new Map();
  return {
    open: async () => ({ model: cpuModel(config, weights), dispose() {} }),
    config,
    texts,
    wanted: 700,
    longest: 40,
    parts: { store: memoryStore("parts", parts), writer: memoryFolder(parts) },
    done: new Set(),
    ...more,
  };
};
const count = (all: readonly (readonly number[])[]): number => all.reduce((sum, { length }) => sum + length, 0);

describe("text of the float model's own", () => {
  it("has as many ids as are wanted, in texts of two to so many, each from a BOS where texts have one", async () => {
    const all = await ownTexts(writing());
    expect(count(all)).toBe(700);
    for (const ids of all) {
      expect(ids[0]).toBe(1);
      expect(ids.length).toBeGreaterThan(1);
      expect(ids.length).toBeLessThanOrEqual(40);
    }
    expect(all.filter((ids) => String(ids).startsWith("1,5,9,3,")).length).toBeGreaterThan(0);
    expect(new Set(all.map(String)).size).toBeGreaterThan(0.9 * all.length);
  });

  it("is drawn as the model has it: likely ids as often as they are likely", async () => {
    const all = await ownTexts(writing({ texts: [[1, 5]], wanted: 2000, longest: 2 }));
    const model = cpuModel(config, weights);
    const { logits } = await model.createSession(8).forward([1]);
    const sum = logits.reduce((total, z) => total + Math.exp(z), 0);
    for (const [id, z] of logits.entries()) {
      if (config.eosTokenIds.includes(id)) continue;
      const share = Math.exp(z) / (sum - Math.exp(logits[2]!));
      const found = all.filter((ids) => ids[1] === id).length / all.length;
      expect(Math.abs(found - share), `${id}`).toBeLessThan(5 * Math.sqrt((share * (1 - share)) / all.length));
    }
  });

  it("is the same whenever it is written, and from what an earlier run has left", async () => {
    const whole = await ownTexts(writing());
    const half = writing();
    const heard: number[] = [];
    expect(await ownTexts({ ...half, onWriting: ({ tokens }) => void heard.push(tokens) })).toEqual(whole);
    expect(heard.at(-1)).toBe(700);
    const left = (await half.parts.store.list()).sort().slice(0, -1);
    expect(left.length).toBeGreaterThan(0);
    expect(await ownTexts({ ...half, done: new Set(left) })).toEqual(whole);
  });

  it("is refused by name where the model writes nothing, and where a file holds something else", async () => {
    const silent = { ...config, eosTokenIds: Array.from({ length: config.vocabSize }, (_, id) => id) };
    await expect(ownTexts(writing({ config: silent, texts: [[1, 5]] }))).rejects.toThrow("ends every text at once");
    const broken = writing();
    await broken.parts.writer.file("own-00000.json", (sink) => sink(new TextEncoder().encode("[[1, 99]]")));
    await expect(ownTexts({ ...broken, done: new Set(["own-00000.json"]) })).rejects.toThrow("parts/own-00000.json: holds no texts");
  });
});
