/** The sampling kernels as subjects: each alone where its result is an array, and the chains that draw a token. */

import type { SamplingOptions } from "../../core/model/engine.ts";
import { greedy } from "../../core/sample/sampler.ts";
import { recordLogitsPartials } from "../../gpu/kernels/sampling/logits-partials.ts";
import { recordPenalize } from "../../gpu/kernels/sampling/penalize.ts";
import { recordSampleBorder } from "../../gpu/kernels/sampling/sample-border.ts";
import { recordSampleGreedy } from "../../gpu/kernels/sampling/sample-greedy.ts";
import { recordSampleRandom } from "../../gpu/kernels/sampling/sample-random.ts";
import { PARTIALS } from "../../gpu/wgsl/partial.ts";
import { BORDER_BYTES, encodeSampling } from "../../gpu/wgsl/sampling.ts";
import type { CandidatesCase } from "../cases/candidates.ts";
import { GUARD, JUNK } from "../compare.ts";
import type { AnySubject } from "../kit.ts";
import { DRAWS, type DrawsCase } from "../ops/draws.ts";
import { SAMPLED_BEFORE, type SampleCase } from "../ops/sample.ts";
import { hand, type Io, intoOut, type Rig, runKernel } from "./rig.ts";

const seenBits = (seen: readonly number[], V: number): Uint32Array => {
  const bits = new Uint32Array(Math.ceil(V / 32));
  for (const id of seen) bits[id >> 5]! |= 1 << (id & 31);
  return bits;
};

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

/** The scores, penalized where the options say so, and their partial results: what every chain begins with. */
function ranked(io: Io, values: Float32Array, options: SamplingOptions, seen: Uint32Array) {
  const V = values.length;
  const logits = io.input("logits", values);
  const sampling = io.uniform("sampling", encodeSampling(options));
  const partials = io.scratch("partials", PARTIALS * 16);
  const scores = options.repetitionPenalty === 1 ? logits : io.scratch("scores", V * 4);
  if (scores !== logits) recordPenalize(io.recorder, { logits, sampling, scores, seen: io.input("seen", seen) }, { V });
  recordLogitsPartials(io.recorder, { logits, scores, partials }, { V });
  return { logits, sampling, partials, scores };
}

export function samplingSubjects(rig: Rig): readonly AnySubject[] {
  const draw = async (c: SampleCase, out: Float32Array): Promise<void> => {
    const V = c.logits.length;
    const bits = seenBits(c.seen, V);
    const step = Uint32Array.of(9, c.position - 1, SAMPLED_BEFORE, 0);
    const ids = Uint32Array.of(77, 78);
    const read = await runKernel(rig, 1, 0, (io) => {
      const buffers = {
        ...ranked(io, c.logits, c.options, bits),
        step: io.output("step", step.length, step),
        ids: io.output("ids", ids.length, ids),
        seen: io.output("seen", bits.length, bits),
        results: io.output("results", results().length, results()),
      };
      if (c.options.temperature === 0) recordSampleGreedy(io.recorder, buffers);
      else {
        const cut = { ...buffers, border: io.scratch("border", BORDER_BYTES) };
        recordSampleBorder(io.recorder, cut, { V });
        recordSampleRandom(io.recorder, cut, { V });
      }
    });
    const [newStep, newIds, newSeen, newResults] = read as [Uint32Array, Uint32Array, Uint32Array, Uint32Array];
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
  };
  /** What the border leaves, read as core/sample/sampler.ts would: ids above it, and so many of those on it. */
  const cut = async ({ logits, options }: CandidatesCase, out: Float32Array): Promise<void> => {
    const V = logits.length;
    const [border] = await runKernel(rig, 1, 0, (io) => {
      recordSampleBorder(
        io.recorder,
        { ...ranked(io, logits, options, seenBits([], V)), border: io.output("border", BORDER_BYTES / 4) },
        { V },
      );
    });
    const [key, allowed] = border!.subarray(GUARD);
    const word = new DataView(new ArrayBuffer(4));
    const keyOf = (z: number): number => {
      word.setFloat32(0, z === 0 ? 0 : z);
      const bits = word.getUint32(0);
      return (bits >= 0x80000000 ? ~bits : bits | 0x80000000) >>> 0;
    };
    let rank = 0;
    const inverse = Math.fround(1 / options.temperature);
    const stays = Float32Array.from(logits, (l) => {
      const mine = keyOf(Math.fround(l * inverse));
      return mine > key! || (mine === key && rank++ < allowed!) ? 1 : 0;
    });
    hand(out, stays, [border!]);
  };

  const draws = async ({ logits, options, position }: DrawsCase, out: Float32Array): Promise<void> => {
    const V = logits.length;
    const read = await runKernel(rig, 1, 0, (io) => {
      const cut = { ...ranked(io, logits, options, seenBits([], V)), border: io.scratch("border", BORDER_BYTES) };
      recordSampleBorder(io.recorder, cut, { V });
      const buffers = {
        ...cut,
        results: io.output("results", 2 * DRAWS),
        step: io.output("step", 4, Uint32Array.of(1, position - 1, 0, 0)),
        ids: io.output("ids", 2, Uint32Array.of(7, 8)),
        seen: io.output("seen", Math.ceil(V / 32), seenBits([], V)),
      };
      for (let i = 0; i < DRAWS; i++) recordSampleRandom(io.recorder, buffers, { V });
    });
    const ids = Array.from({ length: DRAWS }, (_, i) => read[0]![GUARD + 2 * i]!);
    hand(out, ids, read);
  };

  const both = { op: "sample", backend: "webgpu", arithmetic: "f32", run: draw } as const;
  return [
    {
      op: "penalize",
      backend: "webgpu",
      variant: "penalize",
      arithmetic: "f32",
      kernels: ["penalize"],
      run: (c, out) =>
        intoOut(rig, out, 1, 0, (io) => {
          const V = c.logits.length;
          const buffers = {
            logits: io.input("logits", c.logits),
            seen: io.input("seen", seenBits(c.seen, V)),
            sampling: io.uniform("sampling", encodeSampling({ ...greedy, repetitionPenalty: c.penalty })),
            scores: io.output("scores", V),
          };
          recordPenalize(io.recorder, buffers, { V });
        }),
    },
    {
      ...both,
      variant: "sample-greedy",
      kernels: ["logits-partials", "penalize", "sample-greedy"],
      adapt: (c) => ({ ...c, options: { ...c.options, temperature: 0 } }),
    },
    {
      ...both,
      variant: "sample-random",
      kernels: ["logits-partials", "penalize", "sample-border", "sample-random"],
      adapt: (c) => ({ ...c, options: { ...c.options, temperature: c.options.temperature || 0.8 } }),
    },
    {
      op: "candidates",
      backend: "webgpu",
      variant: "sample-border",
      arithmetic: "f32",
      kernels: ["logits-partials", "sample-border"],
      run: cut,
    },
    {
      ...{ op: "draws", backend: "webgpu", variant: "sample-random", arithmetic: "f32", run: draws },
      kernels: ["logits-partials", "sample-border", "sample-random"],
    },
  ];
}
