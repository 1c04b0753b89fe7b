/**
 * A float checkpoint to an AWQ one, a layer at a time: what is done lies in files of its own, one for each layer, so
 * that a run that ends early goes on where it was, to the same bytes. In memory at a time: the calibration texts'
 * residual streams, one layer's weights, the moments of its inputs.
 * Layout of the result: AutoAWQ 0.2.9 `awq/models/base.py` (save_quantized), `awq/models/_config.py`.
 */
import type { FolderWriter } from "../checkpoint/byte-sink.ts";
import type { ByteStore } from "../checkpoint/byte-source.ts";
import { copyCompanions } from "../checkpoint/companions.ts";
import { configFile } from "../checkpoint/config.ts";
import type { Rounding } from "../checkpoint/convert.ts";
import { float16Entry } from "../checkpoint/float16.ts";
import { type Folder, maxSmallBytes, openFolder } from "../checkpoint/folder.ts";
import { withMembers } from "../checkpoint/json-members.ts";
import { awqQuantizationConfig } from "../checkpoint/layouts/awq.ts";
import { type Checkpoint, openCheckpoint, readerOf } from "../checkpoint/weights.ts";
import { defaultShardBytes, writeShards, writeText } from "../checkpoint/write-shards.ts";
import type { LlamaConfig } from "../config.ts";
import { GureumError, within } from "../errors.ts";
import { type LinearName, linearParts, makeLayer, partKey } from "../model/layer.ts";
import type { CpuOps } from "../model/ops.ts";
import type { LayerWeights, TensorRef } from "../model/weights.ts";
import { embedding, widenRow } from "../ops/embedding.ts";
import { decodeUtf8 } from "../utf8.ts";
import { checkAwqShape } from "./awq-format.ts";
import { layerFile, openPart, type Part, partEntries, partWeights, writePart } from "./quantized-parts.ts";
import { type Bench, type BlockInputs, blockOutputs, type Captured, captureLayer, makeBench, runLayer } from "./search/capture.ts";
import { corrected } from "./search/correct.ts";
import {
  type BlockError,
  type FloatLayer,
  LAYER_STEPS,
  type LinearLoss,
  type QuantizedLayer,
  quantizeLayer,
} from "./search/quantize-layer.ts";
import { stages as ownStages, type Settings, type Stages } from "./search/stages.ts";

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

export interface QuantizeJob {
  readonly source: ByteStore;
  readonly parts: Parts;
  readonly target: FolderWriter;
  readonly ops: CpuOps;
  readonly settings: Settings;
  /** Stages of one's own; a run that goes on must be given the same. */
  readonly stages?: Partial<Stages>;
  readonly calibration: Calibration;
  readonly maxShardBytes?: number;
  readonly onLayer?: (done: LayerDone) => void | Promise<void>;
  /** Steps of this run's layers done, and in all. */
  readonly onStep?: (done: number, total: number) => void;
}

/** What was done and what it cost; the same for the same input, whatever happened on the way. */
export interface QuantizeReport {
  /** Which form this is. */
  readonly format: "gureum-quantize/1";
  /** The choices that were made. */
  readonly settings: Settings;
  /** What the inputs were measured on. */
  readonly calibration: { readonly name: string; readonly texts: number; readonly tokens: number };
  /** Losses of each layer, by linear. */
  readonly layers: readonly Readonly<Record<LinearName, LinearLoss>>[];
  /** Numbers outside the linears that float16 lacks, rounded to the nearest. */
  readonly rounded: Rounding;
}

export const reportFile = "gureum-quantize.json";
const jobFile = "job.json";

/** @throws GureumError "unsupported" where linears are quantized already, "shape" where groups or words do not fit */
export function checkSource({ config, refs }: Pick<Checkpoint, "config" | "refs">, { groupSize }: Pick<Settings, "groupSize">): void {
  for (const [layer, own] of refs.layers.entries())
    for (const part of linearParts) {
      const { kind, outFeatures, inFeatures } = own[part.name];
      if (kind !== "dense")
        throw new GureumError("unsupported", {
          where: partKey(layer, part),
          what: "is quantized already",
          remedy: `take the float release of the model${config.quantization ? "; for another layout use gureum convert" : ""}`,
        });
      within(partKey(layer, part), () => checkAwqShape(outFeatures, inFeatures, groupSize));
    }
}

/** Bytes of the tensors of the result: int4 words, scales and zero points of the linears, two bytes for every other number. */
export function quantizedBytes({ refs }: Pick<Checkpoint, "refs">, groupSize: number): number {
  const elements = ({ shape }: TensorRef): number => shape.reduce((product, size) => product * size, 1);
  const rest = [refs.embedTokens, refs.norm, ...(refs.lmHead === refs.embedTokens ? [] : [refs.lmHead])];
  let bytes = rest.reduce((sum, ref) => sum + 2 * elements(ref), 0);
  for (const layer of refs.layers)
    for (const { name } of linearParts) {
      const { outFeatures: N, inFeatures: K } = layer[name];
      bytes += (N * K) / 2 + (N * K * 2.5) / groupSize;
    }
  return Math.ceil(bytes);
}

