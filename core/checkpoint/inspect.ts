/**
 * What a model folder or a single safetensors file holds, whether it can run, and every problem found, from headers and
 * config files alone: of tensors only the order and the zero points of the first layer's int4 linears are read. The text form is for people; the record is for `--json`.
 */

import type { LlamaConfig, Quantization } from "../config.ts";
import type { DType } from "../dtype.ts";
import { type ErrorCode, GureumError } from "../errors.ts";
import { linearParts } from "../model/layer.ts";
import type { LlamaWeightRefs } from "../model/weights.ts";
import { alignColumns, formatBytes } from "../text.ts";
import type { ByteSource, ByteStore } from "./byte-source.ts";
import { readConfig } from "./config.ts";
import { openFolder } from "./folder.ts";

import { countInt4, planWeights } from "./plan.ts";
import { openSafetensors } from "./safetensors.ts";
import { indexFile, openTensors, type ShardTensor, type TensorTable } from "./shards.ts";
import { listRefs } from "./weights.ts";

/** Something odd or wrong about a folder. */
export interface Problem {
  /** error: the folder cannot be loaded. warning: it loads, but something is odd. */
  readonly severity: "error" | "warning";
  /** The kind of fault. */
  readonly code: ErrorCode;
  /** One line. */
  readonly message: string;
}

/**
 * Bytes that one backend holds at one context length: weights, and keys and values of every position; activations are
 * extra.
 */
export interface MemoryNeed {
  /** Which backend. */
  readonly backend: "cpu" | "webgpu";
  /** Positions. */
  readonly contextLength: number;
  /** How keys and values are kept. */
  readonly cacheDType: "F32" | "F16";
  /** Of the weights. */
  readonly weightBytes: number;
  /** Of keys and values. */
  readonly cacheBytes: number;
  /** Both together. */
  readonly totalBytes: number;
}

/** What a folder or file holds. */
export interface InspectReport {
  /** As it was given. */
  readonly name: string;
  /** null where there is no readable config. */
  readonly config: LlamaConfig | null;
  /** "none", or "AWQ int4, …" */
  readonly quantization: string | null;
  /** Those that were read. */
  readonly files: readonly { readonly name: string; readonly byteLength: number; readonly tensors: number }[];
  /** Of the files. */
  readonly bytesOnDisk: number;
  /** Of the tensors. */
  readonly tensorBytes: number;
  /** In the order of the files. */
  readonly tensors: readonly {
    readonly name: string;
    readonly dtype: DType;
    readonly shape: readonly number[];
    readonly byteLength: number;
    readonly file: string;
  }[];
  /** By backend and context length. */
  readonly memory: readonly MemoryNeed[];
  /** What was found wrong or odd. */
  readonly problems: readonly Problem[];
}

/** Problems kept; a folder with more is broken beyond listing. */
const maxProblems = 200;

/**
 * Bytes to run: weights as stored, norms and biases widened to f32, plus keys and values of `contextLength` positions:
 * 2 · layers · key-value heads · head dim · bytes of an element each.
 */
export function bytesToRun(
  config: LlamaConfig,
  refs: LlamaWeightRefs,
  backend: "cpu" | "webgpu",
  contextLength: number,
  cacheDType: "F32" | "F16",
): MemoryNeed {
  let weightBytes = 0;
  for (const { byteLength, shape } of listRefs(refs)) weightBytes += shape.length === 1 ? 4 * shape[0]! : byteLength;
  const perPosition = 2 * config.numHiddenLayers * config.numKeyValueHeads * config.headDim * (cacheDType === "F32" ? 4 : 2);
  const cacheBytes = perPosition * contextLength;
  return { backend, contextLength, cacheDType, weightBytes, cacheBytes, totalBytes: weightBytes + cacheBytes };
}

/** 512, then fourfold steps, then the model's own limit. */
function contextLengths(config: LlamaConfig): number[] {
  const lengths: number[] = [];
  for (let length = 512; length < config.maxPositionEmbeddings; length *= 4) lengths.push(length);
  return [...lengths, config.maxPositionEmbeddings];
}

const layoutNames: Readonly<Record<Quantization["layout"], string>> = {
  awq: "AWQ int4",
  gptq: "GPTQ int4",
  "gptq-v2": "GPTQ int4 (version 2)",
  "compressed-tensors": "compressed-tensors int4",
};

