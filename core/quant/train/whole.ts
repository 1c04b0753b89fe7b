/**
 * The layers of a run trained together, behind the last of them: integers, scales and norms, so that the distribution of each
 * next id comes as near as it can to the float model's. Read from the layers' files, written to files of their own.
 * Source of the idea: Liu et al. 2023, arXiv 2305.17888 (LLM-QAT, distillation); Chen et al. 2024, arXiv 2407.11062
 * (EfficientQAT: end-to-end training behind that of the blocks).
 */
import { type Checkpoint, readerOf, readWeights } from "../../checkpoint/weights.ts";
import type { LlamaConfig } from "../../config.ts";
import { cpuModel } from "../../model/cpu.ts";
import type { CpuOps } from "../../model/ops.ts";
import { widenRow } from "../../ops/embedding.ts";
import { ropeTables } from "../../ops/rope.ts";
import type { DenseMatrix } from "../../tensor.ts";
import { type Calibration, floatLayer, type Parts, usingPart } from "../quantize-layers.ts";
import { layerFile, partWeights, writePart } from "../quantized-parts.ts";
import type { FloatLayer, QuantizedLayer } from "../search/quantize-layer.ts";
import type { Settings } from "../search/stages.ts";
import { type Opened, ownTexts, type Written } from "./own-text.ts";
import { latentLayer, paceOf, packedLayer, stream } from "./packed.ts";
import { type Crew, train } from "./train.ts";
import { type LatentLayer, makeTraining, type Pace, type TextTask, type Training } from "./training.ts";

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
export interface ModelGiven extends Pick<Training, "config" | "tables" | "layers"> {
  readonly task: TextTask;
  readonly bits: number;
  readonly groupSize: number;
  /** Ids of a text, at most. */
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
  /** Opens the float model, with `ownTokens`; on the CPU by the ops where it is absent. */
  readonly openFloat?: (checkpoint: Checkpoint) => Promise<Opened>;
  readonly settings: Settings;
  readonly calibration: Calibration;
  /** Files that the parts have already. */
  readonly done: ReadonlySet<string>;
  readonly onTraining?: (done: StepDone) => void | Promise<void>;
  readonly onWriting?: (written: Written) => void | Promise<void>;
}

/** Tokens of a text, at most: what attention costs grows with their square. */
const LONGEST = 512;

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

/** The calibration's texts, and behind them those that the float model writes. */
async function textsOf(run: WholeRun): Promise<number[][]> {
  const { checkpoint, ops, settings, calibration, openFloat = (of) => openCpu(of, ops) } = run;
  const { config } = checkpoint;
  const texts = shortTexts(calibration.texts, config);
  if (settings.ownTokens === 0) return texts;
  const own = await ownTexts({ ...run, config, texts, wanted: settings.ownTokens, longest: LONGEST, open: () => openFloat(checkpoint) });
  return [...texts, ...own];
}

async function openCpu({ config, refs }: Checkpoint, ops: CpuOps): Promise<Opened> {
  return { model: cpuModel(config, await readWeights(refs), ops), dispose() {} };
}

/** Trains all layers together and writes each; nothing where a run before has written them all. */
export async function trainWhole(run: WholeRun): Promise<void> {
  const { checkpoint, parts, trainer, settings, done, onTraining } = run;
  const { config, refs } = checkpoint;
  if (refs.layers.every((_, layer) => done.has(layerFile(layer, "trained")))) return;
  const texts = await textsOf(run);
  const float: FloatLayer[] = [];
  const layers: LatentLayer[] = [];
  const before: QuantizedLayer[] = [];
  for (const [layer, own] of refs.layers.entries()) {
    const weights = floatLayer(await readerOf().layer(own));
    float.push(weights);
    await usingPart(parts, layer, async (part) => {
      const written = await partWeights(part, layer, config, settings.groupSize);
      before.push({ weights: written, losses: part.losses, rows: part.rows });
      layers.push(latentLayer(weights, written, part.rows, settings.bits));
    });
  }
  const embeddings = widened(await readerOf().dense(refs.embedTokens));
  const weight = refs.lmHead === refs.embedTokens ? embeddings : widened(await readerOf().dense(refs.lmHead));
  const head = { norm: await readerOf().vector(refs.norm), weight };
  const { bits, groupSize } = settings;
  const tables = ropeTables(config, LONGEST);
  const pace = paceOf(settings, settings.modelSteps);
  const trained = await trainer(
    { config, tables, task: { kind: "texts", texts, embeddings, float, head }, layers, bits, groupSize, longest: LONGEST },
    pace,
    stream(refs.layers.length),
    (step, kl) => onTraining?.({ step, steps: pace.steps, kl }),
  );
  for (const [layer, own] of trained.entries())
    await writePart(parts.writer, layer, { ...before[layer]!, weights: packedLayer(own) }, "trained");
}
