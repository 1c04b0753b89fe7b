/** tokenizer.json: each stage by a small example, and what is refused. */
import { describe, expect, it } from "vitest";
import { GureumError } from "../../../core/errors.ts";
import { encodeUtf8 } from "../../../core/utf8.ts";
import { parseTokenizer, type Tokenizer } from "../../../tokenizer/tokenizer.ts";
import { bpe, next, vocab } from "./spelled.ts";

function tokenizerOf(file: object): Tokenizer {
  return parseTokenizer(encodeUtf8(JSON.stringify({ model: bpe, ...file })), "tokenizer.json");
}

/** What the model was given, character by character. */
const spell = (tokenizer: Tokenizer, text: string, specialTokens: "text" | "recognise" = "recognise"): string =>
  tokenizer
    .encode(text, { specialTokens })
    .map((id) => tokenizer.idToPiece(id))
    .join("");

function refusal(file: object): string {
  try {
    tokenizerOf(file);
  } catch (error) {
    expect(error).toBeInstanceOf(GureumError);
    expect((error as GureumError).code).toBe("unsupported");
    return (error as GureumError).message;
  }
  throw new Error("nothing was refused");
}

describe("normalizers", () => {
  const normalized = (normalizer: object, text: string): string => spell(tokenizerOf({ normalizer }), text);
  it("prepend to what is not empty", () => {
    expect(normalized({ type: "Prepend", prepend: "▁" }, "a")).toBe("▁a");
    expect(normalized({ type: "Prepend", prepend: "▁" }, "")).toBe("");
  });
  it("replace strings, and one character by a simple expression", () => {
    expect(normalized({ type: "Replace", pattern: { String: "." }, content: "x" }, "a.b.")).toBe("axbx");
    expect(normalized({ type: "Replace", pattern: { Regex: " {2,}" }, content: "▁" }, "a b  c   ")).toBe("a b▁c▁");
    expect(normalized({ type: "Replace", pattern: { Regex: "\\s+" }, content: "$&" }, "a \u0085\tb\ufeff")).toBe("a<unk><unk>b<unk>");
    expect(normalized({ type: "Replace", pattern: { Regex: "\\." }, content: "" }, "a.b")).toBe("ab");
  });
  it("strip Unicode white space on either side", () => {
    expect(normalized({ type: "Strip", strip_left: true, strip_right: false }, "\u0085 a ")).toBe("a ");
    expect(normalized({ type: "Strip", strip_left: false, strip_right: true }, " a \u3000")).toBe(" a");
  });
  it("bring text to a normal form", () => {
    expect(normalized({ type: "NFC" }, "e\u0301")).toBe("é");
    expect(normalized({ type: "NFKC" }, "Ａ")).toBe("A");
  });
  it("run in order", () => {
    const normalizers = [
      { type: "Prepend", prepend: "▁" },
      { type: "Sequence", normalizers: [{ type: "Replace", pattern: { String: " " }, content: "▁" }] },
    ];
    expect(normalized({ type: "Sequence", normalizers }, " a b")).toBe("▁▁a▁b");
  });
});

describe("pre-tokenizers", () => {
  /** With merges ignored, a word that is in the vocabulary is one id: which words there are can be seen. */
  const words = (pre_tokenizer: object, text: string, added: object[] = []): string[] => {
    const known = { ...vocab, "▁a": 90, "▁b": 91, a: 92, "▁a▁b": 93, "a▁b": 94 };
    const tokenizer = tokenizerOf({
      pre_tokenizer,
      added_tokens: added,
      model: { ...bpe, vocab: { ...known, a: vocab.a }, ignore_merges: true },
    });
    return tokenizer.encode(text, { specialTokens: "recognise" }).map((id) => tokenizer.idToPiece(id));
  };
  const metaspace = (prepend_scheme: string, split: boolean) => ({ type: "Metaspace", replacement: "▁", prepend_scheme, split });
  const token = { id: 99, content: "<s>", special: true };

  it("mark spaces and split before them", () => {
    expect(words(metaspace("always", true), "a b")).toEqual(["▁a", "▁b"]);
    expect(words(metaspace("always", true), "a  b")).toEqual(["▁a", "▁", "▁b"]);
    expect(words(metaspace("always", false), "a b")).toEqual(["▁a▁b"]);
  });
  it("prepend always, at the start of the text only, or never, and not before a space", () => {
    expect(words(metaspace("always", true), "a<s>a", [token])).toEqual(["▁a", "<s>", "▁a"]);
    expect(words(metaspace("first", true), "a<s>a", [token])).toEqual(["▁a", "<s>", "a"]);
    expect(words(metaspace("first", false), "<s>a b", [token])).toEqual(["<s>", "a▁b"]);
    expect(words(metaspace("never", true), "a b")).toEqual(["a", "▁b"]);
    expect(words(metaspace("always", true), " a")).toEqual(["▁a"]);
  });
  it("read the older add_prefix_space", () => {
    expect(words({ type: "Metaspace", replacement: "▁", add_prefix_space: false }, "a b")).toEqual(["a", "▁b"]);
    expect(words({ type: "Metaspace", replacement: "▁", add_prefix_space: true }, "a")).toEqual(["▁a"]);
  });
  it("run in order", () => {
    const pretokenizers = [{ type: "WhitespaceSplit" }, metaspace("always", true)];
    expect(words({ type: "Sequence", pretokenizers }, " a\tb\n")).toEqual(["▁a", "▁b"]);
    expect(words({ type: "Sequence", pretokenizers: [{ type: "WhitespaceSplit" }, metaspace("first", true)] }, "a a")).toEqual(["▁a", "a"]);
  });
});

