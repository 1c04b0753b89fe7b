/** What the subjects of sampling share: the kernels that every chain begins with, and the token that one ends with. */
import type { SamplingOptions } from "../../core/model/engine.ts";
import { logitsPartials } from "../../gpu/kernels/sampling/logits-partials.ts";
import { penalize } from "../../gpu/kernels/sampling/penalize.ts";
import { sampleBorder } from "../../gpu/kernels/sampling/sample-border.ts";
import { sampleGreedy } from "../../gpu/kernels/sampling/sample-greedy.ts";
import { sampleRandom } from "../../gpu/kernels/sampling/sample-random.ts";
import type { BufferArg } from "../../gpu/pipeline/recorder.ts";
import { PARTIAL_BYTES, PARTIALS } from "../../gpu/wgsl/partial.ts";
import { BORDER_BYTES, encodeSampling, seenBytes } from "../../gpu/wgsl/sampling.ts";
import { GUARD, JUNK } from "../compare.ts";
import { SAMPLED_BEFORE, type SampleCase } from "../ops/sample.ts";
import { type Io, type Rig, runKernel } from "./rig.ts";

export function seenBits(seen: readonly number[], V: number): Uint32Array {
  const bits = new Uint32Array(seenBytes(V) / 4);
  for (const id of seen) bits[id >> 5]! |= 1 << (id & 31);
  return bits;
}

/** Results of a batch before this token: nothing but the two rows' own slots may change. */
const results = (): Uint32Array => new Uint32Array(2 * ROWS * (SAMPLED_BEFORE + 3)).fill(0xdeadbeef);

/** How many words of `after`, guard bands included, are neither as before nor in `free`. */
function strays(after: Uint32Array, before: Uint32Array, free: readonly number[]): number {
  let count = 0;
  for (let i = 0; i < after.length; i++) {
    const at = i - GUARD;
    const old = at >= 0 && at < before.length ? before[at] : JUNK;
    if (after[i] !== old && !free.includes(at)) count++;
  }
  return count;
}

/**
 * The kernels draw for rows of several sequences: a case is the second of two, and the first is another sequence's, with other logits, options
 * and ids seen. What of it reaches the case, or is changed by it, shows.
 */
export const ROWS = 2;
/** The row before: as many logits, the largest of them far above the case's, no id of which is seen. */
const decoyLogits = (values: Float32Array): Float32Array => values.map((_, i) => (i === values.length - 1 ? 1e4 : (i % 7) - 3));
const decoyOptions: SamplingOptions = { temperature: 0.5, topK: 0, topP: 1, minP: 0.5, repetitionPenalty: 3, seed: 99n };

/** The options of both rows. */
export const twoOptions = (options: SamplingOptions): Uint8Array => encodeSampling(decoyOptions, options);

/** A row's numbers behind those of the other row. */
export function behind<A extends Float32Array | Uint32Array>(other: A, own: A): A {
  const both = new (own.constructor as new (length: number) => A)(other.length + own.length);
  both.set(other);
  both.set(own, other.length);
  return both;
}
export const twoRows = (values: Float32Array): Float32Array => behind(decoyLogits(values), values);
/** Bits of what either row has seen; the row before: nothing. */
export const twoSeen = (seen: readonly number[], V: number): Uint32Array => behind(seenBits([], V), seenBits(seen, V));

/** The scores, penalized where the options say so, and their partial results. */
export function ranked(
  io: Io,
  values: Float32Array,
  options: SamplingOptions,
  seen: Uint32Array,
): Record<"logits" | "sampling" | "partials" | "scores", BufferArg | Uint8Array> {
  const V = values.length;
  const logits = io.input("logits", twoRows(values));
  const sampling = twoOptions(options);
  const partials = io.scratch("partials", ROWS * PARTIALS * PARTIAL_BYTES);
  const scores = options.repetitionPenalty === 1 ? logits : io.scratch("scores", ROWS * V * 4);
  if (scores !== logits) io.run(penalize, { V }, { logits, sampling, scores, seen });
  io.run(logitsPartials, { V }, { logits, scores, partials });
  return { logits, sampling, partials, scores };
}

/** The token that the kernels draw, the greedy ones at temperature 0, as the kit of sampling reads it. */
export async function drawToken(rig: Rig, c: SampleCase, out: Float32Array): Promise<void> {
  const V = c.logits.length;
  const bits = twoSeen(c.seen, V);
  // The row before has sampled one token less.
  const step = Uint32Array.of(9, 40, SAMPLED_BEFORE - 1, 6, 9, c.position - 1, SAMPLED_BEFORE, 5);
  const ids = Uint32Array.of(77, 78, 79);
  const read = await runKernel(rig, ROWS, 0, (io) => {
    const given = { ...ranked(io, c.logits, c.options, bits), step, ids, seen: bits, results: results() };
    if (c.options.temperature === 0) return void io.run(sampleGreedy, { V }, given);
    const border = io.scratch("border", ROWS * BORDER_BYTES);
    io.run(sampleBorder, { V }, { ...given, border });
    io.run(sampleRandom, { V }, { ...given, border });
  });
  const [newStep, newIds, newSeen, newResults] = [read.step!, read.ids!, read.seen!, read.results!];
  const own = 2 * (SAMPLED_BEFORE * ROWS + 1);
  const others = 2 * (SAMPLED_BEFORE - 1) * ROWS;
  const id = newResults[GUARD + own]!;
  const words = seenBytes(V) / 4;
  const word = words + (id >> 5);
  const marked = ((newSeen[GUARD + word] ?? 0) >>> (id & 31)) & 1;
  const otherBits = (((newSeen[GUARD + word] ?? 0) ^ (bits[word] ?? 0)) & ~(1 << (id & 31))) !== 0 ? 1 : 0;
  // The row before draws its last id, far above the others, and moves on by itself.
  const decoy = [newResults[GUARD + others], newIds[GUARD], newStep[GUARD + 1], newStep[GUARD + 2]];
  const wrongDecoy = decoy.filter((value, i) => value !== [V - 1, V - 1, 41, SAMPLED_BEFORE][i]).length;
  const changed =
    strays(newStep, step, [0, 1, 2, 4, 5, 6]) +
    strays(newIds, ids, [0, 1]) +
    strays(newSeen, bits, [(V - 1) >> 5, word]) +
    strays(newResults, results(), [others, others + 1, own, own + 1]) +
    wrongDecoy +
    otherBits;
  const logprob = new Float32Array(newResults.buffer)[GUARD + own + 1]!;
  const row = GUARD + 4;
  out.set([id, logprob, newStep[row]!, newStep[row + 1]!, newStep[row + 2]!, newIds[GUARD + 1]!, marked, changed]);
}
