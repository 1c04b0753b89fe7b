/** BPE against quadratic definitions of itself, and its running time. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { encodeUtf8 } from "../../../core/utf8.ts";
import type { SentencePiece } from "../../../tokenizer/sentencepiece-model.ts";
import { parseTokenizer, type Tokenizer } from "../../../tokenizer/tokenizer.ts";
import { gureum } from "./fixtures.ts";
import { bytePieces, plainModel, writeModel } from "./model-writer.ts";

const alphabet = ["a", "b", "c", "가", "😀"];
const text = fc.array(fc.constantFrom(...alphabet, "d"), { maxLength: 40 }).map((characters) => characters.join(""));
const longer = fc.array(fc.constantFrom(...alphabet), { minLength: 2, maxLength: 5 }).map((characters) => characters.join(""));
const pieceType = fc.constantFrom("normal", "normal", "normal", "normal", "unused", "userDefined");

/** Random pieces over the alphabet, few distinct scores so that ties are common; some characters may be missing. */
const pieces = fc
  .record({
    single: fc.subarray(alphabet),
    long: fc.uniqueArray(fc.tuple(longer, fc.integer({ min: -4, max: 0 }), pieceType), { maxLength: 14, selector: ([piece]) => piece }),
    byteFallback: fc.boolean(),
  })
  .map(({ single, long, byteFallback }) => {
    const all: SentencePiece[] = [{ piece: "<unk>", score: 0, type: "unknown" }];
    if (byteFallback) all.push(...bytePieces);
    for (const [piece, score, type] of long) all.push({ piece, score, type: type as SentencePiece["type"] });
    for (const piece of single) all.push({ piece, score: -9, type: "normal" });
    return { pieces: all, byteFallback };
  });

/** What sentencepiece's rules say, by scanning all neighbours for each merge. */
function naiveSentencePiece(model: readonly SentencePiece[], byteFallback: boolean, input: string): number[] {
  const ids = new Map(model.map(({ piece }, id) => [piece, id] as const));
  const ordinary = (piece: string): number | undefined => {
    const id = ids.get(piece);
    return id !== undefined && /normal|userDefined|unused/.test(model[id]!.type) ? id : undefined;
  };
  const userDefined = model.filter(({ type }) => type === "userDefined").map(({ piece }) => piece);
  let symbols: { text: string; frozen: boolean }[] = [];
  for (let at = 0; at < input.length; ) {
    const frozen = userDefined.filter((piece) => input.startsWith(piece, at)).sort((a, b) => b.length - a.length)[0];
    const piece = frozen ?? String.fromCodePoint(input.codePointAt(at)!);
    symbols.push({ text: piece, frozen: frozen !== undefined });
    at += piece.length;
  }
  const origins = new Map<string, [string, string]>();
  const known = (i: number): number | undefined =>
    i < 0 || i + 1 >= symbols.length || symbols[i]!.frozen || symbols[i + 1]!.frozen
      ? undefined
      : ordinary(symbols[i]!.text + symbols[i + 1]!.text);
  const note = (i: number): void => {
    const id = known(i);
    if (id !== undefined && model[id]!.type === "unused") origins.set(model[id]!.piece, [symbols[i]!.text, symbols[i + 1]!.text]);
  };
  for (let i = 0; i + 1 < symbols.length; i++) note(i);
  for (;;) {
    let best = -1;
    for (let i = 0; i + 1 < symbols.length; i++) {
      const id = known(i);
      if (id !== undefined && (best < 0 || model[id]!.score > model[known(best)!]!.score)) best = i;
    }
    if (best < 0) break;
    const merged = { text: symbols[best]!.text + symbols[best + 1]!.text, frozen: false };
    symbols = [...symbols.slice(0, best), merged, ...symbols.slice(best + 2)];
    note(best - 1);
    note(best);
  }
  const output: number[] = [];
  let afterUnknown = false;
  const emit = (piece: string): void => {
    const id = ordinary(piece);
    const origin = id !== undefined && model[id]!.type === "unused" ? origins.get(piece) : undefined;
    if (origin) {
      for (const part of origin) emit(part);
      return;
    }
    if (id !== undefined) output.push(id);
    else if (byteFallback) for (const byte of encodeUtf8(piece)) output.push(1 + byte);
    else if (!afterUnknown) output.push(0);
    afterUnknown = id === undefined;
  };
  for (const { text: piece } of symbols) emit(piece);
  return output;
}

describe("BPE from tokenizer.model", () => {
  it("merges in the order the definition gives, ties from the left", () => {
    fc.assert(
      fc.property(pieces, text, (model, input) => {
        const tokenizer = parseTokenizer(writeModel({ ...plainModel, ...model }), "tokenizer.model");
        expect(tokenizer.encode(input)).toEqual(naiveSentencePiece(model.pieces, model.byteFallback, input));
      }),
      { numRuns: 2000 },
    );
  });
  it("takes the leftmost of equal merges", () => {
    const model = {
      ...plainModel,
      pieces: ["<unk>", "a", "aa"].map((piece, id) => ({ piece, score: -id, type: id === 0 ? ("unknown" as const) : ("normal" as const) })),
    };
    expect(parseTokenizer(writeModel(model), "tokenizer.model").encode("aaaaa")).toEqual([2, 2, 1]);
  });
});

/** A tokenizer.json around a BPE model. */
function jsonTokenizer(model: object): Tokenizer {
  return parseTokenizer(encodeUtf8(JSON.stringify({ model: { type: "BPE", unk_token: null, ...model } })), "tokenizer.json");
}

