/** The tokenizers against sentencepiece and tokenizers, string by string: every id, every decoded character. */
import { describe, expect, it } from "vitest";
import type { Tokenizer } from "../../../tokenizer/tokenizer.ts";
import { dataFolder, fullFixtures, gureum, readJson, readTokenizer, type TokenizerGolden } from "./fixtures.ts";

function laws(tokenizer: () => Tokenizer, golden: () => TokenizerGolden): void {
  it("encodes a user's text as sentencepiece does, special tokens being characters", () => {
    for (const { s, sp, plain } of golden().encode) {
      expect(tokenizer().encode(s), JSON.stringify(s)).toEqual(sp);
      expect(plain ?? sp).toEqual(sp);
    }
  });
  it("encodes a rendered text as tokenizer.json does, special tokens being recognised", () => {
    for (const { s, sp, hf } of golden().encode)
      expect(tokenizer().encode(s, { specialTokens: "recognise" }), JSON.stringify(s)).toEqual(hf ?? sp);
  });
  it("decodes what it encoded as sentencepiece does", () => {
    for (const { s, sp, sp_dec } of golden().encode) expect(tokenizer().decode(sp)).toBe(sp_dec ?? s);
  });
  it("decodes what it encoded as tokenizer.json does, with and without special tokens", () => {
    for (const { s, sp, hf, hf_dec, hf_dec_skip } of golden().encode) {
      const ids = hf ?? sp;
      expect(tokenizer().decode(ids, { reading: "huggingface", skipSpecialTokens: false })).toBe(hf_dec ?? s);
      expect(tokenizer().decode(ids, { reading: "huggingface" })).toBe(hf_dec_skip ?? s);
    }
  });
  it("decodes any ids as each of the two does, broken UTF-8 included", () => {
    for (const { ids, sp, hf, hf_skip } of golden().decode) {
      expect(tokenizer().decode(ids), JSON.stringify(ids)).toBe(sp);
      expect(tokenizer().decode(ids, { reading: "huggingface", skipSpecialTokens: false }), JSON.stringify(ids)).toBe(hf);
      expect(tokenizer().decode(ids, { reading: "huggingface" }), JSON.stringify(ids)).toBe(hf_skip);
    }
  });
}

const own = readJson<TokenizerGolden>(`${dataFolder}/gureum-4096.json`);

describe("the embedded model's tokenizer.model", () =>
  laws(
    () => gureum["tokenizer.model"],
    () => own,
  ));

describe("the embedded model's tokenizer.json", () =>
  laws(
    () => gureum["tokenizer.json"],
    () => own,
  ));

describe("Mistral's tokenizer.model", () => {
  const tokenizer = readTokenizer(`${dataFolder}/mistral-7b-v0.1.model`);
  const golden = readJson<TokenizerGolden>(`${dataFolder}/mistral-7b-v0.1.json`);
  laws(
    () => tokenizer,
    () => golden,
  );
  it("gives the published ids of an instruction", () => {
    expect(tokenizer.encode("<s>[INST] Hello, how are you? [/INST]", { specialTokens: "recognise" })).toEqual([
      1, 733, 16289, 28793, 22557, 28725, 910, 460, 368, 28804, 733, 28748, 16289, 28793,
    ]);
  });
});

for (const file of ["tokenizer.model", "tokenizer.json"])
  describe.skipIf(fullFixtures === undefined)(`Mistral's ${file}, the full set`, () => {
    let tokenizer: Tokenizer | undefined;
    let golden: TokenizerGolden | undefined;
    laws(
      () => (tokenizer ??= readTokenizer(`${fullFixtures}/tokenizers/mistral-7b-v0.1/${file}`)),
      () => (golden ??= readJson<TokenizerGolden>(`${fullFixtures}/golden/tokenizer/mistral-7b-v0.1.json`)),
    );
  });
