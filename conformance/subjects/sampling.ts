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

/** Results of a batch before this token: nothing but its own slot may change. */
const results = (): Uint32Array => new Uint32Array(2 * (SAMPLED_BEFORE + 3)).fill(0xdeadbeef);

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

/** The scores, penalized where the options say so, and their partial results. */
export function ranked(
  io: Io,
  values: Float32Array,
  options: SamplingOptions,
  seen: Uint32Array,
): Record<"logits" | "sampling" | "partials" | "scores", BufferArg | Uint8Array> {
  const V = values.length;
  const logits = io.input("logits", values);
  const sampling = encodeSampling(options);
  const partials = io.scratch("partials", PARTIALS * PARTIAL_BYTES);
  const scores = options.repetitionPenalty === 1 ? logits : io.scratch("scores", V * 4);
  if (scores !== logits) io.run(penalize, { V }, { logits, sampling, scores, seen });
  io.run(logitsPartials, { V }, { logits, scores, partials });
  return { logits, sampling, partials, scores };
}

/** The token that the kernels draw, the greedy ones at temperature 0, as the kit of sampling reads it. */
export async function drawToken(rig: Rig, c: SampleCase, out: Float32Array): Promise<void> {
  const V = c.logits.length;
  const bits = seenBits(c.seen, V);
  const step = Uint32Array.of(9, c.position - 1, SAMPLED_BEFORE, 0);
  const ids = Uint32Array.of(77, 78);
  const read = await runKernel(rig, 1, 0, (io) => {
    const given = { ...ranked(io, c.logits, c.options, bits), step, ids, seen: bits, results: results() };
    if (c.options.temperature === 0) return void io.run(sampleGreedy, { V }, given);
    const border = io.scratch("border", BORDER_BYTES);
    io.run(sampleBorder, { V }, { ...given, border });
    io.run(sampleRandom, { V }, { ...given, border });
  });
  const [newStep, newIds, newSeen, newResults] = [read.step!, read.ids!, read.seen!, read.results!];
  const slot = GUARD + 2 * SAMPLED_BEFORE;
  const id = newResults[slot]!;
  const word = id >> 5;
  const marked = ((newSeen[GUARD + word] ?? 0) >>> (id & 31)) & 1;
  const otherBits = (((newSeen[GUARD + word] ?? 0) ^ (bits[word] ?? 0)) & ~(1 << (id & 31))) !== 0 ? 1 : 0;
  const changed =
    strays(newStep, step, [0, 1, 2]) +
    strays(newIds, ids, [0]) +
    strays(newSeen, bits, [word]) +
    strays(newResults, results(), [2 * SAMPLED_BEFORE, 2 * SAMPLED_BEFORE + 1]) +
    otherBits;
  const logprob = new Float32Array(newResults.buffer)[slot + 1]!;
  out.set([id, logprob, newStep[GUARD]!, newStep[GUARD + 1]!, newStep[GUARD + 2]!, newIds[GUARD]!, marked, changed]);
}
