/**
 * The layers of a run trained together, behind the last of them: integers, scales and norms, so that the distribution of each
 * next id comes as near as it can to the float model's. Read from the layers' files, written to files of their own.
 * Source of the idea: Liu et al. 2023, arXiv 2305.17888 (LLM-QAT, distillation); Chen et al. 2024, arXiv 2407.11062
 * (EfficientQAT: end-to-end training behind that of the blocks).
 */
import { type Checkpoint, readerOf } from "../../checkpoint/weights.ts";
import type { LlamaConfig } from "../../config.ts";
import type { CpuOps } from "../../model/ops.ts";
import { widenRow } from "../../ops/embedding.ts";
import { ropeTables } from "../../ops/rope.ts";
import type { DenseMatrix } from "../../tensor.ts";
import { type Calibration, embedTexts, floatLayer, type Parts, usingPart } from "../quantize-layers.ts";
import { layerFile, partWeights, writePart } from "../quantized-parts.ts";
import type { QuantizedLayer } from "../search/quantize-layer.ts";
import type { Settings } from "../search/stages.ts";
import { forward } from "./layer.ts";
import { join, type Numbers, singles } from "./numbers.ts";
import { latentLayer, paceOf, packedLayer, stream } from "./packed.ts";
import { type Crew, train } from "./train.ts";
import { type Head, type LatentLayer, makeTraining, type Pace, type Training } from "./training.ts";

/** A step of the training of the whole. */
export interface StepDone {
  /** From 1. */
  readonly step: number;
  /** In all. */
  readonly steps: number;
  /** Mean KL(float ‖ int4) of the step's texts before it, nats. */
  readonly kl: number;
}

/** What a model's training starts from. */
export interface ModelGiven extends Pick<Training, "config" | "tables" | "lessons" | "layers"> {
  readonly head: Head;
  readonly bits: number;
  readonly groupSize: number;
  /** Rows of a lesson, at most. */
  readonly longest: number;
}

/** Trains a whole model; the layers as they have become. */
export type ModelTrainer = (
  given: ModelGiven,
  pace: Pace,
  random: () => number,
  onStep: (step: number, kl: number) => void | Promise<void>,
) => Promise<readonly LatentLayer[]>;

/** On the CPU. */
export const crewTrainer =
  (crew: Crew): ModelTrainer =>
  async (given, pace, random, onStep) => {
    const training = makeTraining(crew.allocate, given);
    crew.begin(training);
    try {
      for (const { step, loss } of train(crew, training, pace, random)) await onStep(step, loss);
    } finally {
      crew.end();
    }
    return training.layers;
  };

export interface WholeRun {
  readonly checkpoint: Checkpoint;
  readonly parts: Parts;
  readonly ops: CpuOps;
  readonly trainer: ModelTrainer;
  readonly settings: Settings;
  readonly calibration: Calibration;
  /** Files that the parts have already. */
  readonly done: ReadonlySet<string>;
  readonly onTraining?: (done: StepDone) => void | Promise<void>;
}

/** Tokens of a text, at most: what attention costs grows with their square. */
const LONGEST = 512;
/** Tokens that go through a layer at a time. */
const AT_ONCE = 4096;

/** The calibration's texts, each from its own BOS where there is one, cut to at most LONGEST ids; none of a single id. */
export function shortTexts(texts: Calibration["texts"], { bosTokenId }: Pick<LlamaConfig, "bosTokenId">): number[][] {
  const short: number[][] = [];
  for (const ids of texts) {
    let text: number[] = [];
    for (const id of ids) {
      if (text.length > 0 && (id === bosTokenId || text.length === LONGEST)) {
        short.push(text);
        text = [];
      }
      text.push(id);
    }
    short.push(text);
  }
  return short.filter(({ length }) => length > 1);
}

const widened = (matrix: DenseMatrix): Float32Array => {
  const W = new Float32Array(matrix.outFeatures * matrix.inFeatures);
  for (let n = 0; n < matrix.outFeatures; n++) widenRow(W, n * matrix.inFeatures, matrix, n);
  return W;
};

/** Streams through a float layer, in place, many texts at a time. */
function moveOn(ops: CpuOps, numbers: Numbers, config: LlamaConfig, step: Parameters<typeof forward>[2], streams: Float32Array[]): void {
  const D = config.hiddenSize;
  const tables = ropeTables(config, LONGEST);
  for (let first = 0; first < streams.length; ) {
    let end = first;
    for (let rows = 0; end < streams.length && rows < AT_ONCE; end++) rows += streams[end]!.length / D;
    const some = streams.slice(first, end);
    const lengths = some.map(({ length }) => length / D);
    ops.pass(() => {
      const { out } = forward(numbers, config, step, tables, join(some), lengths);
      let at = 0;
      for (const own of some) {
        own.set(out.subarray(at, at + own.length));
        at += own.length;
      }
    });
    first = end;
  }
}

/** Trains all layers together and writes each; nothing where a run before has written them all. */
export async function trainWhole({ checkpoint, parts, ops, trainer, settings, calibration, done, onTraining }: WholeRun): Promise<void> {
  const { config, refs } = checkpoint;
  if (refs.layers.every((_, layer) => done.has(layerFile(layer, "trained")))) return;
  const numbers = singles(ops);
  const texts = shortTexts(calibration.texts, config);
  const embedded = await embedTexts(checkpoint, { texts });
  const aims = embedded.map((text) => text.slice());
  const layers: LatentLayer[] = [];
  const before: QuantizedLayer[] = [];
  for (const [layer, own] of refs.layers.entries()) {
    const float = floatLayer(await readerOf().layer(own));
    moveOn(ops, numbers, config, float, aims);
    await usingPart(parts, layer, async (part) => {
      const weights = await partWeights(part, layer, config, settings.groupSize);
      before.push({ weights, losses: part.losses, rows: part.rows });
      layers.push(latentLayer(float, weights, part.rows, settings.bits));
    });
  }
  const head = { norm: await readerOf().vector(refs.norm), weight: widened(await readerOf().dense(refs.lmHead)) };
  const lessons = embedded.map((input, i) => ({ input, aim: aims[i]! }));
  const { bits, groupSize } = settings;
  const tables = ropeTables(config, LONGEST);
  const pace = paceOf(settings, settings.modelSteps);
  const trained = await trainer(
    { config, tables, head, lessons, layers, bits, groupSize, longest: LONGEST },
    pace,
    stream(refs.layers.length),
    (step, kl) => onTraining?.({ step, steps: pace.steps, kl }),
  );
  for (const [layer, own] of trained.entries())
    await writePart(parts.writer, layer, { ...before[layer]!, weights: packedLayer(own) }, "trained");
}
