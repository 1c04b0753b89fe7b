/**
 * A float checkpoint to an AWQ one, a layer at a time: what is done lies in files of its own, one for each layer, so
 * that a run that ends early goes on where it was, to the same bytes. In memory at a time: the calibration texts'
 * residual streams, one layer's weights, the moments of its inputs.
 * Layout of the result: AutoAWQ 0.2.9 `awq/models/base.py` (save_quantized), `awq/models/_config.py`.
 */
import { listening } from "../arguments.ts";
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
import { type LinearName, linearParts, partKey } from "../model/layer.ts";
import type { CpuOps } from "../model/ops.ts";
import type { TensorRef } from "../model/weights.ts";
import { decodeUtf8 } from "../utf8.ts";
import { checkAwqShape } from "./awq-format.ts";
import { type Calibration, type LayerDone, type Parts, quantizeLayers } from "./quantize-layers.ts";
import { openPart, type Part, partEntries } from "./quantized-parts.ts";
import { makeBench } from "./search/capture.ts";
import type { LayerSearch } from "./search/layer-search.ts";
import type { LinearLoss } from "./search/quantize-layer.ts";
import { stagesWith } from "./search/settings.ts";
import type { Settings, Stages } from "./search/stages.ts";
import type { Opened, Written } from "./train/own-text.ts";
import { aloneCrew, type Crew } from "./train/train.ts";
import { crewTrainer, type ModelTrainer, type StepDone, shortTexts, trainWhole } from "./train/whole.ts";

