/** The layers of a float checkpoint quantized one after the other, each to a file of its own. */
import type { FolderWriter } from "../checkpoint/byte-sink.ts";
import type { ByteStore } from "../checkpoint/byte-source.ts";
import { type Checkpoint, readerOf } from "../checkpoint/weights.ts";
import { GureumError, within, withinAsync } from "../errors.ts";
import { type LinearName, makeLayer } from "../model/layer.ts";
import type { LayerWeights } from "../model/weights.ts";
import { embedding, widenRow } from "../ops/embedding.ts";
import { layerFile, openPart, type Part, partWeights, writePart } from "./quantized-parts.ts";
import {
  type Bench,
  type BlockInputs,
  blockOutput,
  type Captured,
  captureLayer,
  runLayer,
  type Streams,
  shareOf,
} from "./search/capture.ts";
import { corrected } from "./search/correct.ts";
import type { LayerSearch } from "./search/layer-search.ts";
import {
  type BlockError,
  type FloatLayer,
  LAYER_STEPS,
  type LinearLoss,
  type QuantizedLayer,
  quantizeLayer,
} from "./search/quantize-layer.ts";
import type { Settings, Stages } from "./search/stages.ts";
import { trainedAlone } from "./train/packed.ts";
import type { Crew } from "./train/train.ts";

/** Texts that the weights are fitted to. */
export interface Calibration {
  /** Where they come from, for the report. */
  readonly name: string;
  /** Ids of each text, read from position 0. */
  readonly texts: readonly (readonly number[])[];
}

/** Where finished layers lie until all are done. `writer` must make each file appear whole. */
export interface Parts {
  readonly store: ByteStore;
  readonly writer: FolderWriter;
}

/** A layer that is done. */
export interface LayerDone {
  /** Its number, from 0. */
  readonly layer: number;
  /** Layers in all. */
  readonly layers: number;
  /** It was done by an earlier run. */
  readonly resumed: boolean;
  /** By linear. */
  readonly losses: Readonly<Record<LinearName, LinearLoss>>;
}

/** A float layer in f32. @throws GureumError "unsupported" where a linear is int4 */
export function floatLayer(layer: LayerWeights): FloatLayer {
  return makeLayer(
    ({ name }) => {
      const { weight, bias } = layer[name];
      if (weight.kind !== "dense") throw new GureumError("unsupported", { where: name, what: "is quantized already" });
      const { outFeatures: N, inFeatures: K } = weight;
      const W = new Float32Array(N * K);
      for (let n = 0; n < N; n++) widenRow(W, n * K, weight, n);
      return { W, bias, N, K };
    },
    ({ name }) => layer[name],
  );
}

/** The texts' embeddings, [T, D] each. */
export async function embedTexts({ config, refs }: Checkpoint, { texts }: Pick<Calibration, "texts">): Promise<Float32Array[]> {
  const table = await readerOf().dense(refs.embedTokens);
  return texts.map((ids, i) =>
    within(`calibration text ${i}`, () => {
      const stream = new Float32Array(ids.length * config.hiddenSize);
      embedding(stream, table, ids);
      return stream;
    }),
  );
}

export async function usingPart<T>({ store }: Parts, layer: number, body: (part: Part) => Promise<T>): Promise<T> {
  const part = await openPart(store, layer);
  try {
    return await body(part);
  } finally {
    await part.close();
  }
}

/** A run through the layers. */
export interface LayerRun {
  readonly checkpoint: Checkpoint;
  readonly parts: Parts;
  readonly settings: Settings;
  readonly stages: Stages;
  readonly calibration: Calibration;
  /** Files that the parts have already. */
  readonly done: ReadonlySet<string>;
  readonly bench: Bench;
  /** Who trains. */
  readonly crew: Crew;
  /** What searches instead of the stages; only for settings that `isPlainSearch`. */
  readonly search?: LayerSearch;
  readonly onLayer?: (done: LayerDone) => void | Promise<void>;
  /** Steps of this run's layers done, and in all. */
  readonly onStep?: (done: number, total: number) => void;
}

/** Quantizes every layer that the parts lack, by a search that keeps the texts. */
async function searchLayers({ checkpoint, parts, calibration, done, onLayer, onStep }: LayerRun, search: LayerSearch): Promise<void> {
  const own = checkpoint.refs.layers;
  const isDone = own.map((_, layer) => done.has(layerFile(layer)));
  const end = isDone.lastIndexOf(false) + 1;
  const total = LAYER_STEPS * isDone.filter((is) => !is).length;
  let steps = 0;
  onStep?.(0, total);
  if (end > 0) await search.begin(await embedTexts(checkpoint, calibration));
  for (const [layer, refs] of own.entries()) {
    const resumed = isDone[layer]!;
    await withinAsync(`layers.${layer}`, async () => {
      if (layer >= end) return;
      const weights = await readerOf().layer(refs);
      if (resumed) await search.move(weights);
      else await writePart(parts.writer, layer, await search.quantize(weights, () => onStep?.(++steps, total)));
    });
    await usingPart(parts, layer, async ({ losses }) => onLayer?.({ layer, layers: own.length, resumed, losses }));
  }
}

