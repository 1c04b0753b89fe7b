/**
 * The unigram model: the segmentation with the highest sum of log probabilities, by Viterbi's algorithm.
 * A character no piece covers alone costs the lowest score minus 10. Linear in the text, times the longest piece.
 * Sources: google/sentencepiece `src/unigram_model.cc` (`EncodeOptimized`); huggingface/tokenizers
 * `models/unigram/model.rs`. No sampling, no n-best.
 */
import { GureumError } from "../core/errors.ts";
import type { Trie } from "./trie.ts";
import { step } from "./trie.ts";

const unknownPenalty = 10;

export interface UnigramModel {
  /** The pieces that may be chosen, with their ids. */
  readonly trie: Trie;
  /** Score of a piece, by id; log probabilities. */
  readonly scores: Float64Array;
  /** Lowest score of a piece: an unknown character costs 10 less. */
  readonly minScore: number;
  /** -1: an uncovered character is an error */
  readonly unkId: number;
  /** sentencepiece keeps sums of scores in float32, Hugging Face in float64. */
  readonly float32: boolean;
}

/** A text cut into pieces: piece i is `ids[i]`, from `ends[i - 1]` to `ends[i]`. */
export interface Segmentation {
  readonly ids: Int32Array;
  readonly ends: Int32Array;
}

/**
 * The best segmentation; of two equally good ones the one whose last piece begins earlier.
 * @throws GureumError "range" for a character without a piece where the model has no unknown piece.
 */
export function viterbi(model: UnigramModel, text: string): Segmentation {
  const { trie, scores, unkId } = model;
  const unknownScore = model.float32 ? Math.fround(model.minScore - unknownPenalty) : model.minScore - unknownPenalty;
  const best = new Float64Array(text.length + 1);
  const from = new Int32Array(text.length + 1).fill(-1);
  const chosen = new Int32Array(text.length + 1);
  const offer = (start: number, end: number, id: number, score: number): void => {
    const sum = score + best[start]!;
    if (from[end] !== -1 && !(sum > best[end]!)) return;
    best[end] = model.float32 ? Math.fround(sum) : sum;
    from[end] = start;
    chosen[end] = id;
  };
  for (let start = 0; start < text.length; ) {
    const width = text.codePointAt(start)! > 0xffff ? 2 : 1;
    let covered = false;
    let node = 0;
    for (let end = start + 1; end <= text.length; end++) {
      node = step(trie, node, text.charCodeAt(end - 1));
      if (node < 0) break;
      const id = trie.values[node]!;
      if (id < 0) continue;
      offer(start, end, id, scores[id]!);
      if (end - start === width) covered = true;
    }
    if (!covered) {
      if (unkId < 0)
        throw new GureumError("range", {
          what: "a character is not in the vocabulary, which has no unknown token",
          got: JSON.stringify(text.slice(start, start + width)),
        });
      offer(start, start + width, unkId, unknownScore);
    }
    start += width;
  }
  let count = 0;
  for (let end = text.length; end > 0; end = from[end]!) count++;
  const ids = new Int32Array(count);
  const ends = new Int32Array(count);
  for (let end = text.length; end > 0; end = from[end]!) {
    ids[--count] = chosen[end]!;
    ends[count] = end;
  }
  return { ids, ends };
}
