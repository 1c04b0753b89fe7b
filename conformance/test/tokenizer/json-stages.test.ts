/** The stages of a tokenizer.json one by one against the reference library, and how much they may make a text grow. */
import { describe, expect, it } from "vitest";
import type { GureumError } from "../../../core/errors.ts";
import { encodeUtf8 } from "../../../core/utf8.ts";
import { parseDecoders } from "../../../tokenizer/json-decoder.ts";
import { parseNormalizers } from "../../../tokenizer/json-normalizer.ts";
import { parsePreTokenizers } from "../../../tokenizer/json-pre-tokenizer.ts";
import { parseTokenizer } from "../../../tokenizer/tokenizer.ts";
import { byteLevelFolder, readJson } from "./fixtures.ts";

const golden = readJson<{
  texts: string[];
  pre_tokenizers: { stage: object; words: string[][] }[];
  normalizers: { stage: object; texts: string[] }[];
  tokens: string[][];
  decoders: { stage: object; texts: string[] }[];
}>(`${byteLevelFolder}/stages.json`);

const name = (stage: object): string => JSON.stringify(stage).replace(/"/g, "");

describe("a pre-tokenizer", () => {
  it.each(golden.pre_tokenizers.map(({ stage, words }) => [name(stage), stage, words] as const))(
    "%s cuts as the reference does",
    (_, stage, words) => {
      const cut = parsePreTokenizers(stage);
      expect(golden.texts.map((text) => (text === "" ? [] : cut({ text, first: true }).map((one) => one.text)))).toEqual(words);
    },
  );
});

describe("a normalizer", () => {
  it.each(golden.normalizers.map(({ stage, texts }) => [name(stage), stage, texts] as const))(
    "%s writes as the reference does",
    (_, stage, texts) => {
      const normalize = parseNormalizers(stage);
      expect(golden.texts.map((text) => normalize(text))).toEqual(texts);
    },
  );
  it("leaves characters as they are that are new to the reference's tables, and composes nothing across them", () => {
    const normalize = parseNormalizers({ type: "NFKC" });
    expect(normalize("\u32ff")).toBe("\u32ff");
    expect(normalize("\u{105d2}\u0307")).toBe("\u{105d2}\u0307");
    expect(normalize("e\u0301")).toBe("\u00e9");
  });
  it.each(["NFC", "NFD", "NFKC", "NFKD"])("%s takes at most 1,024 combining marks in a row, which engines sort one by one", (type) => {
    const normalize = parseNormalizers({ type });
    const marks = (n: number): string => "\u0315\u0300".repeat(n / 2);
    expect(normalize(`a${marks(1024)}b`)).toContain("\u0315b");
    for (const run of [marks(400_000), "\uff9e\u0300".repeat(200_000)])
      expect(() => normalize(`a${run}`)).toThrow(
        /^text > character 1: too many combining marks in a row, expected at most 1024, got 400000 — /,
      );
  });
});

describe("a decoder", () => {
  it.each(golden.decoders.map(({ stage, texts }) => [name(stage), stage, texts] as const))(
    "%s writes as the reference does",
    (_, stage, texts) => {
      const { decodeTokens } = parseDecoders(stage);
      expect(golden.tokens.map((tokens) => decodeTokens([...tokens]))).toEqual(texts);
    },
  );
  it("of bytes together with another is refused by name: a stream could not take back what it showed", () => {
    const decoders = [{ type: "ByteLevel" }, { type: "Replace", pattern: { String: "a" }, content: "b" }];
    expect(() => parseDecoders({ type: "Sequence", decoders })).toThrow(
      /a decoder of type "ByteLevel" together with "Replace" is not supported/,
    );
  });
});

describe("growth of a text", () => {
  const model = { type: "BPE", vocab: { a: 0, Ġ: 1, Ä: 2, "\u0142": 3 }, merges: [] };
  const tokenizer = (parts: object) => parseTokenizer(encodeUtf8(JSON.stringify({ model, ...parts })), "tokenizer.json");
  const doubling = { type: "Replace", pattern: { String: "a" }, content: "aa" };
  const limited = (work: () => unknown): void => {
    const start = process.cpuUsage();
    let code = "";
    try {
      work();
    } catch (error) {
      code = (error as GureumError).code;
      expect((error as GureumError).message).toMatch(
        /the stages make a text too long, expected at most \d+ characters, got \d+ — the file is broken/,
      );
    }
    expect(code).toBe("limit");
    expect(process.cpuUsage(start).user / 1e6).toBeLessThan(2);
  };
  it("by normalizers ends in a named limit", () => {
    limited(() => tokenizer({ normalizer: { type: "Sequence", normalizers: Array(28).fill(doubling) } }).encode("a"));
    const growing = { type: "Replace", pattern: { Regex: "a" }, content: "a".repeat(1000) };
    limited(() => tokenizer({ normalizer: { type: "Sequence", normalizers: [growing, growing, growing] } }).encode("a".repeat(1000)));
    limited(() =>
      tokenizer({ normalizer: { type: "Sequence", normalizers: Array(60).fill({ type: "Prepend", prepend: "a".repeat(2000) }) } }).encode(
        "a",
      ),
    );
  });
  it("by pre-tokenizers and by decoders does too", () => {
    limited(() =>
      tokenizer({ pre_tokenizer: { type: "Sequence", pretokenizers: Array(28).fill({ type: "ByteLevel", use_regex: false }) } }).encode(
        "가",
      ),
    );
    limited(() => tokenizer({ decoder: { type: "Sequence", decoders: Array(28).fill(doubling) } }).decode([0], { reading: "huggingface" }));
  });
  it("of published kinds is no limit: 18 times by NFKC, 3 times by bytes", () => {
    const grown = tokenizer({ normalizer: { type: "NFKC" }, pre_tokenizer: { type: "ByteLevel" } });
    expect(() => grown.encode("\ufdfa".repeat(10_000))).not.toThrow();
  });
  it("is counted over at most 64 stages", () => {
    expect(() => tokenizer({ normalizer: { type: "Sequence", normalizers: Array(65).fill({ type: "NFC" }) } })).toThrow(
      /too many stages, expected at most 64/,
    );
  });
});