/** Hugging Face's rules: the merge list is the order. */
function naiveHuggingFace(vocab: Record<string, number>, merges: readonly (readonly [string, string])[], input: string): number[] {
  let symbols = [...input].filter((character) => character in vocab);
  for (;;) {
    let best = -1;
    let bestRank = Number.POSITIVE_INFINITY;
    for (let i = 0; i + 1 < symbols.length; i++) {
      const rank = merges.findLastIndex(([left, right]) => left === symbols[i] && right === symbols[i + 1]);
      if (rank >= 0 && rank < bestRank) [best, bestRank] = [i, rank];
    }
    if (best < 0) return symbols.map((symbol) => vocab[symbol]!);
    symbols = [...symbols.slice(0, best), symbols[best]! + symbols[best + 1]!, ...symbols.slice(best + 2)];
  }
}

describe("BPE from tokenizer.json", () => {
  it.each([20, 511, 512, 513, 2000])("finds every merge of a word of %d letters, where more of them wait than it has letters", (count) => {
    // ab merges first and leaves two neighbours that may merge in place of one, while ba waits in vain.
    const merges: [string, string][] = [
      ["a", "b"],
      ["b", "a"],
      ["ab", "a"],
      ["ab", "ab"],
      ["b", "ab"],
      ["abab", "abab"],
    ];
    const vocab = Object.fromEntries(["a", "b", ...merges.map((merge) => merge.join(""))].map((piece, id) => [piece, id]));
    const input = "ab".repeat(count).slice(0, count);
    expect(jsonTokenizer({ vocab, merges }).encode(input)).toEqual(naiveHuggingFace(vocab, merges, input));
  });

  it("merges in the order of the list, as strings or as pairs", () => {
    const steps = fc.array(fc.tuple(fc.nat(), fc.nat()), { maxLength: 12 });
    fc.assert(
      fc.property(steps, text, fc.boolean(), (choices, input, asStrings) => {
        const known = [...alphabet];
        const merges: [string, string][] = [];
        for (const [i, j] of choices) {
          merges.push([known[i % known.length]!, known[j % known.length]!]);
          const merged = merges.at(-1)!.join("");
          if (!known.includes(merged)) known.push(merged);
        }
        const vocab = Object.fromEntries(known.map((piece, id) => [piece, id]));
        const tokenizer = jsonTokenizer({ vocab, merges: asStrings ? merges.map((merge) => merge.join(" ")) : merges });
        expect(tokenizer.encode(input)).toEqual(naiveHuggingFace(vocab, merges, input));
      }),
      { numRuns: 2000 },
    );
  });
  it("fuses unknown characters where asked to, and only then", () => {
    const model = { vocab: { "<unk>": 0, a: 1 }, merges: [], unk_token: "<unk>" };
    expect(jsonTokenizer({ ...model, fuse_unk: true }).encode("xyaz")).toEqual([0, 1, 0]);
    expect(jsonTokenizer({ ...model, fuse_unk: false }).encode("xyaz")).toEqual([0, 0, 1, 0]);
  });
  it("drops unknown characters where there is no unknown token", () => {
    expect(jsonTokenizer({ vocab: { a: 0 }, merges: [] }).encode("xay")).toEqual([0]);
  });
  it("falls back to bytes only where all of a character's are there", () => {
    const vocab = { "<unk>": 0, "<0xC3>": 1, "<0xA9>": 2, a: 3 };
    const tokenizer = jsonTokenizer({ vocab, merges: [], unk_token: "<unk>", byte_fallback: true });
    expect(tokenizer.encode("aéaê")).toEqual([3, 1, 2, 3, 0]);
  });
  it("takes a whole word from the vocabulary where merges are ignored", () => {
    const vocab = { a: 0, b: 1, ab: 2, aba: 3 };
    expect(jsonTokenizer({ vocab, merges: ["a b"], ignore_merges: true }).encode("aba")).toEqual([3]);
    expect(jsonTokenizer({ vocab, merges: ["a b"] }).encode("aba")).toEqual([2, 0]);
  });
});

describe("encoding time", () => {
  const hangul = (count: number): string => {
    let seed = 1;
    const characters: string[] = [];
    for (let i = 0; i < count; i++) {
      seed = (Math.imul(seed, 1103515245) + 12345) & 0x7fffffff;
      characters.push(String.fromCharCode(0xac00 + ((seed >>> 8) % 11172)));
    }
    return characters.join("");
  };
  const mebibyte = 2 ** 20;
  const texts: Record<string, (bytes: number) => string> = {
    "one repeated letter": (bytes) => "a".repeat(bytes),
    "random Hangul": (bytes) => hangul(bytes / 3),
    spaces: (bytes) => " ".repeat(bytes),
    "one repeated Hangul letter": (bytes) => "ㅋ".repeat(bytes / 3),
  };
  /** Processor time, so that what else the machine does counts little; the least of five runs. */
  const milliseconds = (tokenizer: Tokenizer, input: string): number => {
    let best = Number.POSITIVE_INFINITY;
    for (let run = 0; run < 5; run++) {
      const start = process.cpuUsage();
      tokenizer.encode(input);
      best = Math.min(best, process.cpuUsage(start).user / 1000);
    }
    return best;
  };
  for (const [file, tokenizer] of Object.entries(gureum))
    for (const [name, make] of Object.entries(texts))
      it(`of 1 MiB of ${name} with ${file} is seconds, and grows about as the text does`, () => {
        const whole = milliseconds(tokenizer, make(mebibyte));
        const eighth = milliseconds(tokenizer, make(mebibyte / 8));
        expect(whole).toBeLessThan(10_000);
        // Quadratic time would make this 64; n log n makes it under 10. Under 10 ms a measurement means little.
        expect(whole / Math.max(eighth, 10)).toBeLessThan(32);
        expect(tokenizer.decode(tokenizer.encode(make(mebibyte)))).toBe(make(mebibyte));
      });
});