/** Bytes of a file that stand for all of it, and how many there are. */
const PROBES = 64;
const PROBE_BYTES = 1024;

/** Sizes of the weight files and FNV-1a of evenly spaced parts of them. */
async function sourceMark(folder: Folder): Promise<string[]> {
  const names = [...folder.names].filter((name) => name.endsWith(".safetensors")).sort();
  const marks: string[] = [];
  for (const name of names) {
    const source = await folder.open(name);
    try {
      let hash = 0x811c9dc5;
      const bytes = new Uint8Array(Math.min(PROBE_BYTES, source.byteLength));
      for (let i = 0; i < PROBES; i++) {
        await source.readInto(Math.floor(((source.byteLength - bytes.length) * i) / (PROBES - 1)), bytes);
        for (const byte of bytes) hash = Math.imul(hash ^ byte, 0x01000193);
      }
      marks.push(`${name} ${source.byteLength} ${(hash >>> 0).toString(16)}`);
    } finally {
      await source.close();
    }
  }
  return marks;
}

/** Checks that the parts are of this very job, or says whose they are from now on. @throws GureumError "usage" */
async function claimParts({ store, writer }: Parts, job: string): Promise<Set<string>> {
  const names = new Set(
    await store.list().catch((error: unknown) => {
      if (error instanceof GureumError && error.code === "not-found") return [];
      throw error;
    }),
  );
  if (!names.has(jobFile)) {
    await writeText(writer, jobFile, job);
    return new Set();
  }
  const folder = await openFolder(store);
  const other = decodeUtf8((await folder.read(jobFile, maxSmallBytes))!).trimEnd();
  const hasLayers = [...names].some((name) => /^layer-\d+\.safetensors$/.test(name));
  if (other !== job && !hasLayers) {
    await writeText(writer, jobFile, job);
    return new Set();
  }
  if (other !== job)
    throw new GureumError("usage", {
      where: store.name,
      what: "layers of another run, with another model, calibration or settings",
      remedy: "give the same words again to go on with it, or remove the folder",
    });
  return names;
}