export interface QuantizeJob {
  readonly source: ByteStore;
  readonly parts: Parts;
  readonly target: FolderWriter;
  readonly ops: CpuOps;
  readonly settings: Settings;
  /** Stages of one's own; a run that goes on must be given the same. */
  readonly stages?: Partial<Stages>;
  readonly calibration: Calibration;
  /** What computes the ops' products; a run goes on with the same. */
  readonly products?: "cpu" | "webgpu";
  /** Who trains, where the settings ask for it; this thread alone where it is absent. The bytes are the same. */
  readonly crew?: Crew;
  /** What searches instead of the stages, where the settings ask for no more than it does; part of `products`. */
  readonly search?: LayerSearch;
  /** What trains all layers together, if not the crew; part of `products`. */
  readonly trainer?: ModelTrainer;
  /** Opens the float model that writes with `ownTokens`; part of `products`. On the CPU, by the ops, where it is absent. */
  readonly openFloat?: (checkpoint: Checkpoint) => Promise<Opened>;
  readonly maxShardBytes?: number;
  readonly onLayer?: (done: LayerDone) => void | Promise<void>;
  /** Steps of this run's layers done, and in all. */
  readonly onStep?: (done: number, total: number) => void;
  /** With `modelSteps`: behind each of them. */
  readonly onTraining?: (done: StepDone) => void | Promise<void>;
  /** With `ownTokens`: while they are written. */
  readonly onWriting?: (written: Written) => void | Promise<void>;
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

/** How many weights the linears of a model have. */
export const linearWeights = ({ layers }: Checkpoint["refs"]): number =>
  layers.reduce((sum, layer) => sum + linearParts.reduce((own, { name }) => own + layer[name].outFeatures * layer[name].inFeatures, 0), 0);

/** Weights of the linears, at most, of a model that is trained as a whole: each takes some 40 bytes. */
const TRAINED_WEIGHTS = 2 ** 30;

/** @throws GureumError "limit" where all of a model would have to be in memory that no machine is asked for, "usage" where there is no text */
function checkTraining(
  { config, refs }: Pick<Checkpoint, "config" | "refs">,
  { modelSteps }: Settings,
  { texts, name }: Calibration,
): void {
  const weights = linearWeights(refs);
  if (modelSteps > 0 && weights > TRAINED_WEIGHTS)
    throw new GureumError("limit", {
      where: "quantize",
      what: "model to be trained as a whole",
      expected: `at most ${TRAINED_WEIGHTS} weights in its linears`,
      got: `${weights}`,
      remedy: "leave it out: --set modelSteps=0",
    });
  if (modelSteps > 0 && shortTexts(texts, config).length === 0)
    throw new GureumError("usage", { where: name, what: "no calibration text of two tokens and more to be trained on" });
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

/** What of a job differs from the job that a text tells of; all of it where the text is no JSON. */
function differing(text: string, identity: Readonly<Record<string, unknown>>): string[] {
  let other: Readonly<Record<string, unknown>> = {};
  try {
    other = Object(JSON.parse(text));
  } catch {
    // Whatever it is, it tells of no job.
  }
  return Object.keys(identity).filter((key) => JSON.stringify(other[key]) !== JSON.stringify(identity[key]));
}

/** Checks that the parts are of this very job, or says whose they are from now on. @throws GureumError "usage" */
async function claimParts({ store, writer }: Parts, identity: Readonly<Record<string, unknown>>): Promise<Set<string>> {
  const job = JSON.stringify(identity);
  const names = new Set(
    await store.list().catch((error: unknown) => {
      if (error instanceof GureumError && error.code === "not-found") return [];
      throw error;
    }),
  );
  if (!names.has(jobFile)) {
    // The folder is removed when all is done: nobody else's files may lie there. What a killed run was writing begins with a dot.
    const foreign = [...names].find((name) => !name.startsWith("."));
    if (foreign !== undefined)
      throw new GureumError("usage", {
        where: store.name,
        what: `${JSON.stringify(foreign)} is of no run, and the folder is removed at the end`,
        remedy: "move what lies there, or give another name",
      });
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
      what: `layers of another run, with other ${differing(other, identity).join(", ")}`,
      remedy: "give the same words again to go on with it, or remove the folder",
    });
  return names;
}

function checkCalibration({ texts, name }: Calibration, { maxPositionEmbeddings }: LlamaConfig): number {
  const longest = texts.reduce((most, { length }) => Math.max(most, length), 0);
  if (longest === 0) throw new GureumError("usage", { where: name, what: "no calibration text", remedy: "give a file that holds some" });
  if (longest > maxPositionEmbeddings)
    throw new GureumError("context", {
      where: name,
      what: "calibration text",
      expected: `at most ${maxPositionEmbeddings} tokens, the model's limit`,
      got: `${longest}`,
      remedy: "ask for fewer tokens of a text",
    });
  return longest;
}

/**
 * Quantizes every layer that the parts lack, then writes the checkpoint.
 * @throws GureumError "unsupported", "shape", "usage", "context", "non-finite", "range", and what reading and writing throw
 */
export async function quantizeModel(job: QuantizeJob): Promise<QuantizeReport> {
  const { parts, ops, settings, calibration } = job;
  const stages = stagesWith(job.stages);
  const folder = await openFolder(job.source);
  const checkpoint = await openCheckpoint(folder);
  try {
    const { config, refs } = checkpoint;
    checkSource(checkpoint, settings);
    const longest = checkCalibration(calibration, config);
    checkTraining(checkpoint, settings, calibration);
    // What is written last is looked at first: NaN would else be named when all layers are done.
    for (const ref of new Set([refs.embedTokens, refs.norm, refs.lmHead])) await readerOf().dense(ref);
    const configText = decodeUtf8((await folder.read(configFile, maxSmallBytes))!);
    const identity = {
      format: "gureum-quantize/1",
      backend: job.products ?? "cpu",
      settings,
      calibration: calibration.texts,
      weights: await sourceMark(folder),
      config: configText,
    };
    const done = await claimParts(parts, identity);
    const crew = job.crew ?? aloneCrew(ops);
    const bench = makeBench(ops, config, longest);
    await listening(job, ["onStep"], (heard) => quantizeLayers({ ...heard, stages, checkpoint, done, crew, bench }));
    if (settings.modelSteps > 0) await trainWhole({ ...job, checkpoint, done, trainer: job.trainer ?? crewTrainer(crew) });
    return await assemble(folder, checkpoint, configText, job);
  } finally {
    await checkpoint.close();
  }
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
    const stage = settings.modelSteps > 0 ? "trained" : "layer";
    for (const layer of refs.layers.keys()) open.push(await openPart(parts.store, layer, stage));
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
