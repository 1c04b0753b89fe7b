/** Byte-level BPE with the pipelines of published models, against the reference library; streams, special tokens, time. */
import { readFileSync } from "node:fs";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { memoryStore } from "../../../core/checkpoint/byte-source.ts";
import { encodeUtf8 } from "../../../core/utf8.ts";
import { loadModel } from "../../../index.ts";
import { decodeLossy, toByteCharacters } from "../../../tokenizer/byte-level.ts";
import { loadTokenizer, parseTokenizer, type Tokenizer } from "../../../tokenizer/tokenizer.ts";
import { byteLevelFolder, fieldFolder, readJson, readTokenizer } from "./fixtures.ts";

const golden = readJson<{
  vocab: string[];
  merges: string[];
  added_tokens: { content: string; special: boolean }[];
  post_processor: object;
  texts: string[];
  pipelines: Record<
    string,
    { normalizer: object | null; pre_tokenizer: object; ignore_merges: boolean; ids: number[][]; framed: number[] }
  >;
  sequences: { ids: number[]; skipped: string; whole: string }[];
}>(`${byteLevelFolder}/pipelines.json`);

function tokenizerOf(pipeline: string, changes: object = {}): Tokenizer {
  const { normalizer, pre_tokenizer, ignore_merges } = golden.pipelines[pipeline]!;
  const vocab = Object.fromEntries(golden.vocab.map((piece, id) => [piece, id]));
  const model = { type: "BPE", dropout: null, unk_token: null, vocab, merges: golden.merges, ignore_merges };
  const { added_tokens, post_processor } = golden;
  const file = { added_tokens, normalizer, pre_tokenizer, post_processor, decoder: { type: "ByteLevel" }, model, ...changes };
  return parseTokenizer(encodeUtf8(JSON.stringify(file)), "tokenizer.json");
}

const tokenizers = Object.fromEntries(Object.keys(golden.pipelines).map((name) => [name, tokenizerOf(name)]));

describe.each(Object.keys(golden.pipelines))("byte-level BPE with the pipeline of %s", (name) => {
  const tokenizer = tokenizers[name]!;
  const { ids, framed } = golden.pipelines[name]!;
  it("gives the reference's ids", () => {
    expect(golden.texts.map((text) => tokenizer.encode(text, { specialTokens: "recognise" }))).toEqual(ids);
  });
  it("puts what the template names around a text", () => {
    expect([tokenizer.addBos, tokenizer.addEos]).toEqual([true, false]);
    expect(tokenizer.encode(golden.texts[4]!, { addBos: true })).toEqual(framed);
  });
  it("reads special tokens in a user's text as text, and others as tokens", () => {
    const found = tokenizer.encode("<|im_end|><tool>").filter((id) => id >= golden.vocab.length);
    expect(found.map((id) => tokenizer.idToPiece(id))).toEqual(["<tool>"]);
  });
  it("gives back every text that its normalizer leaves as it is", () => {
    const space = JSON.stringify(golden.pipelines[name]!.pre_tokenizer).includes('"add_prefix_space":true');
    fc.assert(
      fc.property(fc.string({ unit: "binary" }), (value) => {
        const text = name === "qwen3" ? value.normalize("NFC") : value;
        expect(tokenizer.decode(tokenizer.encode(text))).toBe(space && text !== "" && !text.startsWith(" ") ? ` ${text}` : text);
      }),
      { numRuns: 200 },
    );
  });
});

