/**
 * Byte pair encoding: of all adjacent pairs that merge, the best one first, the leftmost among equals, until none is left.
 * O(n log n): a heap of candidates over a linked list of symbols. Both reference implementations order merges like this;
 * they differ in where the order comes from (a piece's score, a merge's rank) and in what an unknown character becomes.
 * Sources: google/sentencepiece `src/bpe_model.cc`; huggingface/tokenizers `models/bpe/{model,word}.rs`. No dropout.
 */
import { GureumError } from "../core/errors.ts";
import { createPairMap, getPair, type PairMap, setPair } from "./pair-map.ts";
import { createTrie, insert, longestMatch, step, type Trie } from "./trie.ts";

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
  const next = new Int32Array(count);
  const previous = new Int32Array(count);
  const heap = new Float64Array(2 * count + 2);
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

/** Pieces for the sentencepiece model below; ids are the indices. */
export interface BpePieces {
  readonly pieces: readonly string[];
  readonly scores: readonly number[];
  /** Pieces that merges may form: normal, user-defined and unused ones. */
  readonly mergeable: (id: number) => boolean;
  readonly userDefined: (id: number) => boolean;
  readonly unused: (id: number) => boolean;
  readonly unkId: number;
  /** Ids of the 256 byte pieces; null: without byte fallback. */
  readonly byteIds: Int32Array | null;
}

/** Appends the ids of a normalized text. */
export type SegmentText = (text: string, ids: number[]) => void;

/** UTF-8 of one code point, as byte pieces; false where there are none. */
export function pushBytes(point: number, byteIds: Int32Array | null, ids: number[]): boolean {
  if (!byteIds) return false;
  if (point < 0x80) ids.push(byteIds[point]!);
  else if (point < 0x800) ids.push(byteIds[0xc0 | (point >> 6)]!, byteIds[0x80 | (point & 0x3f)]!);
  else if (point < 0x10000)
    ids.push(byteIds[0xe0 | (point >> 12)]!, byteIds[0x80 | ((point >> 6) & 0x3f)]!, byteIds[0x80 | (point & 0x3f)]!);
  else
    ids.push(
      byteIds[0xf0 | (point >> 18)]!,
      byteIds[0x80 | ((point >> 12) & 0x3f)]!,
      byteIds[0x80 | ((point >> 6) & 0x3f)]!,
      byteIds[0x80 | (point & 0x3f)]!,
    );
  return true;
}

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

const isOneCharacter = (text: string): boolean => text.length === (text.codePointAt(0)! > 0xffff ? 2 : 1);
const splitsPair = (text: string, at: number): boolean => text.charCodeAt(at) >= 0xdc00 && text.charCodeAt(at) <= 0xdfff;

/**
 * Merges as sentencepiece sees them: two neighbours merge where their texts together are a piece, best score first.
 * A character that is no piece itself but part of one is a symbol too, numbered from `pieces.length` on.
 */
function mergesOfPieces(model: BpePieces): { table: MergeTable; characters: CharacterTable; extra: number } {
  const characters = createCharacterTable();
  const forward = createTrie();
  const backward = createTrie();
  const { pieces } = model;
  const reverse = (text: string): string => {
    let reversed = "";
    for (let i = text.length - 1; i >= 0; i--) reversed += text[i];
    return reversed;
  };
  const add = (text: string, symbol: number): void => {
    insert(forward, text, symbol);
    insert(backward, reverse(text), symbol);
    if (isOneCharacter(text)) setCharacter(characters, text.codePointAt(0)!, symbol);
  };
  const scores: number[] = [];
  for (const [id, piece] of pieces.entries())
    if (model.mergeable(id)) {
      add(piece, id);
      scores.push(model.scores[id]!);
    }
  let extra = 0;
  for (const [id, piece] of pieces.entries())
    if (model.mergeable(id) && !isOneCharacter(piece))
      for (const character of piece) if (getCharacter(characters, character.codePointAt(0)!) < 0) add(character, pieces.length + extra++);

  const ranks = new Map([...new Set(scores)].sort((a, b) => b - a).map((score, rank) => [score, rank]));
  const merges: [number, number, number, number][] = [];
  for (const [id, piece] of pieces.entries()) {
    if (!model.mergeable(id) || isOneCharacter(piece)) continue;
    const suffixes = new Int32Array(piece.length).fill(-1);
    let node = 0;
    for (let at = piece.length - 1; at > 0; at--) {
      node = step(backward, node, piece.charCodeAt(at));
      suffixes[at] = backward.values[node]!;
    }
    node = 0;
    for (let at = 1; at < piece.length; at++) {
      node = step(forward, node, piece.charCodeAt(at - 1));
      const left = forward.values[node]!;
      const right = suffixes[at]!;
      if (left >= 0 && right >= 0 && !splitsPair(piece, at)) merges.push([left, right, id, ranks.get(model.scores[id]!)!]);
    }
  }
  return { table: createMergeTable(merges), characters, extra };
}