describe("added tokens", () => {
  const added = (
    token: object,
    text: string,
    normalizer: object | null = null,
    specialTokens: "text" | "recognise" = "recognise",
  ): string[] => {
    const tokenizer = tokenizerOf({ normalizer, added_tokens: [{ id: 99, content: "<t>", ...token }] });
    return tokenizer.encode(text, { specialTokens }).map((id) => tokenizer.idToPiece(id));
  };
  it("are cut out, the leftmost and longest first", () => {
    const tokenizer = tokenizerOf({
      added_tokens: [
        { id: next, content: "ab", special: true },
        { id: next + 1, content: "abc", special: true },
        { id: next + 2, content: "bca", special: true },
      ],
    });
    expect(tokenizer.encode("aabcab", { specialTokens: "recognise" })).toEqual([vocab.a, next + 1, next]);
  });
  it("have the ids that the reference gives them, whatever ids a file states: the vocabulary's, else the next free ones", () => {
    const tokenizer = tokenizerOf({
      added_tokens: [
        { id: 50, content: "<s>", special: true },
        { id: 60, content: "a" },
        { id: 60, content: "bc" },
        { id: 3, content: "ab" },
      ],
    });
    expect(tokenizer.encode("<s>bcaab", { specialTokens: "recognise" })).toEqual([next, next + 1, vocab.a, next + 2]);
    expect([tokenizer.vocabSize, tokenizer.decode([50, 60])]).toEqual([next + 3, ""]);
  });
  it("take white space along where lstrip or rstrip says so", () => {
    expect(added({ lstrip: true, special: true }, "a  <t> b")).toEqual(["a", "<t>", " ", "b"]);
    expect(added({ rstrip: true, special: true }, "a <t> \t b")).toEqual(["a", " ", "<t>", "b"]);
    expect(added({ rstrip: true, lstrip: true, special: true }, "<t> <t>")).toEqual(["<t>", "<t>"]);
  });
  it("that are white space are none where a token before them took it, and they would take more", () => {
    const tabbed = (flags: object, text: string): string[] => {
      const tab = { id: next + 1, content: "\t", ...flags };
      const tokenizer = tokenizerOf({ added_tokens: [{ id: next, content: "<t>", rstrip: true }, tab] });
      return tokenizer.encode(text).map((id) => tokenizer.idToPiece(id));
    };
    // What tokenizers 0.23.3 gives.
    for (const text of ["a<t>\tb", "a<t> \tb"]) {
      expect(tabbed({ lstrip: true }, text)).toEqual(["a", "<t>", "b"]);
      expect(tabbed({ lstrip: true, rstrip: true }, text)).toEqual(["a", "<t>", "b"]);
      expect(tabbed({}, text)).toEqual(["a", "<t>", "\t", "b"]);
      expect(tabbed({ rstrip: true }, text)).toEqual(["a", "<t>", "\t", "b"]);
    }
  });
  it("stay text inside a word where single_word says so", () => {
    expect(added({ single_word: true, special: true }, "a<t>")).toEqual(["a", "<", "t", ">"]);
    expect(added({ single_word: true, special: true }, "<t>가")).toEqual(["<", "t", ">", "가"]);
    expect(added({ single_word: true, special: true }, "a <t>,")).toEqual(["a", " ", "<t>", ","]);
  });
  it("are found in the normalized text where normalized says so", () => {
    const normalizer = { type: "Replace", pattern: { String: "s" }, content: "t" };
    expect(added({ normalized: true, special: false }, "a<s>", normalizer)).toEqual(["a", "<t>"]);
    expect(added({ normalized: false, special: false }, "a<s>", normalizer)).toEqual(["a", "<", "t", ">"]);
  });
  it("are text for a user's text where they are special, and tokens where they are not", () => {
    expect(added({ special: true }, "<t>", null, "text")).toEqual(["<", "t", ">"]);
    expect(added({ special: false }, "<t>", null, "text")).toEqual(["<t>"]);
  });
});