/** Quantizes every layer that the parts lack. */
export async function quantizeLayers(run: LayerRun): Promise<void> {
  if (run.search) {
    await searchLayers(run, run.search);
    return;
  }
  const { checkpoint, parts, settings, stages, calibration, done, bench, crew, onLayer, onStep } = run;
  const { config, refs } = checkpoint;
  const { groupSize, inputs, blockSteps, scaleLoss, blockTexts } = settings;
  const layers = refs.layers.length;
  const isDone = refs.layers.map((_, layer) => done.has(layerFile(layer)));
  /** From here on nothing is left to do, and no texts need to come through. */
  const end = isDone.lastIndexOf(false) + 1;
  const total = LAYER_STEPS * isDone.filter((is) => !is).length;
  let steps = 0;
  onStep?.(0, total);
  const advance = (): void => onStep?.(++steps, total);
  const embedded = end > 0 ? await embedTexts(checkpoint, calibration) : [];
  /** The texts as they come through the layers that are written, where these are read; and through the float ones. */
  const written = inputs !== "float" || blockSteps > 0 ? embedded : null;
  const float = !written || inputs === "corrected" || blockSteps > 0 ? (written ? copiesOf(embedded) : embedded) : null;
  for (const [layer, own] of refs.layers.entries()) {
    const last = layer >= end - 1;
    /** From the file, as a later run would. */
    const runWritten = (): Promise<void> =>
      usingPart(parts, layer, async (part) => runLayer(bench, await partWeights(part, layer, config, groupSize), written!));
    if (isDone[layer]) {
      if (!last && written) await runWritten();
      if (!last && float) runLayer(bench, await readerOf().layer(own), float);
      await usingPart(parts, layer, async ({ losses }) => onLayer?.({ layer, layers, resumed: true, losses }));
      continue;
    }
    const weights = await readerOf().layer(own);
    const kept = scaleLoss === "block" ? blockTexts : 0;
    // What the search reads is moved on by the float layer.
    const read = inputs === "float" ? float! : copiesOf(written!);
    const captured = captureLayer(bench, weights, read, kept, inputs === "corrected" ? float : null);
    if (inputs !== "float" && float) runLayer(bench, weights, float);
    let quantized = within(`layers.${layer}`, () => quantizeInPass(bench, weights, captured, settings, stages, advance));
    if (blockSteps > 0) {
      const lessons = written!.map((input, i) => ({ input, aim: float![i]! }));
      quantized = trainedAlone(crew, bench, floatLayer(weights), quantized, captured.grams, lessons, settings, layer);
    }
    await writePart(parts.writer, layer, quantized);
    if (!last && written) await runWritten();
    await onLayer?.({ layer, layers, resumed: false, losses: quantized.losses });
  }
}

const copiesOf = (streams: Streams): Float32Array[] => streams.map((stream) => stream.slice());

/** A layer to compute with, of f32 weights. */
const denseLayer = (layer: FloatLayer): LayerWeights =>
  makeLayer(
    ({ name }) => {
      const { W, bias, N, K } = layer[name];
      return { weight: { kind: "dense", dtype: "F32", outFeatures: N, inFeatures: K, data: W }, bias };
    },
    ({ name }) => layer[name],
  );

/** Errors of a block's output for a share of the kept inputs, against the layer as it is. */
function blockErrorOf(bench: Bench, layer: FloatLayer, inputs: BlockInputs): BlockError {
  const expected = new Map<Float32Array, Float32Array>();
  const whole = denseLayer(layer);
  return (block, weights, share) => {
    const changed = Object.entries(weights).map(([name, weight]) => [name, { weight, bias: layer[name as LinearName].bias }]);
    const other = { ...whole, ...Object.fromEntries(changed) };
    let error = 0;
    for (const x of shareOf(inputs[block], share)) {
      const right = expected.get(x) ?? blockOutput(bench, block, whole, x);
      expected.set(x, right);
      const got = blockOutput(bench, block, other, x);
      for (let at = 0; at < got.length; at++) error += (got[at]! - right[at]!) ** 2;
    }
    return error;
  };
}

/** One layer, within a pass, where other threads help. */
function quantizeInPass(
  bench: Bench,
  weights: LayerWeights,
  captured: Captured,
  settings: Settings,
  stages: Stages,
  onStep: () => void,
): QuantizedLayer {
  const { ops } = bench;
  const { grams, inputs, drifts } = captured;
  let quantized: QuantizedLayer | undefined;
  ops.pass(() => {
    const float = floatLayer(weights);
    const aimed = drifts
      ? makeLayer(
          ({ name, input }) => ({ ...float[name], W: corrected(ops, float[name], grams[input], drifts[input], settings.damping) }),
          ({ name }) => float[name],
        )
      : float;
    quantized = quantizeLayer(ops, aimed, grams, blockErrorOf(bench, aimed, inputs), settings, stages, onStep);
  });
  return quantized!;
}
