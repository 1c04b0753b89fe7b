/** The unigram model against every segmentation there is. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { GureumError } from "../../../core/errors.ts";
import { encodeUtf8 } from "../../../core/utf8.ts";
import type { SentencePiece } from "../../../tokenizer/sentencepiece-model.ts";
import { parseTokenizer, type Tokenizer } from "../../../tokenizer/tokenizer.ts";
import { createTrie, insert } from "../../../tokenizer/trie.ts";
import { viterbi } from "../../../tokenizer/unigram.ts";
import { bytePieces, plainModel, writeModel } from "./model-writer.ts";

const alphabet = ["a", "b", "가", "😀"];
const word = fc.array(fc.constantFrom(...alphabet), { minLength: 1, maxLength: 4 }).map((characters) => characters.join(""));
/** Scores in eighths: sums are exact in float32, so that the best sum is the same in any order of adding. */
const score = fc.integer({ min: -80, max: -1 }).map((eighths) => eighths / 8);
const vocabulary = fc.uniqueArray(fc.tuple(word, score), { maxLength: 12, selector: ([piece]) => piece });
const text = fc.array(fc.constantFrom(...alphabet, "x"), { maxLength: 9 }).map((characters) => characters.join(""));

/** Highest sum over all ways to cut `input`; a character may be unknown only where it is no piece. */
function bestSum(scores: ReadonlyMap<string, number>, unknown: number, input: string): number {
  if (input === "") return 0;
  const first = String.fromCodePoint(input.codePointAt(0)!);
  let best = scores.has(first) ? Number.NEGATIVE_INFINITY : unknown + bestSum(scores, unknown, input.slice(first.length));
  for (const [piece, value] of scores)
    if (input.startsWith(piece)) best = Math.max(best, value + bestSum(scores, unknown, input.slice(piece.length)));
  return best;
}

describe("viterbi", () => {
  it("finds the best of all segmentations", () => {
    fc.assert(
      fc.property(vocabulary, text, fc.boolean(), (pieces, input, float32) => {
        const trie = createTrie();
        for (const [id, [piece]] of pieces.entries()) insert(trie, piece, id + 1);
        const scores = Float64Array.from([0, ...pieces.map(([, value]) => value)]);
        const minScore = Math.min(0, ...pieces.map(([, value]) => value));
        const { ids, ends } = viterbi({ trie, scores, minScore, unkId: 0, float32 }, input);
        let start = 0;
        let sum = 0;
        for (const [i, id] of ids.entries()) {
          const part = input.slice(start, ends[i]);
          if (id === 0) expect([...part]).toHaveLength(1);
          else expect(part).toBe(pieces[id - 1]![0]);
          sum += id === 0 ? minScore - 10 : scores[id]!;
          start = ends[i]!;
        }
        expect(start).toBe(input.length);
        expect(sum).toBe(bestSum(new Map(pieces), minScore - 10, input));
      }),
      { numRuns: 2000 },
    );
  });
  it("takes the longer last piece of two equally good segmentations", () => {
    const trie = createTrie();
    for (const [id, piece] of ["a", "b", "aa", "ab"].entries()) insert(trie, piece, id);
    const model = { trie, scores: Float64Array.of(-1, -1, -1, -1), minScore: -1, unkId: -1, float32: false };
    expect([...viterbi(model, "aab").ids]).toEqual([0, 3]);
  });
  it("fails on a character outside the vocabulary where there is no unknown piece", () => {
    const model = { trie: createTrie(), scores: new Float64Array(0), minScore: 0, unkId: -1, float32: false };
    expect(() => viterbi(model, "a")).toThrow(GureumError);
  });
});

function tokenizerOf(pieces: readonly SentencePiece[], byteFallback = false): Tokenizer {
  const all = [{ piece: "<unk>", score: 0, type: "unknown" as const }, { piece: "<s>", score: 0, type: "control" as const }, ...pieces];
  return parseTokenizer(
    writeModel({ ...plainModel, modelType: "unigram", byteFallback, pieces: byteFallback ? [...all, ...bytePieces] : all }),
    "tokenizer.model",
  );
}
const normal = (piece: string, value: number): SentencePiece => ({ piece, score: value, type: "normal" });

