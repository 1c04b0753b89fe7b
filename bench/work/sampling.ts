/** From logits to the next id. */
import { recordLogitsPartials } from "../../gpu/kernels/sampling/logits-partials.ts";
import { recordPenalize } from "../../gpu/kernels/sampling/penalize.ts";
import { recordSampleBorder } from "../../gpu/kernels/sampling/sample-border.ts";
import { recordSampleGreedy } from "../../gpu/kernels/sampling/sample-greedy.ts";
import { recordSampleRandom } from "../../gpu/kernels/sampling/sample-random.ts";
import type { Recorder } from "../../gpu/pipeline/recorder.ts";
import { PARTIALS } from "../../gpu/wgsl/partial.ts";
import { BORDER_BYTES, encodeSampling } from "../../gpu/wgsl/sampling.ts";
import type { Operands } from "../operands.ts";
import type { Work } from "./work.ts";

/** Sampling looks at one row of logits, however many were fed. */
function sampling(
  kernel: string,
  moved: number,
  operations: number,
  recordIt: (recorder: Recorder, V: number, operands: ReturnType<typeof samplingOperands>) => void,
): Work {
  return {
    kernel,
    task: kernel,
    cases: ({ vocabSize: V }, T) =>
      T > 1
        ? []
        : [
            {
              step: `V=${V}`,
              start: 0,
              counts: { bytes: moved * 4 * V, operations: operations * V, arithmetic: "f32" },
              record: (recorder, o) => recordIt(recorder, V, samplingOperands(o, V)),
            },
          ],
  };
}

/** Results that one measurement may write: `cursor` stands for the step, which each sampled token moves on. */
const MAX_SAMPLED = 2 ** 21;

function samplingOperands(o: Operands, V: number) {
  const settings = { temperature: 0.8, topK: 40, topP: 0.9, minP: 0.05, repetitionPenalty: 1.1, seed: 1n };
  return {
    logits: o.own("logits", V * 4, "f32"),
    scores: o.own("scores", V * 4, "f32"),
    seen: o.shared("seen", Math.ceil(V / 32) * 4, "words"),
    partials: o.shared("partials", PARTIALS * 16, "f32"),
    border: o.shared("border", BORDER_BYTES, "blank"),
    sampling: o.given("sampling", encodeSampling(settings), "uniform"),
    step: o.shared("cursor", 16, "blank"),
    ids: o.shared("ids", 16, "blank"),
    results: o.shared("results", MAX_SAMPLED * 8, "blank"),
  };
}

export const samplingWorks: readonly Work[] = [
  sampling("logits-partials", 2, 3, (recorder, V, { logits, scores, partials }) =>
    recordLogitsPartials(recorder, { logits, scores, partials }, { V }),
  ),
  sampling("penalize", 2, 1, (recorder, V, { logits, seen, sampling, scores }) =>
    recordPenalize(recorder, { logits, seen, sampling, scores }, { V }),
  ),
  sampling("sample-border", 1, 2, (recorder, V, { scores, partials, sampling, border }) =>
    recordSampleBorder(recorder, { scores, partials, sampling, border }, { V }),
  ),
  sampling("sample-random", 1, 2, (recorder, V, { seen, ...buffers }) => recordSampleRandom(recorder, { ...buffers, seen }, { V })),
  {
    kernel: "sample-greedy",
    task: "sample-greedy",
    cases: ({ vocabSize: V }, T) =>
      T > 1
        ? []
        : [
            {
              step: `V=${V}`,
              start: 0,
              counts: { bytes: PARTIALS * 16 },
              record(recorder, o) {
                const { logits, partials, step, ids, seen, results } = samplingOperands(o, V);
                recordSampleGreedy(recorder, { logits, partials, step, ids, seen, results });
              },
            },
          ],
  },
];
