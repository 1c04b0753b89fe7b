/**
 * Where the reference's Unicode tables are older than a JavaScript engine's. tokenizers 0.23 brings three versions: Oniguruma's
 * regular expressions know Unicode 16, its crates for normal forms, combining marks and punctuation know versions 8 to 9. A character
 * assigned since is unassigned to them, and models see it as they do. An engine older than Unicode 16 lacks some characters more.
 * Found by comparing every code point with the reference; conformance/test/tokenizer/unicode-versions.test.ts holds the totals.
 */
import { GureumError } from "../core/errors.ts";

/** Ranges written as `first-last` or `only` in hexadecimal, in order. */
function parseRanges(text: string): Int32Array {
  const bounds = text.split(/\s+/).flatMap((range) => {
    const [first, last = first] = range.split("-");
    return [Number.parseInt(first!, 16), Number.parseInt(last!, 16)];
  });
  return Int32Array.from(bounds);
}

/** Whether a code point lies in one of the ranges; binary search. */
function inRanges(bounds: Int32Array, point: number): boolean {
  let low = 0;
  let high = bounds.length >> 1;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (bounds[2 * middle + 1]! < point) low = middle + 1;
    else high = middle;
  }
  return 2 * low < bounds.length && bounds[2 * low]! <= point;
}

/** Assigned by Unicode 17. */
const afterUnicode16 = parseRanges(`88f c5c cdc 1acf-1add 1ae0-1aeb 20c1 2b96 a7ce-a7cf a7d2 a7d4 a7f1 fbc3-fbd2 fd90-fd91 fdc8-fdce
  10940-10959 10ec5-10ec7 10ed0-10ed8 10efa-10efb 11b60-11b67 11db0-11ddb 11de0-11de9 16ea0-16eb8 16ebb-16ed3 16ff2-16ff6 187f8-187ff
  18d09-18d1e 18d80-18df2 1ccfa-1ccfc 1ceba-1ced0 1cee0-1cef0 1e6c0-1e6de 1e6e0-1e6f5 1e6fe-1e6ff 1f6d8 1f777-1f77a 1f8d0-1f8d8
  1fa54-1fa57 1fa8a 1fa8e 1fac8 1facd 1faea 1faef 1fbfa 2b73a-2b73f 2cea2-2cead 323b0-33479`);

/** \p{P} of Unicode 16 that the reference's `Punctuation` does not know. */
const newPunctuation = parseRanges(`61d 9fd a76 c77 c84 1b4e-1b4f 1b7d-1b7f 2e43-2e4f 2e52-2e5d 10d6e 10ead 10ed0 10f55-10f59 10f86-10f89
  113d4-113d5 113d7-113d8 1144b-1144f 1145a-1145b 1145d 11660-1166c 116b9 1183b 11944-11946 119e2 11a3f-11a46 11a9a-11a9c 11a9e-11aa2
  11b00-11b09 11be1 11c41-11c45 11c70-11c71 11ef7-11ef8 11f43-11f4f 11fff 12ff1-12ff2 16d6d-16d6f 16e97-16e9a 16fe2 1e5ff 1e95e-1e95f`);

/** \p{M} of Unicode 17 that the reference's normal forms do not know. */
const newMarks = parseRanges(`7fd 897-89f 8ca-8d3 9fe afa-aff b55 c04 c3c cf3 d00 d3b-d3c d81 eba ece 1715 180f 1abf-1add 1ae0-1aeb 1cf7
  1df6-1dfa a82c a8ff 10d24-10d27 10d69-10d6d 10eab-10eac 10efa-10eff 10f46-10f50 10f82-10f85 11070 11073-11074 110c2 11145-11146 111c9
  111ce-111cf 11241 1133b 113b8-113c0 113c2 113c5 113c7-113ca 113cc-113d0 113d2 113e1-113e2 1145e 1182c-1183a 11930-11935 11937-11938
  1193b-1193e 11940 11942-11943 119d1-119d7 119da-119e0 119e4 11a01-11a0a 11a33-11a39 11a3b-11a3e 11a47 11a51-11a5b 11a8a-11a99
  11b60-11b67 11d31-11d36 11d3a 11d3c-11d3d 11d3f-11d45 11d47 11d8a-11d8e 11d90-11d91 11d93-11d97 11ef3-11ef6 11f00-11f01 11f03
  11f34-11f3a 11f3e-11f42 11f5a 13440 13447-13455 1611e-1612f 16f4f 16f7f-16f87 16fe4 16ff0-16ff1 1cf00-1cf2d 1cf30-1cf46 1e08f
  1e130-1e136 1e2ae 1e2ec-1e2ef 1e4ec-1e4ef 1e5ee-1e5ef 1e6e3 1e6e6 1e6ee-1e6ef 1e6f5`);