describe("decoders", () => {
  const pieces = ["<unk>", "▁a", "▁b", "c", "<0xEA>", "<0xB0>", "<0x80>", "<s>"];
  const decoded = (decoder: object | null, ids: number[]): string =>
    tokenizerOf({
      decoder,
      added_tokens: [{ id: 7, content: "<s>", special: true }],
      model: { ...bpe, vocab: Object.fromEntries(pieces.slice(0, 7).map((piece, id) => [piece, id])) },
    }).decode(ids, { reading: "huggingface" });
  it("join by spaces where there is none", () => expect(decoded(null, [1, 3])).toBe("▁a c"));
  it("turn marks into spaces, the first away", () => {
    expect(decoded({ type: "Metaspace", replacement: "▁", prepend_scheme: "always" }, [1, 2, 3])).toBe("a bc");
    expect(decoded({ type: "Metaspace", replacement: "▁", prepend_scheme: "never" }, [1, 2])).toBe(" a b");
  });
  it("strip each token before and the text after fusing", () => {
    const replace = { type: "Replace", pattern: { String: "▁" }, content: " " };
    const strip = { type: "Strip", content: " ", start: 1, stop: 0 };
    expect(decoded({ type: "Sequence", decoders: [replace, strip] }, [1, 2])).toBe("ab");
    expect(decoded({ type: "Sequence", decoders: [replace, { type: "Fuse" }, strip] }, [1, 2])).toBe("a b");
  });
  // As Japanese tokenizers do with line ends, and some trainers with another mark for the space.
  it("show pieces in a stream as the file's own steps have them, token by token", () => {
    const model = { ...bpe, vocab: Object.fromEntries(["<unk>", "▁a", "a¶", "_b", "<0x0A>", "¶"].map((piece, id) => [piece, id])) };
    const replace = (from: string, to: string) => ({ type: "Replace", pattern: { String: from }, content: to });
    const of = (decoder: object, ids: number[]): string[] => {
      const tokenizer = tokenizerOf({ decoder, model });
      const stream = tokenizer.streamingDecoder();
      const streamed = ids.map((id) => stream.push([id])).join("") + stream.flush();
      return [...new Set([streamed, tokenizer.decode(ids), tokenizer.decode(ids, { reading: "huggingface" })])];
    };
    const after = [{ type: "ByteFallback" }, { type: "Fuse" }, { type: "Strip", content: " ", start: 1, stop: 0 }];
    const lines = { type: "Sequence", decoders: [replace("▁", " "), replace("¶", "\n"), ...after] };
    expect(of(lines, [1, 2, 4, 5, 3])).toEqual(["aa\n\n\n_b"]);
    expect(of({ type: "Metaspace", replacement: "_", prepend_scheme: "always" }, [3, 3, 1])).toEqual(["b b▁a"]);
    expect(of({ type: "Sequence", decoders: [{ type: "Fuse" }] }, [1, 3])).toEqual(["▁a_b"]);
  });
  it("turn bytes into text, special tokens being left out", () => {
    expect(decoded({ type: "ByteFallback" }, [7, 4, 5, 6])).toBe("가");
    expect(decoded({ type: "ByteFallback" }, [4, 5, 3])).toBe("\ufffd\ufffdc");
  });
});

describe("the post-processor", () => {
  const entry = (id: string, ...ids: number[]) => [id, { id, ids, tokens: ids.map(() => id) }] as const;
  const special_tokens = Object.fromEntries([
    entry("[B]", next),
    entry("[E]", next + 1),
    entry("[2]", next, next + 1),
    entry("[far]", 4000),
  ]);
  const template = (single: object[]) => ({ type: "TemplateProcessing", single, pair: [], special_tokens });
  const special = (id: string) => ({ SpecialToken: { id, type_id: 0 } });
  const text = { Sequence: { id: "A", type_id: 0 } };
  const added_tokens = [
    { id: next, content: "[B]", special: true },
    { id: next + 1, content: "[E]", special: true },
  ];
  it("says which tokens go around a text", () => {
    const both = tokenizerOf({ added_tokens, post_processor: template([special("[B]"), text, special("[E]")]) });
    expect([both.bosId, both.eosId, both.addBos, both.addEos]).toEqual([next, next + 1, true, true]);
    const after = tokenizerOf({ added_tokens, post_processor: { type: "Sequence", processors: [template([text, special("[E]")])] } });
    expect([after.bosId, after.eosId, after.addBos, after.addEos]).toEqual([null, next + 1, false, true]);
    expect(after.encode("a", { addEos: true })).toEqual([vocab.a, next + 1]);
    expect(() => after.encode("a", { addBos: true })).toThrow(/BOS was asked for/);
  });
  it("does nothing to ids where it only moves offsets", () => {
    const tokenizer = tokenizerOf({ added_tokens, post_processor: { type: "ByteLevel", trim_offsets: true } });
    expect([tokenizer.addBos, tokenizer.addEos]).toEqual([false, false]);
  });
  it("is refused by name where it does more than put a token on either side", () => {
    const of = (...single: object[]): string => refusal({ added_tokens, post_processor: template(single) });
    expect(refusal({ added_tokens, post_processor: { type: "Sequence", processors: [template([text]), template([text])] } })).toMatch(
      /single: a template with another before it is not supported, expected one/,
    );
    expect(of(special("[B]"), special("[E]"), text)).toMatch(/single: a template with two tokens in a row is not supported/);
    expect(of(special("[2]"), text)).toMatch(/a template with 2 ids for "\[2\]" is not supported, expected one/);
    expect(of(special("[B]"))).toMatch(/a template with no place for the text/);
    expect(of(text, text)).toMatch(/a template with the text twice/);
    expect(of({ Sequence: { id: "B", type_id: 0 } })).toMatch(/a template with the sequence "B"/);
    expect(() => tokenizerOf({ post_processor: template([special("[none]"), text]) })).toThrow(/special_tokens: "\[none\]" is missing/);
    expect(() => tokenizerOf({ post_processor: template([special("[far]"), text]) })).toThrow(
      /"\[far\]" has an id outside the vocabulary, got 4000/,
    );
  });
});

