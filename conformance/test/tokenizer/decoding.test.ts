/** Ids to text: the round trip, and streaming, for both files of the embedded model. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { GureumError } from "../../../core/errors.ts";
import { gureum } from "./fixtures.ts";

const character = fc.oneof(
  fc.constantFrom(..."abcz019 .,가나다한글ㅋ뷁😀é漢▁"),
  fc
    .integer({ min: 0x20, max: 0x10ffff })
    .filter((point) => (point < 0x7f || point > 0x9f) && (point < 0xd800 || point > 0xdfff))
    .map((point) => String.fromCodePoint(point)),
);
const text = fc.array(character, { maxLength: 30 }).map((parts) => parts.join(""));
const noMark = text.map((value) => value.replaceAll("▁", "_"));

for (const [file, tokenizer] of Object.entries(gureum)) {
  const id = fc.oneof(
    { weight: 3, arbitrary: fc.nat(tokenizer.vocabSize - 1) },
    { weight: 3, arbitrary: fc.integer({ min: 3, max: 258 }) },
    fc.constantFrom(0, 1, 2),
  );
  const ids = fc.array(id, { maxLength: 24 });

  describe(`decoding with ${file}`, () => {
    it("gives back what was encoded, but for U+2581, which reads as a space", () => {
      fc.assert(
        fc.property(text, (value) => {
          expect(tokenizer.decode(tokenizer.encode(value))).toBe(value.replaceAll("▁", " "));
        }),
        { numRuns: 2000 },
      );
    });
    it("gives it back in Hugging Face's reading as well", () => {
      fc.assert(
        fc.property(text, (value) => {
          expect(tokenizer.decode(tokenizer.encode(value), { reading: "huggingface" })).toBe(value.replaceAll("▁", " "));
        }),
      );
    });
    it("does not depend on where a stream of ids is cut", () => {
      fc.assert(
        fc.property(ids, fc.array(fc.nat(24), { maxLength: 6 }), (all, cuts) => {
          const stream = tokenizer.streamingDecoder();
          const bounds = [0, ...cuts.filter((cut) => cut < all.length).sort((a, b) => a - b), all.length];
          const parts = bounds.slice(1).map((end, i) => stream.push(all.slice(bounds[i], end)));
          expect(parts.join("") + stream.flush()).toBe(tokenizer.decode(all));
        }),
        { numRuns: 2000 },
      );
    });
    it("never shows part of a character that comes whole later", () => {
      fc.assert(
        fc.property(noMark, (value) => {
          const stream = tokenizer.streamingDecoder();
          let shown = "";
          for (const one of tokenizer.encode(value)) {
            shown += stream.push([one]);
            expect(value.startsWith(shown)).toBe(true);
            expect(shown).not.toMatch(/\p{Surrogate}/u);
          }
          expect(stream.flush()).toBe("");
        }),
        { numRuns: 1000 },
      );
    });
    it("holds a syllable back until its third byte, and shows U+FFFD for one that never ends", () => {
      const [, ...bytes] = tokenizer.encode("뷁");
      const stream = tokenizer.streamingDecoder();
      expect(bytes).toHaveLength(3);
      expect(bytes.map((byte) => stream.push([byte]))).toEqual(["", "", "뷁"]);
      expect(stream.push(bytes.slice(0, 2))).toBe("");
      expect(stream.flush()).toBe("\ufffd\ufffd");
    });
    it("drops the dummy prefix at the start of a text, and keeps the space after ids that came before", () => {
      const given = tokenizer.encode("하세요");
      const hello = tokenizer.encode("안녕");
      expect(tokenizer.streamingDecoder().push(hello)).toBe("안녕");
      expect(tokenizer.streamingDecoder(given).push(hello)).toBe(" 안녕");
    });
    it("makes nothing of an id without a token, as in a padded vocabulary, and cuts no character by it", () => {
      const hello = tokenizer.encode("안녕, 뷁");
      const padded = hello.flatMap((one) => [tokenizer.vocabSize, one, 2 ** 20]);
      for (const reading of ["sentencepiece", "huggingface"] as const) {
        expect(tokenizer.decode(padded, { reading })).toBe(tokenizer.decode(hello, { reading }));
        expect(tokenizer.decode([tokenizer.vocabSize], { reading })).toBe("");
      }
      const stream = tokenizer.streamingDecoder();
      expect(padded.map((one) => stream.push([one])).join("") + stream.flush()).toBe("안녕, 뷁");
      expect(tokenizer.idToPiece(tokenizer.vocabSize)).toBe("");
    });
    it("refuses what is no id", () => {
      for (const wrong of [-1, 0.5, Number.NaN]) {
        expect(() => tokenizer.decode([wrong])).toThrow(GureumError);
        expect(() => tokenizer.decode([wrong], { reading: "huggingface" })).toThrow(/not a token id, expected a whole number from 0/);
        expect(() => tokenizer.streamingDecoder().push([wrong])).toThrow(GureumError);
        expect(() => tokenizer.idToPiece(wrong)).toThrow(GureumError);
      }
    });
  });

  describe(`encoding with ${file}`, () => {
    it("counts a lone surrogate as U+FFFD", () => {
      expect(tokenizer.encode("a\ud800b\udc00")).toEqual(tokenizer.encode("a\ufffdb\ufffd"));
    });
    it("puts BOS and EOS where asked to, and not otherwise", () => {
      expect(tokenizer.encode("안녕", { addBos: true, addEos: true })).toEqual([1, ...tokenizer.encode("안녕"), 2]);
      expect(tokenizer.addBos).toBe(true);
      expect([tokenizer.bosId, tokenizer.eosId, tokenizer.unkId, tokenizer.padId]).toEqual([1, 2, 0, null]);
    });
    it("only gives ids of control tokens for a rendered text", () => {
      const control = fc.constantFrom("<s>", "</s>", "<unk>", " ", "안녕", "<", "s>");
      fc.assert(
        fc.property(fc.array(control, { maxLength: 10 }), (parts) => {
          expect(Math.min(3, ...tokenizer.encode(parts.join("")))).toBe(3);
          const found = tokenizer.encode(parts.join(""), { specialTokens: "recognise" }).filter((one) => one < 3);
          expect(found).toEqual([...parts.join("").matchAll(/<s>|<\/s>|<unk>/g)].map(([token]) => tokenizer.pieceToId(token)));
        }),
      );
    });
    it("maps pieces and ids onto each other", () => {
      for (let one = 0; one < tokenizer.vocabSize; one++) expect(tokenizer.pieceToId(tokenizer.idToPiece(one))).toBe(one);
      expect(tokenizer.pieceToId("no such piece")).toBeUndefined();
    });
  });
}

describe("the two files of one model", () => {
  it("agree on every text, in both readings of special tokens", () => {
    const mixed = fc
      .array(fc.oneof(text, fc.constantFrom("<s>", "</s>", "<unk>", "\n", "\t")), { maxLength: 6 })
      .map((parts) => parts.join(""));
    fc.assert(
      fc.property(mixed, fc.constantFrom("text" as const, "recognise" as const), (value, specialTokens) => {
        expect(gureum["tokenizer.json"].encode(value, { specialTokens })).toEqual(
          gureum["tokenizer.model"].encode(value, { specialTokens }),
        );
      }),
      { numRuns: 2000 },
    );
  });
});
