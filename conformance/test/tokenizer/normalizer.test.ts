/** sentencepiece's normalizer: charsmaps against their rules, and the rules about spaces. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { GureumError } from "../../../core/errors.ts";
import { encodeUtf8 } from "../../../core/utf8.ts";
import { matchCharsmap, parseCharsmap } from "../../../tokenizer/charsmap.ts";
import { createNormalizer, type NormalizerSpec } from "../../../tokenizer/normalizer.ts";
import { parseTokenizer } from "../../../tokenizer/tokenizer.ts";
import { createTrie, insert } from "../../../tokenizer/trie.ts";
import { plainModel, writeCharsmap } from "./model-writer.ts";

const character = fc.constantFrom("a", "b", "é", "가", "ㄱ", "😀", "Ａ", " ", "\u3000");
const key = fc.array(character, { minLength: 1, maxLength: 3 }).map((parts) => parts.join(""));
const rules = fc.uniqueArray(
  fc.tuple(
    key,
    fc.array(character, { maxLength: 3 }).map((parts) => parts.join("")),
  ),
  {
    minLength: 1,
    maxLength: 10,
    selector: ([from]) => from,
  },
);
const text = fc.array(character, { maxLength: 20 }).map((parts) => parts.join(""));
const normalize = (spec: Partial<NormalizerSpec>, input: string): string => createNormalizer({ ...plainModel, ...spec }, null)(input);

/** The longest rule at each place, else the character itself. */
function replaceLongest(pairs: readonly (readonly [string, string])[], input: string): string {
  let output = "";
  for (let at = 0; at < input.length; ) {
    const rule = pairs.filter(([from]) => input.startsWith(from, at)).sort((a, b) => b[0].length - a[0].length)[0];
    const taken = rule?.[0] ?? String.fromCodePoint(input.codePointAt(at)!);
    output += rule ? rule[1] : taken;
    at += taken.length;
  }
  return output;
}

describe("a charsmap", () => {
  it("replaces by the longest rule at each place", () => {
    fc.assert(
      fc.property(rules, text, (pairs, input) => {
        const precompiledCharsmap = writeCharsmap(new Map(pairs));
        expect(normalize({ precompiledCharsmap, escapeWhitespaces: false }, input)).toBe(replaceLongest(pairs, input));
      }),
      { numRuns: 500 },
    );
  });
  it("finds the shortest rule too, as Hugging Face's normalizer wants it", () => {
    const map = parseCharsmap(
      writeCharsmap(
        new Map([
          ["a", "1"],
          ["ab", "2"],
        ]),
      ),
    );
    expect(matchCharsmap(map, "ab", 0, 2, "shortest")).toEqual({ length: 1, replacement: "1" });
    expect(matchCharsmap(map, "ab", 0, 2, "longest")).toEqual({ length: 2, replacement: "2" });
    expect(matchCharsmap(map, "ab", 0, 1, "longest")).toEqual({ length: 1, replacement: "1" });
    expect(matchCharsmap(map, "b", 0, 1, "longest")).toBeNull();
  });
  it("gives a text or a format error for any bytes", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 80 }), fc.nat(19), text, (noise, words, input) => {
        const bytes = Uint8Array.from([4 * words, 0, 0, 0, ...noise]);
        try {
          expect(typeof normalize({ precompiledCharsmap: bytes }, input)).toBe("string");
        } catch (error) {
          expect(error).toBeInstanceOf(GureumError);
          expect((error as GureumError).code).toBe("format");
        }
      }),
      { numRuns: 2000 },
    );
  });
  it("leaves user-defined symbols alone", () => {
    const symbols = createTrie();
    insert(symbols, "aa", 0);
    const spec = { ...plainModel, precompiledCharsmap: writeCharsmap(new Map([["a", "b"]])) };
    expect(createNormalizer(spec, symbols)("aaa a")).toBe("aab▁b");
  });
});

describe("the rules about spaces", () => {
  it("keep every space where nothing is removed", () => {
    expect(normalize({ addDummyPrefix: true }, "  a  b ")).toBe("▁▁▁a▁▁b▁");
    expect(normalize({ addDummyPrefix: false }, " a")).toBe("▁a");
    expect(normalize({ addDummyPrefix: true, escapeWhitespaces: false }, "a b")).toBe(" a b");
  });
  it("put the dummy prefix at the end where white space is a suffix", () => {
    expect(normalize({ addDummyPrefix: true, treatWhitespaceAsSuffix: true }, "a b")).toBe("a▁b▁");
  });
  it("remove spaces at both ends and all but one in between", () => {
    const spec = { addDummyPrefix: true, removeExtraWhitespaces: true };
    expect(normalize(spec, "  a   b  ")).toBe("▁a▁b");
    expect(normalize(spec, "   ")).toBe("");
    const asSpace = writeCharsmap(
      new Map([
        ["\u3000", " "],
        ["\t", " "],
      ]),
    );
    expect(normalize({ ...spec, precompiledCharsmap: asSpace }, "\u3000\ta\u3000 \tb\t")).toBe("▁a▁b");
  });
  it("leave nothing of a text of spaces, the dummy prefix included", () => {
    for (const treatWhitespaceAsSuffix of [false, true])
      expect(normalize({ addDummyPrefix: true, removeExtraWhitespaces: true, treatWhitespaceAsSuffix }, "  ")).toBe("");
  });
  it("leave an empty text empty", () => expect(normalize({ addDummyPrefix: true }, "")).toBe(""));
  it("are idempotent but for the dummy prefix", () => {
    fc.assert(
      fc.property(text, (input) => {
        const spec = { removeExtraWhitespaces: true, escapeWhitespaces: false };
        const once = normalize(spec, input);
        expect(normalize(spec, once)).toBe(once);
      }),
    );
  });
});

describe("the Precompiled normalizer of tokenizer.json", () => {
  const pieces = ["<unk>", "x", "y", "e", "\u0301", "z"];
  const tokenizer = (rule: Map<string, string>) =>
    parseTokenizer(
      encodeUtf8(
        JSON.stringify({
          normalizer: { type: "Precompiled", precompiled_charsmap: Buffer.from(writeCharsmap(rule)).toString("base64") },
          model: { type: "Unigram", unk_id: 0, vocab: pieces.map((piece) => [piece, -1]) },
        }),
      ),
      "tokenizer.json",
    );
  it("replaces a whole short grapheme by the shortest rule that starts it", () => {
    expect(tokenizer(new Map([["e", "x"]])).encode("e\u0301z")).toEqual([1, 5]);
    expect(tokenizer(new Map([["e\u0301", "y"]])).encode("e\u0301z")).toEqual([2, 5]);
  });
  it("goes character by character in graphemes of six bytes and more", () => {
    expect(tokenizer(new Map([["e", "x"]])).encode(`e${"\u0301".repeat(3)}z`)).toEqual([1, 4, 4, 4, 5]);
  });
});
