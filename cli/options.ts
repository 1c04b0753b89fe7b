/** Options that several commands share: which model, which backend, which variants of it, how to sample. */

import { checkMaxNewTokens } from "../core/generate/generate.ts";
import type { SamplingOptions } from "../core/model/engine.ts";
import { checkSampling, greedy } from "../core/sample/sampler.ts";
import { checkKernels } from "../gpu/programs/plan.ts";
import { type GenerateInput, type GenerateOptions, type LoadedModel, loadModel, type ModelPrompts, type VariantOptions } from "../index.ts";
import type { CpuOptions } from "../wasm/model.ts";
import { modelPlace } from "./place.ts";
import { progressBar } from "./progress.ts";
import { note } from "./terminal.ts";
import { asUsage, refuseIdle, usage, type WordOptions, type Words } from "./words.ts";

export const variantOptions: WordOptions = {
  arithmetic: { type: "string" },
  "kv-cache": { type: "string" },
  kernel: { type: "string", multiple: true },
};

export const variantHelp = `  --arithmetic auto|f32|fixed16|exact  how int4 linears compute (default: auto: on the CPU sums in f64; f32 on WebGPU alone); exact: all steps, the same bits on every
                              device and on the CPU
  --kv-cache f32|f16          cached keys and values on WebGPU (default: what the arithmetic needs)
  --kernel STEP=VARIANT       this variant for this step; may be repeated (gureum device lists both)`;

/** Which device WebGPU computes on. */
export const adapterOptions: WordOptions = { adapter: { type: "string" } };

export const adapterHelp = `  --adapter NAME|INDEX        WebGPU on this adapter, by its name, a part of it or its number (gureum device --all lists them)`;

export const adapterFromWords = (words: Words): { readonly adapter?: string } => {
  const adapter = words.text("adapter");
  return adapter === undefined ? {} : { adapter };
};

/** How the CPU computes. */
export const cpuOptions: WordOptions = { ops: { type: "string" }, threads: { type: "string" } };

export const cpuHelp = `  --ops auto|wasm|javascript  the CPU's ops: WebAssembly where the host runs it, or the reference (default: auto); the same bits
  --threads N                 threads on the CPU (default: physical cores); the same bits for every N`;

export const modelOptions: WordOptions = {
  model: { type: "string" },
  backend: { type: "string" },
  ...adapterOptions,
  robustness: { type: "boolean" },
  ...variantOptions,
  ...cpuOptions,
};

/** How --model reads in every command that has it. */
export const modelWord = `  --model DIR|NAME            model folder, or a name on the hub, org/name[@revision], which is downloaded once
                              (default: the small model that comes with gureum)`;

export const modelHelp: string = `${modelWord}
  --backend auto|cpu|webgpu   where to compute (default: auto)
${adapterHelp}
  --robustness                WebGPU with bounds checks, for model folders from strangers; slower (docs/security.md)
${variantHelp}
${cpuHelp}`;

export const samplingOptions: WordOptions = {
  "max-new-tokens": { type: "string" },
  temperature: { type: "string" },
  "top-k": { type: "string" },
  "top-p": { type: "string" },
  "min-p": { type: "string" },
  "repetition-penalty": { type: "string" },
  seed: { type: "string" },
  greedy: { type: "boolean" },
  stop: { type: "string", multiple: true },
  "stop-id": { type: "string", multiple: true },
  logprobs: { type: "string" },
  json: { type: "boolean" },
  stats: { type: "boolean" },
};

