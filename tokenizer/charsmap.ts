/**
 * `precompiled_charsmap`: rules "these bytes become those", a Darts double array beside a blob of NUL-ended
 * replacements. Layout: u32 size of the trie in bytes, the trie's u32 units, the blob (all little-endian). A unit: bits
 * 0-7 label (bit 31 clear), bit 8 has a leaf, bit 9 scales the offset, bits 10-30 offset; a leaf holds its value in
 * bits 0-30. Sources: google/sentencepiece `src/normalizer.cc`, darts-clone `include/darts.h`.
 */
import { GureumError } from "../core/errors.ts";
import { decodeUtf8 } from "../core/utf8.ts";

export interface Charsmap {
  readonly units: Uint32Array;
  readonly blob: Uint8Array;
  /** Replacements decoded so far, by their offset in the blob. */
  readonly decoded: Map<number, string>;
}

/** @throws GureumError "format" where the sizes do not agree. */
export function parseCharsmap(bytes: Uint8Array): Charsmap {
  if (bytes.length <= 4)
    throw new GureumError("format", { what: "a charsmap is cut off", expected: "more than 4 bytes", got: `${bytes.length}` });
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const trieBytes = view.getUint32(0, true);
  if (trieBytes > bytes.length - 4 || trieBytes % 4 !== 0 || trieBytes === 0)
    throw new GureumError("format", {
      what: "a charsmap's trie does not fit",
      expected: `a multiple of 4 up to ${bytes.length - 4} bytes`,
      got: `${trieBytes}`,
    });
  const units = new Uint32Array(trieBytes / 4);
  for (let i = 0; i < units.length; i++) units[i] = view.getUint32(4 + 4 * i, true);
  return { units, blob: bytes.slice(4 + trieBytes), decoded: new Map() };
}

/** What a rule turns its bytes into. */
export interface CharsmapMatch {
  /** UTF-16 code units of the text it stands for */
  readonly length: number;
  readonly replacement: string;
}

function replacementAt(map: Charsmap, offset: number): string {
  let text = map.decoded.get(offset);
  if (text === undefined) {
    if (offset >= map.blob.length)
      throw new GureumError("format", {
        where: "precompiled_charsmap",
        what: "a rule points past the replacements",
        expected: `at most ${map.blob.length}`,
        got: `${offset}`,
      });
    let end = offset;
    while (end < map.blob.length && map.blob[end] !== 0) end++;
    text = decodeUtf8(map.blob.subarray(offset, end));
    map.decoded.set(offset, text);
  }
  return text;
}

const offsetOf = (unit: number): number => (unit >>> 10) << ((unit & 0x200) >>> 6);

/**
 * The shortest or the longest rule that matches `text` from `at` up to `end` and stops between two characters; null:
 * none does. sentencepiece takes the longest; Hugging Face's `Precompiled` the shortest.
 * @throws GureumError "format" for a rule that points nowhere.
 */
export function matchCharsmap(map: Charsmap, text: string, at: number, end: number, which: "shortest" | "longest"): CharsmapMatch | null {
  let node = offsetOf(map.units[0]!);
  let found = -1;
  let length = 0;
  for (let i = at; i < end; ) {
    const point = text.codePointAt(i)!;
    i += point > 0xffff ? 2 : 1;
    const extra = point < 0x80 ? 0 : point < 0x800 ? 1 : point < 0x10000 ? 2 : 3;
    for (let j = extra; j >= 0; j--) {
      const bits = (point >> (6 * j)) & (j === extra ? 0x7f : 0x3f);
      const byte = extra === 0 ? point : j === extra ? [0, 0xc0, 0xe0, 0xf0][extra]! | bits : 0x80 | bits;
      node ^= byte;
      const unit = map.units[node];
      if (byte === 0 || unit === undefined || (unit & 0x800000ff) >>> 0 !== byte) return finish();
      node ^= offsetOf(unit);
      if (j === 0 && unit & 0x100) {
        const leaf = map.units[node];
        if (leaf === undefined) throw new GureumError("format", { where: "precompiled_charsmap", what: "the trie points past its end" });
        found = leaf & 0x7fffffff;
        length = i - at;
        if (which === "shortest") return finish();
      }
    }
  }
  return finish();

  function finish(): CharsmapMatch | null {
    return found < 0 ? null : { length, replacement: replacementAt(map, found) };
  }
}