describe("decoding byte-level ids", () => {
  const tokenizer = tokenizers.llama3!;
  it("writes what the reference writes, with special tokens and without, in both readings", () => {
    for (const { ids, skipped, whole } of golden.sequences) {
      expect(tokenizer.decode(ids, { reading: "huggingface" })).toBe(skipped);
      expect(tokenizer.decode(ids, { reading: "huggingface", skipSpecialTokens: false })).toBe(whole);
      expect(tokenizer.decode(ids)).toBe(skipped);
    }
  });
  const someIds = fc.array(fc.nat(golden.vocab.length + 2), { maxLength: 24 });
  it("does not depend on where a stream of ids is cut", () => {
    fc.assert(
      fc.property(someIds, fc.array(fc.nat(24), { maxLength: 6 }), (all, cuts) => {
        const stream = tokenizer.streamingDecoder();
        const bounds = [0, ...cuts.filter((cut) => cut < all.length).sort((a, b) => a - b), all.length];
        const parts = bounds.slice(1).map((end, i) => stream.push(all.slice(bounds[i], end)));
        expect(parts.join("") + stream.flush()).toBe(tokenizer.decode(all));
      }),
      { numRuns: 1000 },
    );
  });
  it("never shows part of a character that comes whole later", () => {
    fc.assert(
      fc.property(fc.string({ unit: "grapheme" }), (text) => {
        const stream = tokenizer.streamingDecoder();
        let shown = "";
        for (const id of tokenizer.encode(text)) {
          shown += stream.push([id]);
          expect(text.startsWith(shown)).toBe(true);
          expect(shown).not.toMatch(/\p{Surrogate}/u);
        }
        expect(stream.flush()).toBe("");
      }),
      { numRuns: 500 },
    );
  });
  it("shows U+FFFD for every longest broken part, as TextDecoder does, however bytes are cut", () => {
    const byte = fc.oneof(fc.nat(255), fc.constantFrom(0xe0, 0xa0, 0xed, 0x9f, 0xf0, 0x90, 0xf4, 0x8f, 0x80, 0xc2, 0x41));
    fc.assert(
      fc.property(fc.array(byte, { maxLength: 12 }), fc.nat(12), (values, cut) => {
        const bytes = Uint8Array.from(values);
        const expected = new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytes);
        expect(decodeLossy(bytes, true).text).toBe(expected);
        const first = decodeLossy(bytes.subarray(0, cut), false);
        const second = decodeLossy(Uint8Array.from([...first.rest, ...bytes.subarray(cut)]), true);
        expect(first.text + second.text).toBe(expected);
      }),
      { numRuns: 2000 },
    );
  });
  it("writes bytes as 256 different characters", () => {
    const all = Array.from({ length: 0x80 }, (_, point) => String.fromCharCode(point)).join("");
    expect(new Set(toByteCharacters(all)).size).toBe(0x80);
    expect(toByteCharacters("é가😀 \n")).toBe("Ã©ê°ĢðŁĺĢĠĊ");
  });
});

describe("a byte-level vocabulary", () => {
  it("without one of the bytes leaves it out, as the reference does", () => {
    const vocab = { a: 0, Ġ: 1 };
    const tokenizer = tokenizerOf("gpt2", { added_tokens: [], post_processor: null, model: { type: "BPE", vocab, merges: [] } });
    expect(tokenizer.encode("a\na")).toEqual([1, 0, 0]);
  });
  it("takes merges as pairs, or as strings with the first line of merges.txt", () => {
    const vocab = Object.fromEntries(golden.vocab.map((piece, id) => [piece, id]));
    for (const merges of [golden.merges.map((merge) => merge.split(" ")), ["#version: 0.2", ...golden.merges]]) {
      const tokenizer = tokenizerOf("smollm2", { model: { type: "BPE", vocab, merges } });
      expect(golden.texts.map((text) => tokenizer.encode(text, { specialTokens: "recognise" }))).toEqual(golden.pipelines.smollm2!.ids);
    }
  });
  it("with options that are not done here is refused by name", () => {
    const vocab = { a: 0 };
    for (const option of [{ dropout: 0.1 }, { continuing_subword_prefix: "##" }, { end_of_word_suffix: "</w>" }])
      expect(() => tokenizerOf("gpt2", { model: { type: "BPE", vocab, merges: [], ...option } })).toThrow(
        new RegExp(`model > ${Object.keys(option)[0]}: .* not supported`),
      );
  });
});

