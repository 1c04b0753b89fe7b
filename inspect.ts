/**
 * `gureum inspect` for a whole model: the checkpoint, its tokenizer and its chat template, and what will run with them.
 * Of tensors only what says the order of the first layer's int4 inputs is read.
 */
import { openChatOf } from "./chat.ts";
import type { ByteStore } from "./core/checkpoint/byte-source.ts";
import { generationConfigFile } from "./core/checkpoint/config.ts";
import { maxSmallBytes, openFolder } from "./core/checkpoint/folder.ts";
import { type InspectReport, inspectFolder, isBroken, type Problem } from "./core/checkpoint/inspect.ts";
import { parseSamplingConfig } from "./core/checkpoint/sampling-config.ts";
import { openCheckpoint } from "./core/checkpoint/weights.ts";
import { GureumError, within } from "./core/errors.ts";
import type { Capabilities } from "./gpu/device/capabilities.ts";
import { maxHeadDim } from "./gpu/kernels/plain/attention.ts";
import { planVariants } from "./gpu/programs/plan.ts";
import { type ModelPlace, viewOf } from "./place.ts";

/** Something that a model may be asked for; `refusal`: why it cannot be, null where it can. */
export interface Use {
  /** What for. */
  readonly name: "cpu" | "webgpu" | "ids" | "text" | "messages";
  /** The commands that do it. */
  readonly commands: string;
  /** Why it cannot be; null where it can. */
  readonly refusal: string | null;
}

/** What a folder holds and needs. */
export interface ModelReport extends InspectReport {
  /** What it can be used for. */
  readonly uses: readonly Use[];
}

/** What WebGPU promises of every device: its default limits, and no optional feature. */
const everyDevice: Capabilities = {
  vendor: "",
  architecture: "",
  device: "",
  description: "",
  software: false,
  features: [],
  limits: {
    maxBufferSize: 2 ** 28,
    maxStorageBufferBindingSize: 2 ** 27,
    maxUniformBufferBindingSize: 2 ** 16,
    maxStorageBuffersPerShaderStage: 8,
    maxComputeWorkgroupStorageSize: 2 ** 14,
    maxComputeInvocationsPerWorkgroup: 256,
    maxComputeWorkgroupSizeX: 256,
    maxComputeWorkgroupSizeY: 256,
    maxComputeWorkgroupSizeZ: 64,
    maxComputeWorkgroupsPerDimension: 65535,
    minStorageBufferOffsetAlignment: 256,
    minUniformBufferOffsetAlignment: 256,
  },
  subgroupMinSize: 0,
  subgroupMaxSize: 0,
  subgroupMatrixConfigs: [],
};

/** What `body` throws; null where it throws nothing. */
async function problemOf(body: () => unknown): Promise<GureumError | null> {
  try {
    await body();
    return null;
  } catch (error) {
    if (error instanceof GureumError) return error;
    throw error;
  }
}

/**
 * A companion that is damaged is an error; one that is missing or not supported leaves a model that runs without it.
 */
const asProblem = ({ code, details }: GureumError): Problem => ({
  severity: code === "format" || code === "io" ? "error" : "warning",
  code,
  message: new GureumError(code, {
    ...(code === "template" ? { remedy: "put a template that works into chat_template.jinja; text and ids run without one" } : {}),
    ...details,
  }).message,
});

/**
 * A model folder. Problems are collected instead of stopping at the first.
 * @throws GureumError only where the store cannot even be listed.
 */
export async function inspectModel(place: ModelPlace): Promise<ModelReport> {
  const store = await viewOf(place);
  const folder = await openFolder(store);
  const report = await inspectFolder(folder);
  const checkpoint = isBroken(report) ? "the checkpoint has errors" : null;
  let vocabulary = 0;
  let notes: readonly string[] = [];
  let template: GureumError | null = null;
  const tokenizer = await problemOf(async () => {
    const chat = await openChatOf(folder);
    vocabulary = chat.tokenizer.vocabSize;
    notes = chat.tokenizer.notes;
    template = await problemOf(() => {
      chat.checkTemplate();
      // A template may parse and still use what is refused when it renders.
      const ids = within(store.name, () => chat.encode([{ role: "user", content: "Hello" }]));
      const rows = report.config?.vocabSize ?? Infinity;
      const beyond = ids.find((id) => id >= rows);
      if (beyond !== undefined)
        throw new GureumError("range", {
          where: `${store.name} > the rendered chat template`,
          what: "a token without a row in the embedding",
          expected: `ids below ${rows}`,
          got: `${beyond}`,
          remedy: "take tokenizer, template and weights from one release",
        });
    });
  });
  const webgpu = checkpoint ? null : await problemOf(() => checkWebGpu(folder));
  const problems = [...report.problems];
  // A missing tokenizer or template is said by the uses; the folder's own report has warned of the former.
  for (const problem of [tokenizer, template] as (GureumError | null)[])
    if (problem && problem.code !== "not-found") problems.push(asProblem(problem));
  for (const message of notes) problems.push({ severity: "warning", code: "format", message });
  // A file that cannot be read is the folder's report's.
  await problemOf(async () => {
    const bytes = await folder.read(generationConfigFile, maxSmallBytes);
    const { ignored } = bytes ? parseSamplingConfig(bytes) : { ignored: [] };
    const message = `${store.name} > ${generationConfigFile}: not honoured: ${ignored.join(", ")}`;
    if (ignored.length > 0) problems.push({ severity: "warning", code: "unsupported", message });
  });
  const rows = report.config?.vocabSize ?? vocabulary;
  if (vocabulary > rows)
    problems.push({
      severity: "warning",
      code: "range",
      message: `${store.name}: the tokenizer has ${vocabulary} tokens, the embedding ${rows} rows: ids from ${rows} on cannot be fed`,
    });
  const said = (problem: GureumError | null): string | null => checkpoint ?? problem?.message ?? null;
  const uses: Use[] = [
    { name: "cpu", commands: "--backend cpu", refusal: checkpoint },
    { name: "webgpu", commands: "--backend webgpu", refusal: said(webgpu) },
    { name: "ids", commands: "logits --ids", refusal: checkpoint },
    { name: "text", commands: "generate, logits --text", refusal: said(tokenizer) },
    { name: "messages", commands: "chat", refusal: said(tokenizer ?? template) },
  ];
  return { ...report, problems, uses };
}

/** @throws GureumError where no WebGPU device runs the model, whatever it can do */
async function checkWebGpu(store: ByteStore): Promise<void> {
  const { config, refs, close } = await openCheckpoint(store);
  await close();
  planVariants(everyDevice, config, refs);
  if (config.headDim > maxHeadDim)
    throw new GureumError("limit", { where: "webgpu", what: "head_dim", expected: `at most ${maxHeadDim}`, got: `${config.headDim}` });
}

/** The uses as lines of text. */
export const formatUses = (uses: readonly Use[]): string =>
  ["will it run", ...uses.map(({ commands, refusal }) => `  ${commands.padEnd(24)} ${refusal === null ? "yes" : `no: ${refusal}`}`)].join(
    "\n",
  );