function describeQuantization({ quantization }: LlamaConfig, refs: LlamaWeightRefs): string {
  if (!quantization) return "none";
  const { linears, int4 } = countInt4(refs);
  const group = quantization.groupSize === "whole" ? "one group per column" : `groups of ${quantization.groupSize}`;
  return `${layoutNames[quantization.layout]}, ${group}, ${int4} of ${linears} linears`;
}

function findWarnings(table: TensorTable, warn: (message: string) => void): void {
  const stated = table.statedTotalBytes;
  const held = sumTensorBytes(table.tensors);
  if (stated !== null && stated !== held) warn(`${table.name}/${indexFile}: total_size, expected ${held}, got ${stated}`);
}

const sumTensorBytes = (tensors: ReadonlyMap<string, ShardTensor>): number =>
  [...tensors.values()].reduce((sum, { info }) => sum + info.byteLength, 0);

/** What the linears of the first layer say about their order and shape: the other layers are of the same make. */
async function checkFirstLayer({ layers: [first] }: LlamaWeightRefs): Promise<void> {
  for (const { name } of first ? linearParts : []) {
    const linear = first![name];
    if (linear.kind !== "awq") continue;
    await linear.qweight.check?.();
    await linear.qzeros.check?.();
  }
}

function problemList(): { problems: Problem[]; report: (error: unknown) => void; warn: (message: string) => void } {
  const problems: Problem[] = [];
  const add = (problem: Problem): void => {
    if (problems.length < maxProblems && !problems.some(({ message }) => message === problem.message)) problems.push(problem);
  };
  return {
    problems,
    report(error) {
      if (!(error instanceof GureumError)) throw error;
      add({ severity: "error", code: error.code, message: error.message });
    },
    warn: (message) => add({ severity: "warning", code: "format", message }),
  };
}

function listTable(table: TensorTable): Pick<InspectReport, "files" | "bytesOnDisk" | "tensorBytes" | "tensors"> {
  const files = table.shards.map(({ fileName, file }) => ({
    name: fileName,
    byteLength: file.source.byteLength,
    tensors: file.tensors.size,
  }));
  return {
    files,
    bytesOnDisk: files.reduce((sum, { byteLength }) => sum + byteLength, 0),
    tensorBytes: sumTensorBytes(table.tensors),
    tensors: [...table.tensors.values()].map(({ shard, info: { name, dtype, shape, byteLength } }) => ({
      name,
      dtype,
      shape,
      byteLength,
      file: shard.fileName,
    })),
  };
}

const emptyTable: TensorTable = {
  name: "",
  shards: [],
  tensors: new Map(),
  disagreements: new Map(),
  statedTotalBytes: null,
  async close() {},
};

/**
 * A model folder. Problems are collected, up to 200, instead of stopping at the first.
 * @throws GureumError only where the store cannot even be listed.
 */
export async function inspectFolder(store: ByteStore): Promise<InspectReport> {
  const folder = await openFolder(store);
  const { problems, report, warn } = problemList();
  const config = await readConfig(folder, warn).catch((error: unknown) => {
    report(error);
    return null;
  });
  const table = await openTensors(folder, report).catch((error: unknown) => {
    report(error);
    return emptyTable;
  });
  try {
    let refs: LlamaWeightRefs | null = null;
    if (config && table.tensors.size > 0) {
      refs = planWeights(config, table, { report, warn });
      findWarnings(table, warn);
      if (!problems.some(({ severity }) => severity === "error")) await checkFirstLayer(refs).catch(report);
    }
    if (!folder.names.has("tokenizer.json") && !folder.names.has("tokenizer.model"))
      warn(`${store.name}: no tokenizer.json and no tokenizer.model, text cannot be encoded`);
    const runnable = config && refs && !problems.some(({ severity }) => severity === "error") ? { config, refs } : null;
    return {
      name: store.name,
      config,
      quantization: config && refs ? describeQuantization(config, refs) : null,
      ...listTable(table),
      memory: runnable ? memoryNeeds(runnable.config, runnable.refs) : [],
      problems,
    };
  } finally {
    await table.close();
  }
}