function floatLayer(layer: LayerWeights): FloatLayer {
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
async function embedTexts({ config, refs }: Checkpoint, { texts }: Calibration): Promise<Float32Array[]> {
  const table = await readerOf().dense(refs.embedTokens);
  return texts.map((ids, i) =>
    within(`calibration text ${i}`, () => {
      const stream = new Float32Array(ids.length * config.hiddenSize);
      embedding(stream, table, ids);
      return stream;
    }),
  );
}

function checkCalibration({ texts, name }: Calibration, { maxPositionEmbeddings }: LlamaConfig): number {
  const longest = Math.max(0, ...texts.map(({ length }) => length));
  if (longest === 0) throw new GureumError("usage", { where: name, what: "no calibration text" });
  if (longest > maxPositionEmbeddings)
    throw new GureumError("context", {
      where: name,
      what: "calibration text",
      expected: `at most ${maxPositionEmbeddings} tokens, the model's limit`,
      got: `${longest}`,
    });
  return longest;
}

/**
 * Quantizes every layer that the parts lack, then writes the checkpoint.
 * @throws GureumError "unsupported", "shape", "usage", "context", "non-finite", "range", and what reading and writing throw
 */
export async function quantizeModel(job: QuantizeJob): Promise<QuantizeReport> {
  const { parts, ops, settings, calibration } = job;
  const stages: Stages = { ...ownStages, ...job.stages };
  const folder = await openFolder(job.source);
  const checkpoint = await openCheckpoint(folder);
  try {
    const { config } = checkpoint;
    checkSource(checkpoint, settings);
    const longest = checkCalibration(calibration, config);
    const configText = decodeUtf8((await folder.read(configFile, maxSmallBytes))!);
    const identity = { format: "gureum-quantize/1", settings, calibration, source: await sourceMark(folder), config: configText };
    const done = await claimParts(parts, JSON.stringify(identity));
    await quantizeLayers({ ...job, stages, checkpoint, done, bench: makeBench(ops, config, longest) });
    return await assemble(folder, checkpoint, configText, job);
  } finally {
    await checkpoint.close();
  }
}

async function usingPart<T>({ store }: Parts, layer: number, body: (part: Part) => Promise<T>): Promise<T> {
  const part = await openPart(store, layer);
  try {
    return await body(part);
  } finally {
    await part.close();
  }
}

interface Run extends QuantizeJob {
  readonly stages: Stages;
  readonly checkpoint: Checkpoint;
  readonly done: ReadonlySet<string>;
  readonly bench: Bench;
}

async function quantizeLayers({ checkpoint, parts, settings, stages, calibration, done, bench, onLayer, onStep }: Run): Promise<void> {
  const { config, refs } = checkpoint;
  const { groupSize } = settings;
  const layers = refs.layers.length;
  const isDone = refs.layers.map((_, layer) => done.has(layerFile(layer)));
  /** From here on nothing is left to do, and no texts need to come through. */
  const end = isDone.lastIndexOf(false) + 1;
  const total = LAYER_STEPS * isDone.filter((is) => !is).length;
  let steps = 0;
  onStep?.(0, total);
  const advance = (): void => onStep?.(++steps, total);
  const streams = end > 0 ? await embedTexts(checkpoint, calibration) : [];
  const follows = settings.inputs !== "float";
  /** The texts as they come through the float layers, where these say what is aimed at. */
  const float = settings.inputs === "corrected" ? streams.map((stream) => stream.slice()) : null;
  for (const [layer, own] of refs.layers.entries()) {
    const last = layer >= end - 1;
    if (isDone[layer]) {
      await usingPart(parts, layer, async (part) => {
        if (!last) runLayer(bench, follows ? await partWeights(part, layer, config, groupSize) : await readerOf().layer(own), streams);
        if (!last && float) runLayer(bench, await readerOf().layer(own), float);
        await onLayer?.({ layer, layers, resumed: true, losses: part.losses });
      });
      continue;
    }
    const weights = await readerOf().layer(own);
    const before = follows && !last ? streams.map((stream) => stream.slice()) : null;
    const captured = captureLayer(bench, weights, streams, settings.scaleLoss === "block" ? settings.blockTexts : 0, float);
    const quantized = within(`layers.${layer}`, () => quantizeInPass(bench, weights, captured, settings, stages, advance));
    await writePart(parts.writer, layer, quantized);
    if (before) {
      for (const [i, stream] of before.entries()) streams[i]!.set(stream);
      // From the file, as a later run would.
      await usingPart(parts, layer, async (part) => runLayer(bench, await partWeights(part, layer, config, groupSize), streams));
    }
    if (float && !last) runLayer(bench, weights, float);
    await onLayer?.({ layer, layers, resumed: false, losses: quantized.losses });
  }
}

/** A layer to compute with, of f32 weights. */
const denseLayer = (layer: FloatLayer): LayerWeights =>
  makeLayer(
    ({ name }) => {
      const { W, bias, N, K } = layer[name];
      return { weight: { kind: "dense", dtype: "F32", outFeatures: N, inFeatures: K, data: W }, bias };
    },
    ({ name }) => layer[name],
  );

/** Errors of a block's output for the kept inputs, against the layer as it is. */
function blockErrorOf(bench: Bench, layer: FloatLayer, inputs: BlockInputs): BlockError {
  const expected = new Map<keyof BlockInputs, Float32Array[]>();
  return (block, weights) => {
    const right = expected.get(block) ?? blockOutputs(bench, block, denseLayer(layer), inputs);
    expected.set(block, right);
    const changed = Object.entries(weights).map(([name, matrix]) => [name, { ...matrix, bias: layer[name as LinearName].bias }]);
    const got = blockOutputs(bench, block, denseLayer({ ...layer, ...Object.fromEntries(changed) }), inputs);
    let error = 0;
    for (const [i, values] of got.entries()) for (let at = 0; at < values.length; at++) error += (values[at]! - right[i]![at]!) ** 2;
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

/** `quantization_config` as AutoAWQ writes it, and the dtype of everything that is not int4. */
function awqConfig(text: string, { groupSize }: Settings): string {
  const dtypeKey = "dtype" in (JSON.parse(text) as object) ? "dtype" : "torch_dtype";
  return withMembers(text, {
    [dtypeKey]: "float16",
    quantization_config: awqQuantizationConfig({ groupSize, symmetric: false, unconverted: [] }),
  });
}

/** Writes the checkpoint from its finished layers and what the source has beside them. */
async function assemble(folder: Folder, checkpoint: Checkpoint, configText: string, job: QuantizeJob): Promise<QuantizeReport> {
  const { refs } = checkpoint;
  const { parts, target, settings, calibration, maxShardBytes = defaultShardBytes } = job;
  const rounded: Rounding = { numbers: 0, tensors: 0 };
  const open: Part[] = [];
  try {
    for (const layer of refs.layers.keys()) open.push(await openPart(parts.store, layer));
    const entries = [
      float16Entry(refs.embedTokens, rounded),
      ...open.flatMap(partEntries),
      float16Entry(refs.norm, rounded),
      ...(refs.lmHead === refs.embedTokens ? [] : [float16Entry(refs.lmHead, rounded)]),
    ];
    await writeShards(target, entries, maxShardBytes);
    await copyCompanions(folder, target);
    await within(configFile, () => writeText(target, configFile, awqConfig(configText, settings)));
    const report: QuantizeReport = {
      format: "gureum-quantize/1",
      settings,
      calibration: {
        name: calibration.name,
        texts: calibration.texts.length,
        tokens: calibration.texts.reduce((sum, { length }) => sum + length, 0),
      },
      layers: open.map(({ losses }) => losses),
      rounded,
    };
    await writeText(target, reportFile, JSON.stringify(report, null, 1));
    return report;
  } finally {
    for (const part of open) await part.close();
  }
}
