/** A prefix tree over UTF-16 code units: finds which of many strings start at a place in a text. Node 0 is the root. */
import { createPairMap, getPair, type PairMap, setPair } from "./pair-map.ts";

export interface Trie {
  /** (node, code unit) to node */
  readonly edges: PairMap;
  /** Value of the string that ends in a node; -1: none does. */
  values: Int32Array;
  nodes: number;
}

export function createTrie(): Trie {
  return { edges: createPairMap(1024), values: new Int32Array(1024).fill(-1), nodes: 1 };
}

/** Gives `text` the value `value` (not negative). An empty text is ignored. */
export function insert(trie: Trie, text: string, value: number): void {
  let node = 0;
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i);
    let child = getPair(trie.edges, node, unit);
    if (child < 0) {
      child = trie.nodes++;
      if (child >= trie.values.length) {
        const grown = new Int32Array(trie.values.length * 2).fill(-1);
        grown.set(trie.values);
        trie.values = grown;
      }
      setPair(trie.edges, node, unit, child);
    }
    node = child;
  }
  if (node !== 0) trie.values[node] = value;
}

/** The node reached from `node` by one code unit; -1 where no string goes on like that. */
export function step(trie: Trie, node: number, unit: number): number {
  return getPair(trie.edges, node, unit);
}

/** Length of the longest string that starts at `at`; 0 where none does. */
export function longestMatch(trie: Trie, text: string, at: number): number {
  let node = 0;
  let longest = 0;
  for (let i = at; i < text.length; i++) {
    node = getPair(trie.edges, node, text.charCodeAt(i));
    if (node < 0) break;
    if (trie.values[node]! >= 0) longest = i + 1 - at;
  }
  return longest;
}

/** The value of exactly `text`; -1 where it has none. */
export function exactMatch(trie: Trie, text: string): number {
  let node = 0;
  for (let i = 0; i < text.length && node >= 0; i++) node = getPair(trie.edges, node, text.charCodeAt(i));
  return node < 0 ? -1 : trie.values[node]!;
}
