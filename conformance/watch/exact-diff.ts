/**
 * Two models in `exact` on the same ids: every word of every step is the same, or the step that holds the first other word is wrong, given that all
 * before it are equal. Runs that nobody watches (fused, as a prompt, token by token) are held to the same logits.
 */
import { bitsOf } from "../../core/exact/numbers.ts";
import type { Model } from "../../core/model/engine.ts";

/** The first word in which two sides differ. */
export interface FirstDifference {
  /** Name of the tap point; "logits, as a prompt" and "logits, token by token" of runs that nobody watched. */
  readonly name: string;
  readonly index: number;
  readonly a: number;
  readonly b: number;
  /** Words of the step that differ, of how many. */
  readonly differ: number;
  readonly words: number;
}

export interface ExactDiff {
  /** Tap points compared, and words in all of them. */
  readonly steps: number;
  readonly words: number;
  readonly first: FirstDifference | null;
}

function compareWords(name: string, a: Float32Array, b: Float32Array): FirstDifference | null {
  let first = -1;
  let differ = 0;
  for (let i = 0; i < a.length; i++) {
    if (Object.is(a[i], b[i])) continue;
    if (first < 0) first = i;
    differ++;
  }
  return first < 0 ? null : { name, index: first, a: bitsOf(a[first]!), b: bitsOf(b[first]!), differ, words: a.length };
}

/** Ids fed so far, over both sides and all ways, and in all. */
export type OnProgress = (done: number, total: number) => void | Promise<void>;

/** Both sides on `ids`, watched, then not. @throws GureumError as the models' sessions */
export async function diffExact(a: Model, b: Model, ids: readonly number[], onProgress: OnProgress = () => {}): Promise<ExactDiff> {
  // Every id is fed three times on each side: watched, as a prompt, alone.
  const total = 6 * ids.length;
  let done = 0;
  const advance = async (n: number): Promise<void> => {
    done += n;
    await onProgress(done, total);
  };
  await advance(0);
  const V = a.config.vocabSize;
  const watched = await Promise.all(
    [a, b].map(async (model) => {
      const session = model.createSession(ids.length);
      const { trace } = await session.forward(ids, { trace: ["embeddings", "layers.*.*", "finalNorm", "logits"], logits: "all" });
      session.dispose();
      await advance(ids.length);
      return trace;
    }),
  );
  const [left, right] = watched as [(typeof watched)[0], (typeof watched)[0]];
  let words = 0;
  for (const [name, { data }] of left) {
    words += data.length;
    const first = compareWords(name, data, right.get(name)!.data);
    if (first) return { steps: left.size, words, first };
  }
  const expected = left.get("logits")!.data;
  for (const model of [a, b]) {
    const session = model.createSession(ids.length);
    const prompt = (await session.forward(ids)).logits;
    await advance(ids.length);
    session.truncate(0);
    const single: Float32Array[] = [];
    for (const id of ids) {
      single.push((await session.forward([id])).logits);
      await advance(1);
    }
    session.dispose();
    const last = expected.subarray(expected.length - V);
    const asPrompt = compareWords(`logits, as a prompt, of side ${model === a ? "a" : "b"}`, last, prompt);
    if (asPrompt) return { steps: left.size, words, first: asPrompt };
    for (const [t, logits] of single.entries()) {
      const name = `logits of position ${t}, token by token, of side ${model === a ? "a" : "b"}`;
      const one = compareWords(name, expected.subarray(t * V, (t + 1) * V), logits);
      if (one) return { steps: left.size, words, first: one };
    }
  }
  return { steps: left.size, words, first: null };
}