/**
 * sentencepiece's BPE model. User-defined pieces are cut out first and never merge; a character that is no piece becomes its
 * UTF-8 as byte pieces, or the unknown id, once for a run of them; an unused piece falls apart into what it was merged from.
 */
export function createSentencePieceBpe(model: BpePieces): SegmentText {
  const { table, characters, extra } = mergesOfPieces(model);
  const { pieces, unkId, byteIds } = model;
  const finalIds = new Int32Array(pieces.length + extra).fill(unkId);
  const userDefined: Trie = createTrie();
  let anyUnused = false;
  let anyUserDefined = false;
  for (const [id, piece] of pieces.entries()) {
    if (model.mergeable(id)) finalIds[id] = id;
    if (model.unused(id)) anyUnused = true;
    if (model.userDefined(id)) {
      anyUserDefined = true;
      insert(userDefined, piece, id);
    }
  }
  // Where a reserved piece (control, unknown, byte) is one character, sentencepiece looks it up before the others.
  for (const [id, piece] of pieces.entries()) {
    if (model.mergeable(id) || !isOneCharacter(piece)) continue;
    const symbol = getCharacter(characters, piece.codePointAt(0)!);
    if (symbol >= 0) finalIds[symbol] = id;
  }
  const reservedCharacters = new Map(
    pieces.flatMap((piece, id) => (!model.mergeable(id) && isOneCharacter(piece) ? [[piece.codePointAt(0)!, id] as const] : [])),
  );

  return (text, ids) => {
    const symbols = new Int32Array(text.length);
    const starts = new Int32Array(text.length);
    let count = 0;
    for (let at = 0; at < text.length; ) {
      const frozen = anyUserDefined ? longestMatch(userDefined, text, at) : 0;
      const point = text.codePointAt(at)!;
      starts[count] = at;
      // Frozen symbols are the negative numbers from -3 down, so that they never merge.
      symbols[count++] = frozen > 0 ? -3 - frozenId(text, at) : getCharacter(characters, point);
      at += frozen > 0 ? frozen : point > 0xffff ? 2 : 1;
    }
    const origins = anyUnused ? new Map<number, readonly [number, number]>() : null;
    count = applyMerges(
      table,
      symbols,
      starts,
      count,
      origins && ((left, right, merged) => model.unused(merged) && origins.set(merged, [left, right])),
    );
    let afterUnknown = false;
    const emit = (symbol: number, start: number): void => {
      const origin = symbol >= 0 ? origins?.get(symbol) : undefined;
      if (origin) {
        emit(origin[0], start);
        emit(origin[1], start + (origin[0] < pieces.length ? pieces[origin[0]]!.length : text.codePointAt(start)! > 0xffff ? 2 : 1));
        return;
      }
      const id = symbol <= -3 ? -3 - symbol : symbol >= 0 ? finalIds[symbol]! : (reservedCharacters.get(text.codePointAt(start)!) ?? unkId);
      if (id !== unkId) ids.push(id);
      else if (!pushBytes(text.codePointAt(start)!, byteIds, ids) && !afterUnknown) ids.push(id);
      afterUnknown = id === unkId;
    };
    for (let i = 0; i < count; i++) emit(symbols[i]!, starts[i]!);
  };

  function frozenId(text: string, at: number): number {
    let node = 0;
    let id = 0;
    for (let i = at; i < text.length; i++) {
      node = step(userDefined, node, text.charCodeAt(i));
      if (node < 0) break;
      if (userDefined.values[node]! >= 0) id = userDefined.values[node]!;
    }
    return id;
  }
}