export const samplingHelp = `  --max-new-tokens N          at most so many new tokens (default: 256)
  --greedy                    always take the likeliest token, whatever the model's generation_config.json says
  --temperature T             draw at random; 0 takes the likeliest token (default, of these five: what generation_config.json says,
                              else 0)
  --top-k K                   draw among the K likeliest
  --top-p P                   draw among the likeliest whose share reaches P
  --min-p M                   draw among those at least M times as likely as the likeliest
  --repetition-penalty R      make what was said before less likely (R above 1)
  --seed S                    repeat a random draw: same seed, same text (default: 0)
  --stop STR                  end before this text, or this special token; may be repeated
  --stop-id ID                end before this token id; may be repeated
  --logprobs N                with each token its log-probability and the N likeliest
  --json                      print one JSON object: text, ids, finishReason, promptTokens, timings
  --stats                     also where the time on the GPU went, and how many dispatches it took`;

/** One of a word's values. @throws GureumError "usage" */
export function oneOf<T extends string>(command: string, words: Words, name: string, values: readonly T[]): T | undefined {
  const word = words.text(name);
  const value = values.find((v) => v === word);
  if (word !== undefined && value === undefined)
    throw usage(command, `--${name} is ${values.slice(0, -1).join(", ")} or ${values.at(-1)}, got ${JSON.stringify(word)}`);
  return value;
}

/** What the words choose among WebGPU's variants. @throws GureumError "usage" */
export function variantsFromWords(command: string, words: Words): VariantOptions {
  const arithmetic = oneOf(command, words, "arithmetic", ["auto", "f32", "fixed16", "exact"]);
  const cache = oneOf(command, words, "kv-cache", ["f32", "f16"]);
  const kernels = Object.fromEntries(
    words.list("kernel").map((word): [string, string] => {
      const [step, variant, ...more] = word.split("=");
      if (!step || !variant || more.length > 0) throw usage(command, `--kernel takes STEP=VARIANT, got ${JSON.stringify(word)}`);
      return [step, variant];
    }),
  );
  checkKernels(kernels);
  return { ...(arithmetic ? { arithmetic } : {}), ...(cache ? { cache } : {}), kernels };
}

/** What the words choose of the CPU's ops and threads. @throws GureumError "usage" */
export function cpuFromWords(command: string, words: Words): Pick<CpuOptions, "ops" | "threads"> {
  const ops = oneOf(command, words, "ops", ["auto", "wasm", "javascript"]);
  const threads = words.number("threads");
  return { ...(ops ? { ops } : {}), ...(threads === undefined ? {} : { threads }) };
}

/** Loads the model that the words name for what it will be fed, with a bar while it reads. */
export async function modelFromWords(
  command: string,
  words: Words,
  needs: "ids" | "text" | "messages",
  before?: (prompts: ModelPrompts) => void,
): Promise<LoadedModel> {
  const backend = oneOf(command, words, "backend", ["auto", "cpu", "webgpu"]) ?? "auto";
  const model = await loadModel(await modelPlace(words.text("model")), {
    backend,
    needs,
    ...(before ? { before } : {}),
    ...adapterFromWords(words),
    ...variantsFromWords(command, words),
    ...cpuFromWords(command, words),
    robustness: words.flag("robustness"),
    stats: words.flag("stats"),
    onProgress: progressBar("loading"),
  });
  for (const line of model.notes) note(`note: ${line}`);
  if (backend === "auto") note(`backend: ${model.backend} (${model.backendReason})`);
  return model;
}

/** What only texts have. @throws GureumError "usage" where it stands beside --ids */
export const refuseTextOptions = (command: string, words: Words): void =>
  refuseIdle(command, words, ["special-tokens", "no-bos"], "reads a text: not with --ids");

/** A text as --special-tokens and --no-bos say to read it. */
export const textInput = (text: string, words: Words): GenerateInput => ({
  text,
  specialTokens: words.flag("special-tokens") ? "recognise" : "text",
  ...(words.flag("no-bos") ? { addBos: false } : {}),
});

export interface RunOptions {
  /** What the words say; the model's defaults stand for the rest. */
  readonly sampling: Partial<SamplingOptions>;
  readonly greedy: boolean;
  readonly maxNewTokens: number;
  readonly stop: readonly string[];
  readonly stopIds: readonly number[];
  readonly logprobs: number;
  readonly json: boolean;
  readonly stats: boolean;
}