describe("the folder of a Llama 3 child", () => {
  const folder = `${fieldFolder}/byte-level-bpe`;
  const cases = readJson<{ text: string; ids: number[]; withSpecialTokens: number[]; decoded: string }[]>(`${folder}/expected-ids.json`);
  it("gives the reference's ids and texts", async () => {
    const files = ["tokenizer.json", "tokenizer_config.json"].map(
      (name) => [name, new Uint8Array(readFileSync(`${folder}/${name}`))] as const,
    );
    for (const tokenizer of [readTokenizer(`${folder}/tokenizer.json`), await loadTokenizer(memoryStore("folder", new Map(files)))])
      for (const { text, ids, withSpecialTokens, decoded } of cases) {
        expect(tokenizer.encode(text, { specialTokens: "recognise" })).toEqual(ids);
        expect(tokenizer.encode(text, { specialTokens: "recognise", addBos: tokenizer.addBos })).toEqual(withSpecialTokens);
        expect(tokenizer.decode(ids)).toBe(decoded);
      }
  });
});

describe("the model of that folder", () => {
  it("takes text, and finds the next token likeliest that it was made for", async () => {
    const folder = `${fieldFolder}/byte-level-bpe`;
    const expected = readJson<{ ids: number[]; top: { id: number }[] }>(`${folder}/expected-logits.json`);
    const model = await loadModel(folder, { backend: "cpu" });
    const { logits } = await model.forward(expected.ids);
    expect(logits.indexOf(Math.max(...logits))).toBe(expected.top[0]!.id);
    expect(model.encodePrompt({ text: "안녕하세요 구름" })).toEqual([288, 260, 275, 287]);
    model.dispose();
  });
});

describe("vocabularies of other formats", () => {
  it("are refused by name", () => {
    expect(() => parseTokenizer(encodeUtf8("IQ== 0\nIg== 1\n"), "tokenizer.model")).toThrow(
      /^tokenizer.model: a vocabulary in tiktoken's format is not supported, expected a sentencepiece model — take the tokenizer.json/,
    );
    expect(() => parseTokenizer(encodeUtf8('{"config": {"pattern": "a"}, "vocab": []}'), "tekken.json")).toThrow(
      /Mistral's tekken format is not supported/,
    );
  });
  it("alone in a folder are named, with the way out", async () => {
    const store = memoryStore(
      "folder",
      new Map([
        ["vocab.json", encodeUtf8("{}")],
        ["merges.txt", encodeUtf8("")],
      ]),
    );
    await expect(loadTokenizer(store)).rejects.toThrow(
      /no tokenizer, expected tokenizer.json or tokenizer.model, got merges.txt, vocab.json — write a/,
    );
  });
});

describe("encoding a long text with a byte-level pipeline", () => {
  /** Texts of 1 MiB for the first two, of 128 KiB for the others: the same faults show, at a fraction of CI's time. */
  const repeated = (text: string, size = 2 ** 17): string => text.repeat(size / text.length);
  const cases: readonly (readonly [kind: string, pipeline: string, text: string])[] = [
    ["1 MiB of one letter", "llama3", repeated("a", 2 ** 20)],
    ["1 MiB of emoji", "deepseek", repeated("😀", 2 ** 20)],
    ["spaces", "llama3", repeated(" ")],
    ["spaces before a letter", "llama3", `${repeated(" ")}x`],
    ["spaces before a letter", "smollm2", `${repeated(" ")}x`],
    ["letters and spaces in turn", "qwen3", repeated("a ")],
    ["capitals and small letters in turn", "nemo", repeated("aA")],
    ["one syllable", "llama3", repeated("구")],
    ["Chinese and Latin in turn", "deepseek", repeated("漢a")],
    ["line breaks", "llama3", repeated("\r\n")],
    ["apostrophes", "gpt2", repeated("'")],
    ["digits", "smollm2", repeated("7")],
  ];
  it.each(cases)("takes seconds for %s with %s", (_, pipeline, text) => {
    const start = process.cpuUsage();
    const ids = tokenizers[pipeline]!.encode(text);
    expect(process.cpuUsage(start).user / 1e6).toBeLessThan(8);
    expect(tokenizers[pipeline]!.decode(ids).slice(-text.length)).toBe(text);
  });
});
