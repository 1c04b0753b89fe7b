/** Any bytes given to the tokenizer's parsers yield a tokenizer or a GureumError, soon. */
import { readFileSync } from "node:fs";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { GureumError } from "../../../core/errors.ts";
import { encodeUtf8 } from "../../../core/utf8.ts";
import { parseTokenizer } from "../../../tokenizer/tokenizer.ts";
import { modelFolder } from "./fixtures.ts";
import { plainModel, writeCharsmap, writeModel } from "./model-writer.ts";

const sample = "안녕 <s> a\u0000b 😀 \ud800";

/** Parses and, where that works, encodes and decodes; anything but success or a GureumError fails. */
function survives(bytes: Uint8Array, fileName: string): void {
  try {
    const tokenizer = parseTokenizer(bytes, fileName);
    for (const specialTokens of ["text", "recognise"] as const) {
      const ids = tokenizer.encode(sample, { specialTokens });
      expect(typeof tokenizer.decode(ids)).toBe("string");
      expect(typeof tokenizer.decode(ids, { reading: "huggingface" })).toBe("string");
    }
  } catch (error) {
    expect(error).toBeInstanceOf(GureumError);
    expect((error as GureumError).message).not.toContain("\n");
  }
}

/** A small model of every kind of piece, with a charsmap. */
const small = writeModel({
  ...plainModel,
  modelType: "unigram",
  precompiledCharsmap: writeCharsmap(
    new Map([
      ["Ａ", "a"],
      ["a", "b"],
    ]),
  ),
  addDummyPrefix: true,
  removeExtraWhitespaces: true,
  pieces: [
    { piece: "<unk>", score: 0, type: "unknown" },
    { piece: "<s>", score: 0, type: "control" },
    { piece: "▁안녕", score: -1, type: "normal" },
    { piece: "a", score: -2, type: "userDefined" },
    { piece: "b", score: -3, type: "unused" },
  ],
});

const edits = fc.array(fc.tuple(fc.nat(), fc.integer({ min: 0, max: 255 }), fc.constantFrom("set", "insert", "delete", "cut")), {
  minLength: 1,
  maxLength: 4,
});

function edited(bytes: Uint8Array, changes: readonly (readonly [number, number, string])[]): Uint8Array {
  let result = Array.from(bytes);
  for (const [place, value, kind] of changes) {
    const at = place % Math.max(1, result.length);
    if (kind === "set") result[at] = value;
    else if (kind === "insert") result.splice(at, 0, value);
    else if (kind === "delete") result.splice(at, 1);
    else result = result.slice(0, at);
  }
  return Uint8Array.from(result);
}

describe("parsing tokenizer.model", () => {
  it("survives any bytes", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => survives(bytes, "tokenizer.model")),
      { numRuns: 3000 },
    );
  });
  it("survives a model with a few bytes changed", () => {
    fc.assert(
      fc.property(edits, (changes) => survives(edited(small, changes), "tokenizer.model")),
      { numRuns: 3000 },
    );
  });
  it("survives the embedded model cut anywhere", () => {
    const whole = readFileSync(`${modelFolder}/tokenizer.model`);
    fc.assert(
      fc.property(fc.nat(whole.length), (length) => survives(whole.subarray(0, length), "tokenizer.model")),
      { numRuns: 100 },
    );
  });
  it("says what is wrong", () => {
    const message = (bytes: Uint8Array): string => {
      try {
        parseTokenizer(bytes, "tokenizer.model");
      } catch (error) {
        return (error as GureumError).message;
      }
      return "";
    };
    const unknown = { piece: "<unk>", score: 0, type: "unknown" as const };
    const a = { piece: "a", score: 0, type: "normal" as const };
    const model = (pieces: Parameters<typeof writeModel>[0]["pieces"], rest = {}) => writeModel({ ...plainModel, ...rest, pieces });
    expect(message(new Uint8Array(0))).toBe("tokenizer.model: no pieces, expected a sentencepiece model");
    expect(message(Uint8Array.of(0x0a, 5, 1))).toBe("tokenizer.model > byte 2: a field is cut off, expected 5 bytes, got 1");
    expect(message(new Uint8Array(20).fill(0xff))).toBe("tokenizer.model > byte 0: a number has more than ten bytes");
    expect(message(model([a]))).toMatch(/no unknown piece/);
    expect(message(model([unknown, a, a]))).toBe('tokenizer.model > piece 2: "a" is defined twice');
    expect(message(model([unknown, unknown]))).toMatch(/defined twice|second unknown/);
    expect(message(model([unknown, { ...a, score: Number.NaN }]))).toMatch(/piece 1 > score: not a number/);
    expect(message(model([unknown, a], { byteFallback: true }))).toMatch(/without all byte pieces, expected 256, got 0/);
    expect(message(model([unknown, a], { precompiledCharsmap: Uint8Array.of(8, 0, 0, 0, 1) }))).toMatch(
      /precompiled_charsmap: a charsmap's trie does not fit/,
    );
    expect(message(model([unknown, { ...a, piece: "" }]))).toMatch(/piece 1: a piece is empty/);
  });
  it("reads a model of long pieces in time that grows as they do", () => {
    const pieces = Array.from({ length: 200 }, (_, i) => ({ piece: `${"a".repeat(4000)}${i}`, score: -i, type: "normal" as const }));
    const bytes = writeModel({ ...plainModel, pieces: [{ piece: "<unk>", score: 0, type: "unknown" }, ...pieces] });
    const start = performance.now();
    parseTokenizer(bytes, "tokenizer.model");
    expect(performance.now() - start).toBeLessThan(10_000);
  });
});