const samplingWords = {
  temperature: "temperature",
  topK: "top-k",
  topP: "top-p",
  minP: "min-p",
  repetitionPenalty: "repetition-penalty",
} as const;

/** @throws GureumError "usage", also for a number outside its range, before any model is loaded */
export function runOptions(command: string, words: Words): RunOptions {
  const seed = words.text("seed");
  if (seed !== undefined && !/^\d{1,20}$/.test(seed))
    throw usage(command, `--seed takes a whole number from 0, got ${JSON.stringify(seed)}`);
  const logprobs = words.number("logprobs") ?? 0;
  if (!Number.isInteger(logprobs) || logprobs < 0 || logprobs > 100)
    throw usage(command, `--logprobs takes a whole number from 0 to 100, got ${logprobs}`);
  const sampling: { -readonly [name in keyof SamplingOptions]?: SamplingOptions[name] } = seed === undefined ? {} : { seed: BigInt(seed) };
  for (const [name, word] of Object.entries(samplingWords) as [keyof typeof samplingWords, string][]) {
    const value = words.number(word);
    if (value !== undefined) sampling[name] = value;
  }
  const options: RunOptions = {
    sampling,
    greedy: words.flag("greedy"),
    maxNewTokens: words.number("max-new-tokens") ?? 256,
    stop: words.list("stop"),
    stopIds: words.list("stop-id").map((word) => {
      if (!/^\d{1,10}$/.test(word)) throw usage(command, `--stop-id takes a token id, got ${JSON.stringify(word)}`);
      return Number(word);
    }),
    logprobs,
    json: words.flag("json"),
    stats: words.flag("stats"),
  };
  asUsage(() => {
    checkSampling({ ...greedy, ...sampling });
    checkMaxNewTokens(options.maxNewTokens);
  });
  if (options.greedy && (sampling.temperature ?? 0) > 0) throw usage(command, "give --greedy or --temperature above 0, not both");
  return options;
}

/** The words' options as `generate` takes them. */
export const generateOptions = (options: RunOptions): GenerateOptions => ({
  ...options.sampling,
  greedy: options.greedy,
  maxNewTokens: options.maxNewTokens,
  stop: options.stop,
  stopIds: options.stopIds,
  topLogprobs: options.logprobs,
});

/** Says in one line how the text will be drawn, where the model's own files have a say in it. */
export function noteSampling(model: LoadedModel, options: RunOptions): void {
  const names = Object.keys(samplingWords) as (keyof typeof samplingWords)[];
  const given = names.filter((name) => model.samplingDefaults[name] !== greedy[name] && options.sampling[name] === undefined);
  if (options.greedy || given.length === 0) return;
  const sampling = { ...model.samplingDefaults, ...options.sampling };
  const shown = names.filter((name) => sampling[name] !== greedy[name] || name === "temperature");
  const how = shown.map((name) => `${samplingWords[name]} ${sampling[name]}`).join(", ");
  note(`sampling: ${how}, seed ${sampling.seed} (as the model's generation_config.json has it; --greedy: always the likeliest)`);
}

/** Says which words about a draw change nothing, where none is made. */
export function noteIdle(model: LoadedModel, { greedy: likeliest, sampling }: RunOptions): void {
  if ((sampling.temperature ?? (likeliest ? 0 : model.samplingDefaults.temperature)) > 0) return;
  const { topK = 0, topP = 1, minP = 0, seed } = sampling;
  const idle = [...(topK > 0 ? ["--top-k"] : []), ...(topP < 1 ? ["--top-p"] : []), ...(minP > 0 ? ["--min-p"] : [])];
  const words = [...idle, ...(seed === undefined ? [] : ["--seed"])];
  if (words.length > 0) note(`note: no effect of ${words.join(", ")}: the likeliest token is always taken; --temperature T draws`);
}
