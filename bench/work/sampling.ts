/** From logits to the next id. Sampling looks at one row of logits, however many were fed. */
import { logitsPartials } from "../../gpu/kernels/sampling/logits-partials.ts";
import { penalize } from "../../gpu/kernels/sampling/penalize.ts";
import { sampleBorder } from "../../gpu/kernels/sampling/sample-border.ts";
import { sampleGreedy } from "../../gpu/kernels/sampling/sample-greedy.ts";
import { sampleRandom } from "../../gpu/kernels/sampling/sample-random.ts";
import type { Card } from "../../gpu/pipeline/kernel.ts";
import { PARTIAL_BYTES, PARTIALS } from "../../gpu/wgsl/partial.ts";
import { encodeSampling, type LogitsShape } from "../../gpu/wgsl/sampling.ts";
import { type Work, work } from "../measured.ts";
import type { Holdings } from "../operands.ts";

/** Results that one measurement may write: the step, a buffer of its own here, moves on with each sampled token. */
const MAX_SAMPLED = 2 ** 21;
const settings = { temperature: 0.8, topK: 40, topP: 0.9, minP: 0.05, repetitionPenalty: 1.1, seed: 1n };

const holds: Holdings<string> = {
  logits: { own: "f32" },
  scores: { own: "f32" },
  seen: "words",
  border: "blank",
  sampling: encodeSampling(settings),
  step: { byteLength: 16 },
  results: { byteLength: MAX_SAMPLED * 8 },
};

/** `moved` words and `operations` an id; the partials alone where both are 0. */
const sampling = <Buffers extends string>(kernel: Card<Buffers, LogitsShape>, moved: number, operations: number): Work =>
  work(kernel, ({ vocabSize: V }, T) => {
    if (T > 1) return [];
    const counts =
      moved > 0 ? ({ bytes: moved * 4 * V, operations: operations * V, arithmetic: "f32" } as const) : { bytes: PARTIALS * PARTIAL_BYTES };
    return [{ step: `V=${V}`, shape: { V }, holds: holds as Holdings<Buffers>, ...counts }];
  });

export const works: readonly Work[] = [
  sampling(logitsPartials, 2, 3),
  sampling(penalize, 2, 1),
  sampling(sampleBorder, 1, 2),
  sampling(sampleRandom, 1, 2),
  sampling(sampleGreedy, 0, 0),
];