/** Characters other than those marks that a later Unicode decomposes, and what it decomposes them to. */
const newDecompositions = parseRanges(`32ff a7f1-a7f4 ab69 105c9 105d2 105da 105e4 10781-10785 10787-107b0 107b2-107ba 11382-11385 1138b
  1138e 11390-11391 16d63 16d67-16d6a 1ccd6-1ccf9 1e030-1e06d 1f16c 1fbf0-1fbf9`);

/** Whether Oniguruma's tables lack the code point, whatever the JavaScript engine says. */
export function isAfterUnicode16(point: number): boolean {
  return point >= 0x88f && inRanges(afterUnicode16, point);
}

const punctuation = /^\p{P}$/u;

/** The reference's punctuation: ASCII's and \p{P}. */
export function isPunctuation(point: number): boolean {
  if (point < 0x80)
    return (
      (point > 0x20 && point < 0x30) || (point > 0x39 && point < 0x41) || (point > 0x5a && point < 0x61) || (point > 0x7a && point < 0x7f)
    );
  // U+166D and U+111C9 were punctuation once.
  return point === 0x166d || point === 0x111c9 || (punctuation.test(String.fromCodePoint(point)) && !inRanges(newPunctuation, point));
}

const mark = /^\p{M}$/u;

/** The reference's combining marks: \p{M}. */
export function isMark(point: number): boolean {
  // U+1CF2 and U+1CF3 were marks once.
  return point === 0x1cf2 || point === 0x1cf3 || (mark.test(String.fromCodePoint(point)) && !inRanges(newMarks, point));
}

export type NormalForm = "NFC" | "NFD" | "NFKC" | "NFKD";

/**
 * Marks in a row that are brought into order. Engines sort them one by one: 400,000 take half a minute. Words of any language have fewer than 30 (UAX #15,
 * "Stream-Safe Text").
 */
const maxMarks = 1024;

/** U+FF9E and U+FF9F become marks in the K forms. @throws GureumError "limit" */
function checkMarks(text: string): void {
  for (const { 0: marks, index } of text.matchAll(/[\p{M}\uff9e\uff9f]+/gu))
    if (marks.length > maxMarks)
      throw new GureumError("limit", {
        where: `text > character ${index}`,
        what: "too many combining marks in a row",
        expected: `at most ${maxMarks}`,
        got: `${marks.length}`,
        remedy: "take them out of the text",
      });
}

/**
 * A text in a normal form, as the reference's tables have it: a character that is new to them stays, and nothing is composed
 * with it or moved across it. @throws GureumError "limit" for a run of more than 1,024 combining marks
 */
export function normalForm(text: string, form: NormalForm): string {
  checkMarks(text);
  const parts: string[] = [];
  let start = 0;
  for (let at = 0; at < text.length; ) {
    const point = text.codePointAt(at)!;
    const end = at + (point > 0xffff ? 2 : 1);
    if (point >= 0x7fd && (inRanges(newMarks, point) || inRanges(newDecompositions, point))) {
      parts.push(text.slice(start, at).normalize(form), text.slice(at, end));
      start = end;
    }
    at = end;
  }
  parts.push(text.slice(start).normalize(form));
  return parts.join("");
}
