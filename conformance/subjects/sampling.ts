/** What the subjects of sampling share: the kernels that every chain begins with, and the token that one ends with. */
import type { SamplingOptions } from "../../core/model/engine.ts";
import { logitsPartials } from "../../gpu/kernels/sampling/logits-partials.ts";
import { penalize } from "../../gpu/kernels/sampling/penalize.ts";
import { sampleBorder } from "../../gpu/kernels/sampling/sample-border.ts";
import { sampleGreedy } from "../../gpu/kernels/sampling/sample-greedy.ts";
import { sampleRandom } from "../../gpu/kernels/sampling/sample-random.ts";
import type { BufferArg } from "../../gpu/pipeline/recorder.ts";
import { PARTIAL_BYTES, PARTIALS } from "../../gpu/wgsl/partial.ts";
import { MOST_ROWS } from "../../gpu/wgsl/rows.ts";
import { BORDER_BYTES, encodeSampling, seenBytes } from "../../gpu/wgsl/sampling.ts";
import { GUARD, JUNK } from "../compare.ts";
import { SAMPLED_BEFORE, type SampleCase } from "../ops/sample.ts";
import { type Io, type Rig, runKernel } from "./rig.ts";

export function seenBits(seen: readonly number[], V: number): Uint32Array {
  const bits = new Uint32Array(seenBytes(V) / 4);
  for (const id of seen) bits[id >> 5]! |= 1 << (id & 31);
  return bits;
}

/** Results of a batch before this token: nothing but the rows' own slots may change. */
const results = (rows: number): Uint32Array => new Uint32Array(2 * rows * (SAMPLED_BEFORE + 3)).fill(0xdeadbeef);

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
 * The kernels draw for rows of several sequences: a case is the second of two, or where it is short the last of as many
 * as a call may have, and the rows before are other sequences', with other logits, options and ids seen. What of them
 * reaches the case, or is changed by it, shows.
 */
export const rowsFor = (V: number): number => (V <= SHORT ? MOST_ROWS : 2);
const SHORT = 64;
/** A row before: as many logits, the largest of them far above the case's, no id of which is seen. */
const decoyLogits = (values: Float32Array): Float32Array => values.map((_, i) => (i === values.length - 1 ? 1e4 : (i % 7) - 3));
const decoyOptions: SamplingOptions = { temperature: 0.5, topK: 0, topP: 1, minP: 0.5, repetitionPenalty: 3, seed: 99n };

/** What each row before has, and behind it the case's own. */
const others = <A>(rows: number, other: A): A[] => Array.from({ length: rows - 1 }, () => other);
/** The options of all rows. */
export const allOptions = (options: SamplingOptions, V: number): Uint8Array => encodeSampling(...others(rowsFor(V), decoyOptions), options);
/** A row's words behind those of the others. */
export const behind = (rows: number, other: readonly number[], own: readonly number[]): Uint32Array =>
  Uint32Array.from([...others(rows, other).flat(), ...own]);
export function allLogits(values: Float32Array): Float32Array {
  const all = new Float32Array(rowsFor(values.length) * values.length);
  for (let at = 0; at < all.length; at += values.length) all.set(decoyLogits(values), at);
  all.set(values, all.length - values.length);
  return all;
}
/** Bits of what each row has seen; the rows before: nothing. */
export function allSeen(seen: readonly number[], V: number): Uint32Array {
  const words = seenBytes(V) / 4;
  const all = new Uint32Array(rowsFor(V) * words);
  all.set(seenBits(seen, V), all.length - words);
  return all;
}

/** The scores, penalized where the options say so, and their partial results. */
export function ranked(
  io: Io,
  values: Float32Array,
  options: SamplingOptions,
  seen: Uint32Array,
): Record<"logits" | "sampling" | "partials" | "scores", BufferArg | Uint8Array> {
  const V = values.length;
  const rows = rowsFor(V);
  const logits = io.input("logits", allLogits(values));
  const sampling = allOptions(options, V);
  const partials = io.scratch("partials", rows * PARTIALS * PARTIAL_BYTES);
  const scores = options.repetitionPenalty === 1 ? logits : io.scratch("scores", rows * V * 4);
  if (scores !== logits) io.run(penalize, { V }, { logits, sampling, scores, seen });
  io.run(logitsPartials, { V }, { logits, scores, partials });
  return { logits, sampling, partials, scores };
}

/** The token that the kernels draw, the greedy ones at temperature 0, as the kit of sampling reads it. */
export async function drawToken(rig: Rig, c: SampleCase, out: Float32Array): Promise<void> {
  const V = c.logits.length;
  const rows = rowsFor(V);
  const last = rows - 1;
  const before = Array.from({ length: last }, (_, row) => row);
  const bits = allSeen(c.seen, V);
  // The rows before have sampled one token less.
  const step = behind(rows, [9, 40, SAMPLED_BEFORE - 1, 6], [9, c.position - 1, SAMPLED_BEFORE, 5]);
  const ids = behind(rows, [77], [78, 79]);
  const read = await runKernel(rig, rows, 0, (io) => {
    const given = { ...ranked(io, c.logits, c.options, bits), step, ids, seen: bits, results: results(rows) };
    if (c.options.temperature === 0) return void io.run(sampleGreedy, { V }, given);
    const border = io.scratch("border", rows * BORDER_BYTES);
    io.run(sampleBorder, { V }, { ...given, border });
    io.run(sampleRandom, { V }, { ...given, border });
  });
  const [newStep, newIds, newSeen, newResults] = [read.step!, read.ids!, read.seen!, read.results!];
  const own = 2 * (SAMPLED_BEFORE * rows + last);
  const others = before.map((row) => 2 * ((SAMPLED_BEFORE - 1) * rows + row));
  const id = newResults[GUARD + own]!;
  const words = seenBytes(V) / 4;
  const word = last * words + (id >> 5);
  const marked = ((newSeen[GUARD + word] ?? 0) >>> (id & 31)) & 1;
  const otherBits = (((newSeen[GUARD + word] ?? 0) ^ (bits[word] ?? 0)) & ~(1 << (id & 31))) !== 0 ? 1 : 0;
  // A row before draws its last id, far above the others, and moves on by itself.
  const wrongDecoy = before.flatMap((row) => {
    const [expected, got] = [
      [V - 1, V - 1, 41, SAMPLED_BEFORE],
      [newResults[GUARD + others[row]!], newIds[GUARD + row], newStep[GUARD + 4 * row + 1], newStep[GUARD + 4 * row + 2]],
    ];
    return got.filter((value, i) => value !== expected[i]);
  }).length;
  const moved = [...before, last].flatMap((row) => [4 * row, 4 * row + 1, 4 * row + 2]);
  const changed =
    strays(newStep, step, moved) +
    strays(newIds, ids, [...before, last]) +
    strays(newSeen, bits, [...before.map((row) => row * words + ((V - 1) >> 5)), word]) +
    strays(
      newResults,
      results(rows),
      [...others, own].flatMap((at) => [at, at + 1]),
    ) +
    wrongDecoy +
    otherBits;
  const logprob = new Float32Array(newResults.buffer)[GUARD + own + 1]!;
  const row = GUARD + 4 * last;
  out.set([id, logprob, newStep[row]!, newStep[row + 1]!, newStep[row + 2]!, newIds[GUARD + last]!, marked, changed]);
}