function memoryNeeds(config: LlamaConfig, refs: LlamaWeightRefs): MemoryNeed[] {
  return contextLengths(config).flatMap((length) => [
    bytesToRun(config, refs, "cpu", length, "F32"),
    bytesToRun(config, refs, "webgpu", length, "F16"),
    bytesToRun(config, refs, "webgpu", length, "F32"),
  ]);
}

/**
 * One safetensors file alone. The caller closes `source`.
 * @throws what the source throws, where it is no GureumError.
 */
export async function inspectFile(source: ByteSource): Promise<InspectReport> {
  const { problems, report } = problemList();
  let table = emptyTable;
  try {
    const file = await openSafetensors(source);
    const shard = { fileName: source.name, file };
    table = { ...emptyTable, shards: [shard], tensors: new Map([...file.tensors].map(([name, info]) => [name, { shard, info }])) };
  } catch (error) {
    report(error);
  }
  const listed = listTable(table);
  return { name: source.name, config: null, quantization: null, ...listed, bytesOnDisk: source.byteLength, memory: [], problems };
}

const indented = (rows: readonly (readonly string[])[], right: readonly number[]): string[] =>
  alignColumns(rows, (column) => right.includes(column)).map((line) => `  ${line}`);

function describeConfig(config: LlamaConfig): string[] {
  const rope = config.ropeScaling.type === "none" ? "" : `, ${config.ropeScaling.type} scaling`;
  const window = config.slidingWindow === null ? "" : `, sliding window ${config.slidingWindow}`;
  return [
    `architecture   ${config.architecture}, ${config.numHiddenLayers} layers, hidden ${config.hiddenSize}, ffn ${config.intermediateSize}, vocabulary ${config.vocabSize}`,
    `attention      ${config.numAttentionHeads} heads, ${config.numKeyValueHeads} key-value heads, head dim ${config.headDim}${window}`,
    `positions      ${config.maxPositionEmbeddings}, rope theta ${config.ropeTheta}${rope}`,
  ];
}

/** The report as lines of text, one tensor a line. */
export function formatReport(report: InspectReport): string {
  const lines = [report.name];
  if (report.config) lines.push(...describeConfig(report.config));
  if (report.quantization !== null) lines.push(`quantization   ${report.quantization}`);
  lines.push(`on disk        ${report.bytesOnDisk} bytes (${formatBytes(report.bytesOnDisk)}), tensors ${report.tensorBytes} bytes`);
  for (const file of report.files) lines.push(`               ${file.name}  ${file.byteLength} bytes, ${file.tensors} tensors`);
  if (report.memory.length > 0) {
    const rows = report.memory.map((need) => [
      need.backend,
      `${need.contextLength}`,
      need.cacheDType.toLowerCase(),
      formatBytes(need.weightBytes),
      formatBytes(need.cacheBytes),
      formatBytes(need.totalBytes),
    ]);
    lines.push(
      "",
      "to run (activations are extra)",
      ...indented([["backend", "context", "cache", "weights", "cache", "total"], ...rows], [1, 3, 4, 5]),
    );
  }
  if (report.tensors.length > 0) {
    const rows = report.tensors.map(({ name, dtype, shape, byteLength, file }) => [
      name,
      dtype,
      `[${shape.join(", ")}]`,
      `${byteLength}`,
      file,
    ]);
    lines.push("", `${report.tensors.length} tensors`);
    // One by one: a call takes some hundred thousand arguments at most.
    for (const line of indented([["name", "dtype", "shape", "bytes", "file"], ...rows], [3])) lines.push(line);
  }
  const count = report.problems.length;
  const title =
    count === 0
      ? "no problems in headers and small files; the weights were not read: numbers that are not finite, and scales beyond float16, show when they are loaded"
      : count >= maxProblems
        ? `the first ${maxProblems} problems`
        : count === 1
          ? "1 problem"
          : `${count} problems`;
  lines.push("", title, ...report.problems.map(({ severity, message }) => `  ${severity}: ${message}`));
  return lines.join("\n");
}

/** Whether the files break their format, disagree or cannot be loaded: exit status 1. */
export function isBroken(report: InspectReport): boolean {
  return report.problems.some(({ severity }) => severity === "error");
}