describe("unigram from tokenizer.model", () => {
  it("merges a run of unknown characters into one unknown id", () => {
    expect(tokenizerOf([normal("a", -1)]).encode("xyaz")).toEqual([0, 2, 0]);
  });
  it("writes unknown characters as bytes with byte fallback", () => {
    const tokenizer = tokenizerOf([normal("a", -1)], true);
    expect(tokenizer.encode("aé")).toEqual([2, 3 + 0xc3, 3 + 0xa9]);
    expect(tokenizer.decode(tokenizer.encode("뷁a😀"))).toBe("뷁a😀");
  });
  it("lets an unknown character cost the lowest score of a normal piece minus 10", () => {
    // "a" unknown and "bc" against "ab" and "c", which together score -20: the balance tips where "bc" reaches 0.
    const pieces = (bc: number): string[] => {
      const tokenizer = tokenizerOf([normal("ab", -10), normal("c", -10), normal("bc", bc), { piece: "zz", score: -99, type: "unused" }]);
      return tokenizer.encode("abc").map((id) => tokenizer.idToPiece(id));
    };
    expect(pieces(-0.125)).toEqual(["ab", "c"]);
    expect(pieces(0.125)).toEqual(["<unk>", "bc"]);
  });
  it("takes a user-defined piece where ordinary ones would score better", () => {
    const ordinary = [normal("a", -1), normal("b", -1), normal("aba", -0.5)];
    const pieces = (tokenizer: Tokenizer): string[] => tokenizer.encode("abab").map((id) => tokenizer.idToPiece(id));
    expect(pieces(tokenizerOf([...ordinary, normal("bab", -9)]))).toEqual(["aba", "b"]);
    expect(pieces(tokenizerOf([...ordinary, { piece: "bab", score: -9, type: "userDefined" }]))).toEqual(["a", "bab"]);
  });
  it("never takes an unused piece or a control piece", () => {
    const tokenizer = tokenizerOf([
      normal("a", -1),
      normal("b", -1),
      { piece: "ab", score: 0, type: "unused" },
      ...["<", "s", ">"].map((p) => normal(p, -1)),
    ]);
    expect(tokenizer.encode("ab<s>").map((id) => tokenizer.idToPiece(id))).toEqual(["a", "b", "<", "s", ">"]);
    expect(tokenizer.encode("ab<s>", { specialTokens: "recognise" })).toEqual([2, 3, 1]);
  });
  it("encodes 1 MiB of one letter in seconds", () => {
    const tokenizer = tokenizerOf(["a", "aa", "aaaa", "aaaaaaaa"].map((piece, i) => normal(piece, -1 - i / 8)));
    const start = performance.now();
    expect(tokenizer.encode("a".repeat(2 ** 20))).toHaveLength(2 ** 17);
    expect(performance.now() - start).toBeLessThan(10_000);
  });
});

describe("unigram from tokenizer.json", () => {
  const json = (model: object, rest: object = {}): Tokenizer =>
    parseTokenizer(encodeUtf8(JSON.stringify({ ...rest, model: { type: "Unigram", ...model } })), "tokenizer.json");

  it("gives the segmentation of the reference's own example", () => {
    const vocab = [
      ["<unk>", 0],
      ["a", 0],
      ["b", 0],
      ["c", 0],
      ["d", 0],
      ["cd", 1],
      ["ab", 2],
      ["abc", 5],
      ["abcd", 10],
    ];
    expect(json({ vocab, unk_id: 0 }).encode("abcdacdxx")).toEqual([8, 1, 5, 0]);
  });
  it("lets an unknown character cost the lowest score of all minus 10", () => {
    const pieces = (lowest: number): number[] =>
      json({
        unk_id: 0,
        vocab: [
          ["<unk>", lowest],
          ["ab", -10],
          ["c", -10],
          ["bc", 0.125],
        ],
      }).encode("abc");
    expect(pieces(0)).toEqual([0, 3]);
    expect(pieces(-11)).toEqual([1, 2]);
  });
  it("falls back to bytes for a whole run, or to the unknown id", () => {
    const vocab = [
      ["<unk>", 0],
      ["a", -1],
      ["<0xC3>", 0],
      ["<0xA9>", 0],
    ];
    expect(json({ vocab, unk_id: 0, byte_fallback: true }).encode("aéé")).toEqual([1, 2, 3, 2, 3]);
    expect(json({ vocab, unk_id: 0, byte_fallback: true }).encode("aéê")).toEqual([1, 0]);
  });
  it("does not let a user's text spell a special token", () => {
    const vocab = [
      ["<unk>", 0],
      ["</s>", 0],
      ["<", -1],
      ["/", -1],
      ["s", -1],
      [">", -1],
    ];
    const tokenizer = json({ vocab, unk_id: 0 }, { added_tokens: [{ id: 1, content: "</s>", special: true }] });
    expect(tokenizer.encode("</s>")).toEqual([2, 3, 4, 5]);
    expect(tokenizer.encode("</s>", { specialTokens: "recognise" })).toEqual([1]);
  });
});
