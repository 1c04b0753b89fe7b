/** The tokenizer of a model folder: which file is taken, and what those beside it add; and of a single file. */
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { memoryStore } from "../../../core/checkpoint/byte-source.ts";
import { encodeUtf8 } from "../../../core/utf8.ts";
import { loadTokenizer, parseTokenizer, type Tokenizer } from "../../../tokenizer/tokenizer.ts";
import { modelFolder } from "./fixtures.ts";
import { plainModel, writeModel } from "./model-writer.ts";
import { bpe, next, vocab } from "./spelled.ts";

describe("a model folder", () => {
  const files = (...names: string[]) => new Map<string, Uint8Array>(names.map((name) => [name, readFileSync(`${modelFolder}/${name}`)]));
  const load = (map: Map<string, Uint8Array>): Promise<Tokenizer> => loadTokenizer(memoryStore("folder", map));

  it("loads from either file and gives the same ids", async () => {
    const json = await load(files("tokenizer.json", "tokenizer_config.json"));
    const model = await load(files("tokenizer.model", "tokenizer_config.json"));
    const both = await load(files("tokenizer.model", "tokenizer.json", "tokenizer_config.json"));
    for (const tokenizer of [json, model, both]) {
      expect(tokenizer.encode("안녕하세요", { addBos: tokenizer.addBos })).toEqual([1, 2145, 1059]);
      expect([tokenizer.bosId, tokenizer.eosId, tokenizer.unkId, tokenizer.padId, tokenizer.addBos, tokenizer.addEos]).toEqual([
        1,
        2,
        0,
        null,
        true,
        false,
      ]);
    }
  });
  it("is refused where tokenizer.json is not supported, even beside a tokenizer.model: they need not agree", async () => {
    const map = files("tokenizer.model");
    map.set("tokenizer.json", encodeUtf8(JSON.stringify({ model: { type: "WordPiece" } })));
    await expect(load(map)).rejects.toThrow(
      /tokenizer.json > model: a model of type "WordPiece" is not supported.*to take tokenizer.model instead, move tokenizer.json out/,
    );
    map.set("tokenizer.json", encodeUtf8("{"));
    await expect(load(map)).rejects.toThrow(/folder > tokenizer.json > byte 1: not JSON/);
  });
  it("takes tokens of special_tokens_map.json and added_tokens.json, which tokenizer_config.json overrules", async () => {
    const map = files("tokenizer.model");
    map.set("special_tokens_map.json", encodeUtf8('{"eos_token": {"content": "<|im_end|>"}, "additional_special_tokens": ["<img>"]}'));
    map.set("added_tokens.json", encodeUtf8('{"<|im_end|>": 4096, "<tool>": 4097, "<img>": 4098}'));
    const tokenizer = await load(map);
    expect(tokenizer.eosId).toBe(4096);
    expect(tokenizer.decode([4096, 4097, 4098])).toBe("<tool>");
    expect(tokenizer.encode("<tool>")).toEqual([4097]);
    expect(tokenizer.encode("<img><tool><|im_end|>", { specialTokens: "recognise" })).toEqual([4098, 4097, 4096]);
    map.set("tokenizer_config.json", encodeUtf8('{"eos_token": "</s>", "added_tokens_decoder": {"4096": {"content": "<|im_end|>"}}}'));
    const named = await load(map);
    expect([named.eosId, named.vocabSize]).toEqual([2, 4097]);
  });
  it("takes BOS, EOS and added tokens from tokenizer_config.json", async () => {
    const map = files("tokenizer.model");
    map.set(
      "tokenizer_config.json",
      encodeUtf8(
        JSON.stringify({
          add_bos_token: false,
          add_eos_token: true,
          eos_token: { content: "<|im_end|>" },
          pad_token: "<unk>",
          added_tokens_decoder: {
            "1": { content: "<s>", special: true },
            "4097": { content: "<|im_end|>", special: true },
            "4096": { content: "<tool>", special: false },
          },
        }),
      ),
    );
    const tokenizer = await load(map);
    expect([tokenizer.vocabSize, tokenizer.bosId, tokenizer.eosId, tokenizer.padId, tokenizer.addBos, tokenizer.addEos]).toEqual([
      4098,
      1,
      4097,
      0,
      false,
      true,
    ]);
    expect(tokenizer.encode("<tool><|im_end|>", { specialTokens: "recognise" })).toEqual([4096, 4097]);
    expect(tokenizer.encode("<tool>", { addEos: true })).toEqual([4096, 4097]);
    expect(tokenizer.decode([4096, 4097])).toBe("<tool>");
    expect(tokenizer.decode([4096, 4097], { reading: "huggingface", skipSpecialTokens: false })).toBe("<tool><|im_end|>");
  });
  const small = (file: object, config: object, more: Record<string, object> = {}): Promise<Tokenizer> =>
    load(
      new Map(
        Object.entries({ "tokenizer.json": { model: bpe, ...file }, "tokenizer_config.json": config, ...more }).map(([name, value]) => [
          name,
          encodeUtf8(JSON.stringify(value)),
        ]),
      ),
    );
  const framed = {
    added_tokens: ["<s>", "</s>", "<b>"].map((content, i) => ({ id: next + i, content, special: true })),
    post_processor: {
      type: "TemplateProcessing",
      single: [{ SpecialToken: { id: "<s>", type_id: 0 } }, { Sequence: { id: "A", type_id: 0 } }],
      pair: [],
      special_tokens: { "<s>": { id: "<s>", ids: [next], tokens: ["<s>"] } },
    },
  };
  it.each([
    ["LlamaTokenizerFast", false, false],
    ["LlamaTokenizerFast", undefined, true],
    ["PreTrainedTokenizerFast", false, true],
    ["PreTrainedTokenizerFast", undefined, true],
    [undefined, false, false],
  ] as const)(
    "puts BOS before a text as the class of its tokenizer does: %s, add_bos_token %s",
    async (tokenizer_class, add_bos_token, adds) => {
      const config = { tokenizer_class, add_bos_token, bos_token: "<b>", eos_token: "</s>" };
      const tokenizer = await small(framed, config);
      expect([tokenizer.bosId, tokenizer.addBos]).toEqual([next + 2, adds]);
      // Llama's class frames by the name, the others by the post-processor.
      const first = tokenizer_class === "PreTrainedTokenizerFast" ? next : next + 2;
      expect(tokenizer.encode("a", { addBos: tokenizer.addBos })).toEqual(adds ? [first, vocab.a] : [vocab.a]);
    },
  );
  it("frames by the post-processor where the config names no BOS", async () => {
    const tokenizer = await small(framed, { tokenizer_class: "PreTrainedTokenizerFast", bos_token: null });
    expect([tokenizer.bosId, tokenizer.addBos, ...tokenizer.encode("a", { addBos: true })]).toEqual([null, true, next, vocab.a]);
  });
  it("takes the flags of added_tokens_decoder for tokens of tokenizer.json, and new ones with the next ids", async () => {
    const tokenizer = await small(
      { ...framed, normalizer: { type: "Prepend", prepend: "_" } },
      {
        added_tokens_decoder: {
          [next]: { content: "<s>", special: false, rstrip: true },
          [next + 9]: { content: "<x>", special: true, normalized: true },
          [next + 7]: { content: "ab", special: false, normalized: false },
        },
      },
    );
    // Next to a token that is looked for in the normalized text there is no prefix but its own.
    expect(tokenizer.encode("<s> ab<x>c", { specialTokens: "recognise" })).toEqual([next, next + 3, next + 4, vocab.c]);
    expect([tokenizer.decode([next, next + 4]), tokenizer.vocabSize]).toEqual(["<s>", next + 5]);
  });
  it("recognises special tokens that a file names and the vocabulary has", async () => {
    const config = { eos_token: "ab", unk_token: "<unk>", additional_special_tokens: [{ content: "c", lstrip: true }] };
    const model = { ...bpe, vocab: { ...vocab, ab: next } };
    const tokenizer = await small({ model }, config, { "special_tokens_map.json": { pad_token: "k" } });
    expect(tokenizer.encode("ab ck", { specialTokens: "recognise" })).toEqual([next, vocab.c, vocab.k]);
    expect([tokenizer.encode("ab"), tokenizer.decode([next, vocab.c!, vocab.k!]), tokenizer.eosId]).toEqual([[vocab.a, vocab.b], "", next]);
    expect(tokenizer.decode([vocab.a!, 0])).toBe("a \u2047 ");
  });
  it("gives only the start of a text the dummy prefix where the model is not a legacy one", async () => {
    const map = files("tokenizer.model");
    const a = "a<s>a";
    map.set("tokenizer_config.json", encodeUtf8('{"legacy":true}'));
    const legacy = await load(map);
    expect(legacy.encode(a, { specialTokens: "recognise" }).map((id) => legacy.idToPiece(id))).toEqual(["▁a", "<s>", "▁a"]);
    map.set("tokenizer_config.json", encodeUtf8('{"legacy":false}'));
    const other = await load(map);
    expect(other.encode(a, { specialTokens: "recognise" }).map((id) => other.idToPiece(id))).toEqual(["▁a", "<s>", "a"]);
  });
  it("refuses added tokens that contradict the vocabulary", async () => {
    const map = files("tokenizer.model");
    map.set("tokenizer_config.json", encodeUtf8(JSON.stringify({ added_tokens_decoder: { "300": { content: "<new>" } } })));
    await expect(load(map)).rejects.toThrow(/added_tokens_decoder: "<new>" does not fit the vocabulary/);
  });
  it("is not found without a tokenizer", async () => {
    await expect(load(new Map())).rejects.toMatchObject({ code: "not-found" });
  });
});

describe("a single file", () => {
  it("is told by its name, else by its bytes", () => {
    const model = writeModel({
      ...plainModel,
      pieces: [
        { piece: "<unk>", score: 0, type: "unknown" },
        { piece: "a", score: 0, type: "normal" },
      ],
    });
    for (const name of ["tokenizer.model", "spiece", "x.MODEL"]) expect(parseTokenizer(model, name).encode("a")).toEqual([1]);
    const json = encodeUtf8(JSON.stringify({ model: bpe }));
    for (const name of ["tokenizer.json", "download"]) expect(parseTokenizer(json, name).encode("a")).toEqual([vocab.a]);
  });
});
