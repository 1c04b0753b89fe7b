/** config.json and the files beside it, in a folder; and configs that were changed at random. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { memoryStore } from "../../../../core/checkpoint/byte-source.ts";
import { parseConfig, readConfig } from "../../../../core/checkpoint/config.ts";
import type { LlamaConfig } from "../../../../core/config.ts";
import { GureumError } from "../../../../core/errors.ts";
import { awq, base, bytes, parse, refusal } from "./small-config.ts";

describe("generation_config.json", () => {
  const generation = (value: unknown, changes: object = {}) =>
    parseConfig(bytes({ ...base, ...changes }), { generationConfig: bytes(value) });

  it("gives eos as a number or a list, before config.json's", () => {
    expect(generation({ eos_token_id: 7 }, { eos_token_id: 3 }).eosTokenIds).toEqual([7]);
    expect(generation({ eos_token_id: [7, 9] }).eosTokenIds).toEqual([7, 9]);
    expect(generation({}, { eos_token_id: [3, 4] }).eosTokenIds).toEqual([3, 4]);
    expect(generation({ bos_token_id: 5 }).bosTokenId).toBe(5);
    expect(parse({ bos_token_id: null, eos_token_id: null })).toMatchObject({ bosTokenId: null, eosTokenIds: [] });
  });

  it("broken, or with an id of the wrong type, leaves the word to config.json and is warned of", () => {
    for (const value of ["[]", "<html>", "", { eos_token_id: "2" }]) {
      const warnings: string[] = [];
      const config = parseConfig(bytes({ ...base, eos_token_id: 3 }), { generationConfig: bytes(value) }, (message) =>
        warnings.push(message),
      );
      expect(config.eosTokenIds).toEqual([3]);
      expect(warnings.join()).toMatch(/^generation_config\.json.* \(config\.json is taken instead\)$/);
    }
  });

  it("with an id outside the vocabulary does not refuse the model: the id is left out, with a warning", () => {
    const warnings: string[] = [];
    const read = (value: object, changes: object = {}) =>
      parseConfig(bytes({ ...base, ...changes }), { generationConfig: bytes(value) }, (message) => warnings.push(message));
    expect(read({ eos_token_id: [7, 9999, -1] }).eosTokenIds).toEqual([7]);
    expect(read({}, { eos_token_id: 4096, bos_token_id: 4096 })).toMatchObject({ eosTokenIds: [], bosTokenId: null });
    expect(warnings).toEqual([
      "generation_config.json > eos_token_id: token id outside the vocabulary, expected 0 to 4095, got 9999 — it is left out",
      "generation_config.json > eos_token_id: token id outside the vocabulary, expected 0 to 4095, got -1 — it is left out",
      "config.json > bos_token_id: token id outside the vocabulary, expected 0 to 4095, got 4096 — it is left out",
      "config.json > eos_token_id: token id outside the vocabulary, expected 0 to 4095, got 4096 — it is left out",
    ]);
  });
});

describe("readConfig", () => {
  it("reads the folder's files, and refuses an unknown architecture before any weight file is opened", async () => {
    const files = new Map([
      ["config.json", bytes({ ...base, architectures: ["GPT2LMHeadModel"] })],
      ["generation_config.json", bytes({ eos_token_id: 5 })],
    ]);
    const opened: string[] = [];
    const store = memoryStore("m", files);
    const spy = {
      ...store,
      open(name: string) {
        opened.push(name);
        return store.open(name);
      },
    };
    await expect(readConfig(spy)).rejects.toThrow(/^m > config\.json > architectures: unknown architecture/);
    expect(opened.every((name) => name.endsWith(".json"))).toBe(true);
    files.set("config.json", bytes(base));
    expect((await readConfig(store)).eosTokenIds).toEqual([5]);
    files.delete("config.json");
    await expect(readConfig(store)).rejects.toMatchObject({ code: "not-found", message: "m: no config.json — give the folder of a model" });
  });
});

describe("fuzzed configs", () => {
  const keys = [
    ...Object.keys(base),
    "num_key_value_heads",
    "head_dim",
    "rope_theta",
    "rope_scaling",
    "rope_parameters",
    "sliding_window",
    "eos_token_id",
    "bos_token_id",
    "quantization_config",
    "hidden_act",
    "layer_types",
    "tie_word_embeddings",
  ];
  const odd = fc.oneof(
    fc.constantFrom<unknown>(null, true, "x", [], {}, 0, -1, 0.5, 1e308, -1e308, 2 ** 53, 1, 2, 8, 128, ["LlamaForCausalLM"], awq, {
      ...awq,
      group_size: -1,
    }),
    fc.record({
      rope_type: fc.constantFrom("linear", "dynamic", "llama3", "yarn", "x"),
      factor: fc.double(),
      low_freq_factor: fc.double(),
      high_freq_factor: fc.double(),
      mscale: fc.double(),
      mscale_all_dim: fc.double(),
    }),
    fc.jsonValue(),
  );

  it("give a config of finite numbers or a GureumError", () => {
    fc.assert(
      fc.property(fc.dictionary(fc.constantFrom(...keys), odd), (changes) => {
        let config: LlamaConfig;
        try {
          config = parse(changes);
        } catch (error) {
          expect(error).toBeInstanceOf(GureumError);
          return;
        }
        for (const value of [...Object.values(config), ...Object.values(config.ropeScaling)])
          if (typeof value === "number") expect(Number.isFinite(value)).toBe(true);
        expect(config.numAttentionHeads % config.numKeyValueHeads).toBe(0);
      }),
      { numRuns: 3000 },
    );
  });

  it("give a config or a GureumError for any changed byte", () => {
    const good = bytes({ ...base, quantization_config: awq });
    fc.assert(
      fc.property(fc.nat(good.length - 1), fc.nat(255), (at, value) => {
        const changed = good.slice();
        changed[at] = value;
        const message = refusal(() => parseConfig(changed));
        expect(message).not.toContain("\n");
      }),
      { numRuns: 2000 },
    );
  });
});
