/**
 * The front door's quantizer: a float model folder to an AWQ one beside it. Unfinished work lies in a folder of its
 * own, TO.unfinished; the result gets its name in one step, when all of it is written.
 */

import { host } from "#host";
import { type Made, makeModel } from "./backend.ts";
import { builtinItems, type CalibrationItem, calibrationOf, givenItems, readCalibrationFile } from "./calibration.ts";
import { openChatOf } from "./chat.ts";
import { checkCallback, checkOptionsObject, checkText, listening, type OptionNames, shown, wrongType } from "./core/arguments.ts";
import { type ByteSource, readBytes } from "./core/checkpoint/byte-source.ts";
import { openFolder } from "./core/checkpoint/folder.ts";
import { type Checkpoint, openCheckpoint } from "./core/checkpoint/weights.ts";
import { GureumError } from "./core/errors.ts";
import { claim } from "./core/host/lock.ts";
import { type CpuOps, referenceOps } from "./core/model/ops.ts";
import type { LayerDone } from "./core/quant/quantize-layers.ts";
import { checkSource, linearWeights, type QuantizeReport, quantizedBytes, quantizeModel } from "./core/quant/quantize-model.ts";
import { chooseSettings, TRAINED_UNASKED } from "./core/quant/search/choose.ts";
import { checkChoices, checkStages } from "./core/quant/search/settings.ts";
import { type MethodName, methods, type Settings, type Stages } from "./core/quant/search/stages.ts";
import type { Written } from "./core/quant/train/own-text.ts";
import { aloneCrew } from "./core/quant/train/train.ts";
import type { StepDone } from "./core/quant/train/whole.ts";
import { withoutEnd } from "./core/text.ts";
import { adapterOfCpu } from "./gpu/device/adapters.ts";
import type { DeviceSearch } from "./gpu/search/layer-search.ts";
import { gpuSearch } from "./gpu-search.ts";
import { checkGpuTraining, gpuTrainer } from "./gpu-training.ts";
import type { HubOptions } from "./hub/model.ts";
import { type ModelPlace, storeOf } from "./place.ts";
import { gpuOps } from "./products.ts";
import { threadCrew } from "./training-crew.ts";
import { openWasmCpu } from "./wasm/cpu.ts";

/** How a model is quantized, and where it is written. */
export interface QuantizeOptions extends Pick<HubOptions, "onDownload" | "onNote"> {
  /** The folder to write; it must not be there, or be empty. */
  readonly to: string;
  /** "rtn": plain rounding. "awq", the default: AutoAWQ's choices. "best": with error compensation, then trained as a whole where the model is small. */
  readonly method?: MethodName;
  /** 4, the default; 2 and 3 leave values of 4-bit words unused, to measure what fewer bits would cost. */
  readonly bits?: Settings["bits"];
  /** Inputs that share a scale; default: 128. */
  readonly groupSize?: number;
  /** Single choices on top of the method's. */
  readonly settings?: Partial<Omit<Settings, "bits" | "groupSize">>;
  /** Own functions in place of stages (core/quant/search/stages.ts). */
  readonly stages?: Partial<Stages>;
  /** "builtin", the default, a file (.jsonl, .json, text), or texts, conversations and ids themselves. */
  readonly calibration?: string | readonly CalibrationItem[];
  /** Blocks of calibration text, at most; default: 128. */
  readonly samples?: number;
  /** Tokens of a block; default: 512. */
  readonly tokens?: number;
  /** Bytes of a shard, at most; default: 5 GB. */
  readonly maxShardBytes?: number;
  /** "auto", the default: WebAssembly where the host runs it. The bits are the same. */
  readonly ops?: "auto" | "javascript";
  /** Threads of WebAssembly; default: physical cores. */
  readonly threads?: number;
  /**
   * Where "rtn" and "awq" search, and where large products of other methods are computed: "cpu", the default, "webgpu"
   * (in f32: other bits than the CPU's), or "auto": on a GPU where there is one.
   */
  readonly backend?: "auto" | "cpu" | "webgpu";
  /** Which of several GPUs: with one, "auto" means "webgpu". */
  readonly adapter?: string | number;
  /** After each layer, in order; what it throws ends the run, which can be taken up again. */
  readonly onLayer?: (done: LayerDone) => void | Promise<void>;
  /** Steps of this run's layers done, and in all; called while the layer is computed. */
  readonly onStep?: (done: number, total: number) => void;
  /** After each step in which all layers are trained together. */
  readonly onTraining?: (done: StepDone) => void | Promise<void>;
  /** While the float model writes text for that. */
  readonly onWriting?: (written: Written) => void | Promise<void>;
}

const { checkFreeSpace, directoryStore, filesIn, folderState, makeFolder, moveFolder, removeFolder, writeFolder } = host.files;

