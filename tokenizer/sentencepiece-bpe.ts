/**
 * sentencepiece's BPE model: which pairs of pieces merge follows from the pieces and their scores.
 * Source: google/sentencepiece `src/bpe_model.cc`.
 */
import {
  applyMerges,
  type CharacterTable,
  createCharacterTable,
  createMergeTable,
  getCharacter,
  type MergeTable,
  type SegmentText,
  setCharacter,
} from "./bpe.ts";
import { createTrie, insert, longestMatch, step, type Trie } from "./trie.ts";

/** A vocabulary; ids are the indices. */
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

const isOneCharacter = (text: string): boolean => text.length === (text.codePointAt(0)! > 0xffff ? 2 : 1);

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
      if (left >= 0 && right >= 0) merges.push([left, right, id, ranks.get(model.scores[id]!)!]);
    }
  }
  return { table: createMergeTable(merges), characters, extra };
}

/**
 * sentencepiece's BPE model. User-defined pieces are cut out first and never merge; a character that is no piece
 * becomes its UTF-8 as byte pieces, or the unknown id, once for a run of them; an unused piece falls apart into what it
 * was merged from.
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
