/**
 * Byte pair encoding: of all adjacent pairs that merge, the best one first, the leftmost among equals, until none is left.
 * O(n log n): a heap of candidates over a linked list of symbols. Both reference implementations order merges like this;
 * where the order comes from (a piece's score, a merge's rank) and what an unknown character becomes is their models' affair:
 * sentencepiece-bpe.ts, tokenizer-json.ts.
 * Sources: google/sentencepiece `src/bpe_model.cc`; huggingface/tokenizers `models/bpe/word.rs`. No dropout.
 */
import { GureumError } from "../core/errors.ts";
import { createPairMap, getPair, type PairMap, setPair } from "./pair-map.ts";

/** Which pairs of symbols merge. Symbols are whole numbers; a negative one never merges. */
export interface MergeTable {
  /** (left, right) to the index of the merge */
  readonly pairs: PairMap;
  /** Lower merges earlier. By index of the merge. */
  readonly ranks: Int32Array;
  /** What it gives. By index of the merge. */
  readonly merged: Int32Array;
}

/** A heap key is rank · 2^32 + position, exact in a double up to this rank. */
const maxRank = 2 ** 21 - 1;

/** @throws GureumError "unsupported" for more than 2^21 ranks. */
export function createMergeTable(merges: readonly (readonly [left: number, right: number, merged: number, rank: number])[]): MergeTable {
  const pairs = createPairMap(merges.length);
  const ranks = new Int32Array(merges.length);
  const merged = new Int32Array(merges.length);
  for (const [index, [left, right, result, rank]] of merges.entries()) {
    if (rank > maxRank)
      throw new GureumError("unsupported", { what: "too many merges", expected: `at most ${maxRank + 1}`, got: `${rank + 1}` });
    setPair(pairs, left, right, index);
    ranks[index] = rank;
    merged[index] = result;
  }
  return { pairs, ranks, merged };
}

const removed = -2;

/** What merging a word needs; words are short and many, so short ones share theirs. */
interface Scratch {
  readonly next: Int32Array;
  readonly previous: Int32Array;
  /** At most one candidate per neighbouring pair, and one more per merge. */
  readonly heap: Float64Array;
}

const createScratch = (count: number): Scratch => ({
  next: new Int32Array(count),
  previous: new Int32Array(count),
  heap: new Float64Array(2 * count + 2),
});

const shortWord = 512;
const shared = createScratch(shortWord);

/**
 * Merges the first `count` of `symbols` in place and returns how many are left; `starts` (where each symbol's text begins)
 * is kept in step. `onCandidate` hears of every pair that could merge, when it becomes adjacent.
 */
export function applyMerges(
  table: MergeTable,
  symbols: Int32Array,
  starts: Int32Array,
  count: number,
  onCandidate: ((left: number, right: number, merged: number) => void) | null,
): number {
  if (count < 2) return count;
  const { next, previous, heap } = count <= shortWord ? shared : createScratch(count);
  let size = 0;

  const push = (key: number): void => {
    let at = size++;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (heap[parent]! <= key) break;
      heap[at] = heap[parent]!;
      at = parent;
    }
    heap[at] = key;
  };
  const pop = (): number => {
    const top = heap[0]!;
    const key = heap[--size]!;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= size) break;
      if (child + 1 < size && heap[child + 1]! < heap[child]!) child++;
      if (heap[child]! >= key) break;
      heap[at] = heap[child]!;
      at = child;
    }
    heap[at] = key;
    return top;
  };
  const consider = (left: number, right: number): void => {
    if (left < 0 || right >= count || symbols[left]! < 0 || symbols[right]! < 0) return;
    const merge = getPair(table.pairs, symbols[left]!, symbols[right]!);
    if (merge < 0) return;
    push(table.ranks[merge]! * 2 ** 32 + left);
    if (onCandidate) onCandidate(symbols[left]!, symbols[right]!, table.merged[merge]!);
  };

  for (let i = 0; i < count; i++) {
    next[i] = i + 1;
    previous[i] = i - 1;
  }
  for (let i = 0; i + 1 < count; i++) consider(i, i + 1);
  while (size > 0) {
    const key = pop();
    const rank = Math.floor(key / 2 ** 32);
    const left = key - rank * 2 ** 32;
    const right = next[left]!;
    if (right === removed || right >= count || symbols[left]! < 0 || symbols[right]! < 0) continue;
    // A candidate whose symbols have changed since is stale, unless what stands there now has the same rank: then it is due anyway.
    const merge = getPair(table.pairs, symbols[left]!, symbols[right]!);
    if (merge < 0 || table.ranks[merge] !== rank) continue;
    symbols[left] = table.merged[merge]!;
    const after = next[right]!;
    next[left] = after;
    next[right] = removed;
    if (after < count) previous[after] = left;
    consider(previous[left]!, left);
    consider(left, after);
  }

  let left = 0;
  for (let i = 0; i < count; i = next[i]!) {
    symbols[left] = symbols[i]!;
    starts[left++] = starts[i]!;
  }
  return left;
}

/** Appends the ids of a normalized text. */
export type SegmentText = (text: string, ids: number[]) => void;

/** The symbol of a code point: an array for the basic plane, a map above it. */
export interface CharacterTable {
  readonly basic: Int32Array;
  readonly rest: Map<number, number>;
}

export function createCharacterTable(): CharacterTable {
  return { basic: new Int32Array(0x10000).fill(-1), rest: new Map() };
}

export function setCharacter(table: CharacterTable, point: number, symbol: number): void {
  if (point < 0x10000) table.basic[point] = symbol;
  else table.rest.set(point, symbol);
}

/** -1: no symbol */
export function getCharacter(table: CharacterTable, point: number): number {
  return point < 0x10000 ? table.basic[point]! : (table.rest.get(point) ?? -1);
}