const optionNames: OptionNames<QuantizeOptions> = {
  to: true,
  method: true,
  bits: true,
  groupSize: true,
  settings: true,
  stages: true,
  calibration: true,
  samples: true,
  tokens: true,
  maxShardBytes: true,
  ops: true,
  threads: true,
  onLayer: true,
  onStep: true,
  onTraining: true,
  onWriting: true,
  backend: true,
  adapter: true,
  onDownload: true,
  onNote: true,
};

/** Bytes compared at a time. */
const PART = 4 * 2 ** 20;

/** Where unfinished work lies. */
export const unfinishedFolder = (to: string): string => `${withoutEnd(to, "/\\")}.unfinished`;

/** @throws GureumError "usage" for anything that cannot be meant, before a file is read */
function checkQuantizeOptions(options: QuantizeOptions): void {
  const where = "quantize";
  if (options === undefined) throw wrongType(where, "options", "an object", options);
  checkOptionsObject(where, options, optionNames);
  checkText(where, "to", options.to);
  const words = {
    method: Object.keys(methods),
    bits: [4, 3, 2],
    ops: ["auto", "javascript"],
    backend: ["auto", "cpu", "webgpu"],
  };
  for (const [what, known] of Object.entries(words)) {
    const value = options[what as keyof typeof words];
    if (value !== undefined && !(known as readonly unknown[]).includes(value))
      throw new GureumError("usage", { where, what, expected: known.join(", "), got: shown(value) });
  }
  for (const what of ["groupSize", "samples", "tokens", "threads", "maxShardBytes"] as const) {
    const value = options[what];
    if (value !== undefined && !(Number.isSafeInteger(value) && value >= 1))
      throw new GureumError("usage", { where, what, expected: "a whole number from 1", got: shown(value) });
  }
  for (const what of ["onLayer", "onStep", "onTraining", "onWriting", "onDownload", "onNote"] as const)
    checkCallback(where, what, options[what]);
  if (options.adapter !== undefined && typeof options.adapter !== "number") checkText(where, "adapter", options.adapter);
  if (options.adapter !== undefined && (options.backend ?? "cpu") === "cpu") throw adapterOfCpu(where, 'use WebGPU: backend "webgpu"');
  checkChoices(where, options.settings);
  checkStages(where, options.stages);
}

const inTheWay = (to: string): GureumError =>
  new GureumError("usage", { where: to, what: "the folder is not empty", remedy: "give a new one, or remove it" });

/** Whether two folders have files of the same names and bytes. */
async function sameFiles(a: string, b: string): Promise<boolean> {
  const [one, other] = [directoryStore(a), directoryStore(b)];
  const names = (await one.list()).sort();
  if (names.join("\n") !== (await other.list()).sort().join("\n")) return false;
  for (const name of names) {
    const sources = [await one.open(name), await other.open(name)];
    try {
      const [first, second] = sources as [ByteSource, ByteSource];
      if (first.byteLength !== second.byteLength) return false;
      for (let at = 0; at < first.byteLength; at += PART) {
        const length = Math.min(PART, first.byteLength - at);
        const [x, y] = [await readBytes(first, at, length), await readBytes(second, at, length)];
        if (x.some((byte, i) => byte !== y[i])) return false;
      }
    } finally {
      for (const source of sources) await source.close();
    }
  }
  return true;
}

/** What computes large products, or searches: a device, where the options ask for one and there is one. */
interface Device {
  readonly ops: CpuOps | null;
  readonly search: DeviceSearch | null;
}

/**
 * A device for the whole search where it can do that, for products alone where not; none, with "auto", for a model that is to be trained and that
 * it cannot train. @throws GureumError as openDevice, "unsupported"
 */
async function deviceFor(
  cpu: CpuOps,
  checkpoint: Pick<Checkpoint, "config" | "refs">,
  settings: Settings,
  longest: number,
  { backend: wanted = "cpu", adapter, stages }: Pick<QuantizeOptions, "backend" | "adapter" | "stages">,
): Promise<Device> {
  const none = { ops: null, search: null };
  const backend = wanted === "auto" && adapter !== undefined ? "webgpu" : wanted;
  if (backend === "cpu") return none;
  try {
    if (settings.modelSteps > 0) checkGpuTraining(checkpoint);
    const search = stages ? null : await gpuSearch(checkpoint, settings, longest, backend === "auto", adapter);
    if (search) return { ops: null, search };
    const ops = gpuOps(cpu, host.threads(), adapter);
    if (backend === "webgpu" || !ops.software) return { ops, search: null };
    ops.close();
  } catch (error) {
    if (backend === "webgpu" || !(error instanceof GureumError)) throw error;
  }
  return none;
}

/**
 * Quantizes a model folder. The same call again goes on with a run that was ended.
 * @throws GureumError "usage", "unsupported", "shape", "non-finite", "range", "disk-full", "io"
 */
