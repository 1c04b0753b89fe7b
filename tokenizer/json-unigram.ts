/**
 * The unigram model of a tokenizer.json.
 * Source: huggingface/tokenizers `models/unigram/model.rs`.
 */
import { GureumError } from "../core/errors.ts";
import type { SegmentText } from "./bpe.ts";
import { asArray, asFlag, asId, asString, type JsonObject, wrongType } from "./json.ts";
import { byteIdsOf, bytesOf, checkPiece, type JsonModel } from "./json-model.ts";
import { createTrie, insert } from "./trie.ts";
import { viterbi } from "./unigram.ts";

/**
 * A word to ids by the best sum of scores.
 * @throws GureumError "format" for a broken model.
 */
export function parseUnigram(model: JsonObject, special: ReadonlySet<string>): JsonModel {
  const entries = asArray(model.vocab, "vocab");
  const vocab = new Map<string, number>();
  const scores = new Float64Array(entries.length);
  const trie = createTrie();
  let minScore = Number.POSITIVE_INFINITY;
  for (const [id, entry] of entries.entries()) {
    const [piece, score] = asArray(entry, `vocab > ${id}`);
    const text = checkPiece(asString(piece, `vocab > ${id}`));
    if (typeof score !== "number" || !Number.isFinite(score)) throw wrongType(`vocab > ${id}`, "a finite score", score);
    scores[id] = score;
    minScore = Math.min(minScore, score);
    vocab.set(text, id);
    // tokenizers would match special tokens here; a user's text must not be able to spell one.
    if (!special.has(text)) insert(trie, text, id);
  }
  const unkId = model.unk_id === null || model.unk_id === undefined ? -1 : asId(model.unk_id, "unk_id");
  if (unkId >= entries.length)
    throw new GureumError("format", {
      where: "unk_id",
      what: "not in the vocabulary",
      expected: `below ${entries.length}`,
      got: `${unkId}`,
    });
  const byteFallback = asFlag(model.byte_fallback, false, "byte_fallback");
  const byteIds = byteIdsOf(vocab);
  const unigram = { trie, scores, minScore, unkId, float32: false };
  const segment: SegmentText = (text, ids) => {
    const best = viterbi(unigram, text);
    let start = 0;
    for (let i = 0; i < best.ids.length; i++) {
      let end = best.ends[i]!;
      if (best.ids[i] !== unkId) ids.push(best.ids[i]!);
      else {
        while (i + 1 < best.ids.length && best.ids[i + 1] === unkId) end = best.ends[++i]!;
        const run = text.slice(start, end);
        const known = special.has(run) ? undefined : vocab.get(run);
        const bytes = known === undefined && byteFallback ? bytesOf(run, byteIds) : null;
        if (bytes) for (const id of bytes) ids.push(id);
        else ids.push(known ?? unkId);
      }
      start = end;
    }
  };
  return { vocab, segment, unkId: unkId < 0 ? null : unkId, byteFallback };
}
