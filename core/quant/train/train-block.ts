/**
 * A quantized layer trained by itself: what it makes of the quantized layers' stream comes as near as it can to what the
 * float layers make of theirs, in the mean squared difference.
 * Source of the idea: Chen et al. 2024, arXiv 2407.11062 (EfficientQAT, block-wise training of all parameters); Cheng et al. 2023,
 * arXiv 2309.05516 (AutoRound).
 */
import type { LlamaConfig } from "../../config.ts";
import type { CpuOps } from "../../model/ops.ts";
import type { RopeTables } from "../../ops/rope.ts";
import { singles } from "./numbers.ts";
import { type Crew, train } from "./train.ts";
import { type LatentLayer, type Lesson, makeTraining, type Pace } from "./training.ts";
import { runLessons } from "./work.ts";

/** Tokens on which a layer is judged before and after. */
const JUDGED = 8192;

/** The trained layer, or the given one where training made nothing better; mean squared differences before and after. */
export function trainBlock(
  crew: Crew,
  ops: CpuOps,
  config: LlamaConfig,
  tables: RopeTables,
  layer: LatentLayer,
  lessons: readonly Lesson[],
  pace: Pace,
  random: () => number,
): { layer: LatentLayer; before: number; after: number } {
  const D = config.hiddenSize;
  const training = makeTraining(crew.allocate, { config, tables, task: { kind: "streams", lessons }, layers: [layer] });
  const mean = lessons.reduce((sum, { input }) => sum + input.length / D, 0) / lessons.length;
  const count = Math.min(lessons.length, Math.ceil(JUDGED / mean));
  const judged = Array.from({ length: count }, (_, i) => Math.floor((i * lessons.length) / count));
  const judge = (): number => {
    let loss = 0;
    ops.pass(() => {
      for (const i of judged) loss += runLessons(singles(ops), training, [i], null);
    });
    return loss / judged.reduce((sum, i) => sum + lessons[i]!.input.length, 0);
  };
  const before = judge();
  crew.begin(training);
  try {
    for (const _ of train(crew, training, pace, random));
  } finally {
    crew.end();
  }
  const after = judge();
  return after < before ? { layer: training.layers[0]!, before, after } : { layer, before, after: before };
}