export async function quantize(place: ModelPlace, options: QuantizeOptions): Promise<QuantizeReport> {
  checkQuantizeOptions(options);
  return listening(options, ["onStep", "onTraining", "onWriting", "onDownload", "onNote"], (heard) => run(place, heard));
}

async function run(place: ModelPlace, options: QuantizeOptions): Promise<QuantizeReport> {
  const {
    to,
    method = "awq",
    bits = 4,
    groupSize = 128,
    calibration = "builtin",
    maxShardBytes,
    threads,
    onLayer,
    onStep,
    onTraining,
    onWriting,
  } = options;
  const { samples = 128, tokens = 512 } = options;
  const source = await openFolder(await storeOf(place, options));

  const work = unfinishedFolder(to);
  const isThere = (await folderState(to)) === "filled";
  const unfinished = await folderState(work);
  if (isThere && unfinished !== "filled") throw inTheWay(to);

  const checkpoint = await openCheckpoint(source);
  await checkpoint.close();
  const weights = linearWeights(checkpoint.refs);
  const chosen = chooseSettings(method, options.settings ?? {}, weights);
  const settings: Settings = { bits, groupSize, ...chosen.settings };
  checkSource(checkpoint, settings);
  if (chosen.leftOut)
    options.onNote?.(
      `training through the whole model is left out, since its linears have ${weights} weights, more than ${TRAINED_UNASKED}; ` +
        `modelSteps=${methods[method].modelSteps} and ownTokens=${methods[method].ownTokens} ask for it`,
    );
  // The layers' files and the result lie on the disk together for a while.
  if (unfinished !== "filled") await checkFreeSpace(to, 2 * quantizedBytes(checkpoint, groupSize));
  const limit = Math.min(tokens, checkpoint.config.maxPositionEmbeddings);
  const items =
    calibration === "builtin"
      ? builtinItems()
      : typeof calibration === "string"
        ? await readCalibrationFile(calibration)
        : givenItems(calibration);
  const chat = await openChatOf(source).catch((error: unknown) => {
    if (error instanceof GureumError) return error;
    throw error;
  });
  const name = typeof calibration === "string" ? calibration : "given";
  const texts = calibrationOf(name, items, chat, { samples, tokens: limit });

  const wasm =
    options.ops === "javascript" ? null : await openWasmCpu({ host: host.threads(), ...(threads === undefined ? {} : { threads }) });
  const cpu = wasm && !("refusal" in wasm) ? wasm : referenceOps;
  const longest = Math.max(0, ...texts.texts.map(({ length }) => length));
  const device = await deviceFor(cpu, checkpoint, settings, longest, options);
  const { search } = device;
  const gpu = device.ops;
  const ops = gpu ?? cpu;
  const result = `${work}/result`;
  let release = async (): Promise<void> => {};
  try {
    release = await claim(work);
    if (!isThere && (await folderState(to)) === "filled") throw inTheWay(to);
    await makeFolder(work);
    await removeFolder(result);
    const parts = { store: directoryStore(work), writer: filesIn(work) };
    const what = { source, parts, ops, settings, calibration: texts, products: gpu || search ? "webgpu" : "cpu" } as const;
    const count = threads ?? host.threads().cores;
    const { adapter } = options;
    const onCpu = { ops: options.ops ?? "auto", ...(threads === undefined ? {} : { threads }) };
    const openFloat = ({ config, refs }: Checkpoint): Promise<Made> =>
      gpu || search
        ? makeModel(config, refs, { backend: "webgpu", ...(adapter === undefined ? {} : { adapter }) })
        : makeModel(config, refs, { backend: "cpu", ...onCpu });
    // The device's thread serves one caller; a layer too large for slices has nothing to share out.
    const crew = gpu || count === 1 || options.ops === "javascript" ? aloneCrew(ops) : threadCrew(host.threads(), count);
    const own = {
      crew,
      ...(gpu || search ? { trainer: gpuTrainer(options.adapter) } : {}),
      openFloat,
      ...(search ? { search } : {}),
      ...(options.stages ? { stages: options.stages } : {}),
      ...(maxShardBytes === undefined ? {} : { maxShardBytes }),
      ...(onLayer ? { onLayer } : {}),
      ...(onStep ? { onStep } : {}),
      ...(onTraining ? { onTraining } : {}),
      ...(onWriting ? { onWriting } : {}),
    };
    const report = await writeFolder(result, (target) => quantizeModel({ ...what, ...own, target }));
    if (!isThere) await moveFolder(result, to);
    // A run that was ended between that step and the next finds its result in place.
    else if (!(await sameFiles(result, to))) throw inTheWay(to);
    await removeFolder(work);
    return report;
  } finally {
    await release();
    search?.close();
    ops.dispose();
  }
}