describe("parsing tokenizer.json", () => {
  it("survives any bytes and any JSON", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 100 }), (bytes) => survives(bytes, "tokenizer.json")),
      { numRuns: 1000 },
    );
    fc.assert(
      fc.property(fc.json(), (json) => survives(encodeUtf8(json), "tokenizer.json")),
      { numRuns: 2000 },
    );
  });
  it("survives any value in any place of a valid file", () => {
    const file = {
      added_tokens: [{ id: 3, content: "<s>", special: true, lstrip: false, rstrip: true, single_word: false, normalized: false }],
      normalizer: {
        type: "Sequence",
        normalizers: [
          { type: "Prepend", prepend: "▁" },
          { type: "Replace", pattern: { String: " " }, content: "▁" },
          { type: "Strip", strip_left: true, strip_right: true },
        ],
      },
      pre_tokenizer: { type: "Metaspace", replacement: "▁", prepend_scheme: "first", split: false },
      post_processor: {
        type: "TemplateProcessing",
        single: [{ SpecialToken: { id: "<s>", type_id: 0 } }, { Sequence: { id: "A", type_id: 0 } }],
      },
      decoder: {
        type: "Sequence",
        decoders: [
          { type: "Replace", pattern: { String: "▁" }, content: " " },
          { type: "ByteFallback" },
          { type: "Fuse" },
          { type: "Strip", content: " ", start: 1, stop: 0 },
        ],
      },
      model: {
        type: "BPE",
        unk_token: "<unk>",
        fuse_unk: true,
        byte_fallback: true,
        ignore_merges: false,
        dropout: null,
        vocab: { "<unk>": 0, a: 1, "▁": 2, "▁a": 4 },
        merges: [["▁", "a"]],
      },
    };
    const unigram = {
      ...file,
      model: {
        type: "Unigram",
        unk_id: 0,
        byte_fallback: false,
        vocab: [
          ["<unk>", 0],
          ["a", -1],
          ["▁", -1],
          ["<s>", 0],
        ],
      },
    };
    const places = (value: unknown, path: string[]): string[][] =>
      typeof value === "object" && value !== null
        ? [path, ...Object.entries(value).flatMap(([key, child]) => places(child, [...path, key]))]
        : [path];
    const replaced = (value: unknown, path: readonly string[], by: unknown): unknown => {
      if (path.length === 0) return by;
      const copy = (Array.isArray(value) ? [...value] : { ...(value as object) }) as Record<string, unknown>;
      copy[path[0]!] = replaced(copy[path[0]!], path.slice(1), by);
      return copy;
    };
    const value = fc.oneof(
      fc.jsonValue({ maxDepth: 2 }),
      fc.constantFrom(-1, 0.5, 1e308, 2 ** 31, "", "Sequence", "▁", "\ud800", "constructor", "__proto__", null),
    );
    fc.assert(
      fc.property(fc.constantFrom(file, unigram), fc.nat(), value, (valid, place, by) => {
        const all = places(valid, []);
        survives(encodeUtf8(JSON.stringify(replaced(valid, all[place % all.length]!, by))), "tokenizer.json");
      }),
      { numRuns: 5000 },
    );
  });
  it("survives deep nesting", () => {
    survives(encodeUtf8("[".repeat(200_000)), "tokenizer.json");
    const nested = `${'{"type":"Sequence","normalizers":['.repeat(5000)}${"]}".repeat(5000)}`;
    survives(encodeUtf8(`{"normalizer":${nested},"model":{"type":"BPE","vocab":{},"merges":[]}}`), "tokenizer.json");
  });
});