describe("what is not supported", () => {
  it("is refused by name", () => {
    expect(refusal({ pre_tokenizer: { type: "UnicodeScripts" } })).toBe(
      'tokenizer.json > pre_tokenizer: a pre-tokenizer of type "UnicodeScripts" is not supported, ' +
        "expected ByteLevel, Split, Digits, Punctuation, Whitespace, WhitespaceSplit, Metaspace or Sequence",
    );
    expect(refusal({ normalizer: { type: "Sequence", normalizers: [{ type: "BertNormalizer" }] } })).toMatch(
      /normalizer: .*"BertNormalizer"/,
    );
    expect(refusal({ normalizer: { type: "Replace", pattern: { Regex: "(a)\\1" }, content: "" } })).toMatch(
      /normalizer > the regular expression "\(a\).*": .1 is not supported/,
    );
    expect(refusal({ decoder: { type: "WordPiece" } })).toMatch(/decoder: .*"WordPiece"/);
    expect(refusal({ post_processor: { type: "RobertaProcessing" } })).toMatch(/post_processor: .*"RobertaProcessing"/);
    expect(refusal({ model: { type: "WordLevel" } })).toMatch(/model: .*"WordLevel"/);
    expect(refusal({ model: { ...bpe, dropout: 0.1 } })).toMatch(/dropout/);
    expect(refusal({ model: { ...bpe, continuing_subword_prefix: "##" } })).toMatch(/continuing_subword_prefix/);
  });
  it("does not include truncation and padding, which are ignored", () => {
    const tokenizer = tokenizerOf({ truncation: { max_length: 2 }, padding: { strategy: { Fixed: 9 } } });
    expect(tokenizer.encode("aaaa")).toHaveLength(4);
  });
});

describe("a broken tokenizer.json", () => {
  const format = (file: object): string => {
    try {
      tokenizerOf(file);
    } catch (error) {
      expect((error as GureumError).code).toBe("format");
      return (error as GureumError).message;
    }
    throw new Error("nothing was thrown");
  };
  it("says what is wrong and where", () => {
    expect(format({ model: { ...bpe, merges: ["a b"] } })).toBe('tokenizer.json > model > merges > 0: "ab" is not in the vocabulary');
    expect(format({ model: { ...bpe, vocab: { ...vocab, [`${"a".repeat(8193)}`]: 999 } } })).toMatch(
      /a token is too long, expected at most 8192/,
    );
    expect(format({ model: { ...bpe, merges: ["a"] } })).toMatch(/merges > 0: wrong type, expected two tokens, got "a"/);
    expect(format({ model: { ...bpe, vocab: { a: 1, b: 1 }, unk_token: null } })).toMatch(/id 1 is given twice/);
    expect(format({ model: { ...bpe, vocab: { a: 4e9 }, unk_token: null } })).toMatch(/an id below 2097152/);
    expect(format({ model: { ...bpe, unk_token: "[UNK]" } })).toMatch(/unk_token: "\[UNK\]" is not in the vocabulary/);
    expect(format({ model: { type: "Unigram", vocab: [["a", "x"]] } })).toMatch(/vocab > 0: wrong type, expected a finite score/);
    expect(format({ model: { type: "Unigram", vocab: [["a", 0]], unk_id: 1 } })).toMatch(/unk_id/);
    expect(() => parseTokenizer(encodeUtf8("{"), "tokenizer.json")).toThrow(/^tokenizer.json > byte 1: not JSON/);
  });
});
