/**
 * Added tokens: strings that are cut out of a text before the model sees it, and become one id each.
 * Source: huggingface/tokenizers `src/tokenizer/added_vocabulary.rs` (leftmost-longest; lstrip, rstrip, single_word).
 */
import { createTrie, exactMatch, insert, longestMatch, type Trie } from "./trie.ts";
import { endsWithWord, isWhiteSpace, startsWithWord } from "./unicode.ts";

/** Hugging Face's `AddedToken`, in camelCase. */
export interface AddedToken {
  /** Its id. */
  readonly id: number;
  /** Its text. */
  readonly content: string;
  /** Takes the white space before it along. */
  readonly lstrip: boolean;
  /** Takes the white space after it along. */
  readonly rstrip: boolean;
  /** Not inside a word. */
  readonly singleWord: boolean;
  /** Looked for in the normalized text. */
  readonly normalized: boolean;
  /** Left out when decoding for people; ordinary text where the text is a user's. */
  readonly special: boolean;
}

/**
 * Added tokens with the ids that the reference gives them, whatever ids the file states: those of the vocabulary for what it has, else the
 * next after all added ones, and none below the vocabulary's size. A file that the reference wrote states the same.
 * @param ids of all pieces; what is new is put in
 * @param known the added tokens before these
 */
export function giveIds(
  tokens: readonly AddedToken[],
  ids: Map<string, number>,
  vocabSize: number,
  known: readonly AddedToken[],
): AddedToken[] {
  let last = known.reduce((most, { id }) => Math.max(most, id), -1);
  return tokens.map((token) => {
    const id = ids.get(token.content) ?? Math.max(last + 1, vocabSize);
    ids.set(token.content, id);
    last = Math.max(last, id);
    return { ...token, id };
  });
}

/**
 * A line where added tokens were given other ids than stated; none where all have theirs.
 * @param given the ids of `stated`, in its order
 */
export function renumberedNote(where: string, stated: readonly AddedToken[], given: readonly number[]): string[] {
  const moved = stated.flatMap(({ content, id }, i) => (given[i] === id ? [] : [{ content, id, now: given[i] }]));
  const [first] = moved;
  if (!first) return [];
  const more = moved.length > 1 ? ` (and of ${moved.length - 1} more)` : "";
  return [
    `${where}: the id of ${JSON.stringify(first.content)}${more}, expected ${first.now}, as the reference numbers it, got ${first.id}`,
  ];
}

/** A stretch of text; `id` is -1 for text of no added token. */
export interface Split {
  readonly id: number;
  readonly start: number;
  readonly end: number;
}

export interface TokenMatcher {
  readonly trie: Trie;
  readonly tokens: readonly AddedToken[];
  /** Code units a token begins with. */
  readonly firstUnits: ReadonlySet<number>;
}

/** A matcher for `tokens`, each looked for as `pattern(token)`; null where there are none. */
export function createMatcher(tokens: readonly AddedToken[], pattern: (token: AddedToken) => string): TokenMatcher | null {
  const trie = createTrie();
  const firstUnits = new Set<number>();
  const kept: AddedToken[] = [];
  for (const token of tokens) {
    const text = pattern(token);
    if (text === "" || exactMatch(trie, text) >= 0) continue;
    insert(trie, text, kept.length);
    firstUnits.add(text.charCodeAt(0));
    kept.push(token);
  }
  return kept.length > 0 ? { trie, tokens: kept, firstUnits } : null;
}

/** Cuts `text` at the matcher's tokens. The splits cover the text in order, without empty ones. */
export function splitAtTokens(matcher: TokenMatcher, text: string): Split[] {
  const splits: Split[] = [];
  let done = 0;
  for (let at = 0; at < text.length; ) {
    const length = matcher.firstUnits.has(text.charCodeAt(at)) ? longestMatch(matcher.trie, text, at) : 0;
    if (length === 0) {
      at++;
      continue;
    }
    const token = matcher.tokens[exactMatch(matcher.trie, text.slice(at, at + length))]!;
    let start = at;
    let end = at + length;
    at = end;
    if (token.singleWord && (endsWithWord(text, start) || startsWithWord(text, end))) continue;
    // Spaces an earlier token took along are not taken twice; a token of spaces that it took is none where it would take more.
    if (token.lstrip) {
      while (start > done && isWhiteSpace(text.charCodeAt(start - 1))) start--;
      if (Math.max(start, done) >= end) continue;
    }
    if (token.rstrip) while (end < text.length && isWhiteSpace(text.charCodeAt(end))) end++;
    if (done < start) splits.push({ id: -1, start: done, end: start });
    splits.push({ id: token.id, start: Math.max(start, done), end });
    done = end;
  }
  if (done < text.length) splits.push({ id: -1, start: done, end: text.length });
  return splits;
}
