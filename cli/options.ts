/** Options that several commands share: which model, which backend, how to sample. */
import type { SamplingOptions } from "../core/model/engine.ts";
import { embeddedModel, type LoadedModel, loadModel } from "../index.ts";
import { note, progressBar } from "./terminal.ts";
import { usage, type WordOptions, type Words } from "./words.ts";

export const modelOptions: WordOptions = {
  model: { type: "string" },
  backend: { type: "string" },
};

export const modelHelp = `  --model DIR                 model folder (default: the small model that comes with gureum)
  --backend auto|cpu|webgpu   where to compute (default: auto)`;

export const samplingOptions: WordOptions = {
  "max-new-tokens": { type: "string" },
  temperature: { type: "string" },
  "top-k": { type: "string" },
  "top-p": { type: "string" },
  "min-p": { type: "string" },
  "repetition-penalty": { type: "string" },
  seed: { type: "string" },
  stop: { type: "string", multiple: true },
  logprobs: { type: "string" },
  json: { type: "boolean" },
};

export const samplingHelp = `  --max-new-tokens N          at most so many new tokens (default: 256)
  --temperature T             draw at random; 0, the default, always takes the likeliest token
  --top-k K                   draw among the K likeliest
  --top-p P                   draw among the likeliest whose share reaches P
  --min-p M                   draw among those at least M times as likely as the likeliest
  --repetition-penalty R      make what was said before less likely (R above 1)
  --seed S                    repeat a random draw: same seed, same text (default: 0)
  --stop STR                  end before this text; may be repeated
  --logprobs N                with each token its log-probability and the N likeliest
  --json                      print one JSON object: text, ids, finishReason, promptTokens, timings`;

/** Loads the model that the words name, with a bar while it reads. */
export async function modelFromWords(command: string, words: Words): Promise<LoadedModel> {
  const backend = words.text("backend") ?? "auto";
  if (backend !== "auto" && backend !== "cpu" && backend !== "webgpu")
    throw usage(command, `--backend is auto, cpu or webgpu, got ${JSON.stringify(backend)}`);
  const model = await loadModel(words.text("model") ?? embeddedModel(), { backend, onProgress: progressBar("loading") });
  if (backend === "auto") note(`backend: ${model.backend} (${model.backendReason})`);
  return model;
}

export interface RunOptions {
  readonly sampling: SamplingOptions;
  readonly maxNewTokens: number;
  readonly stop: readonly string[];
  readonly logprobs: number;
  readonly json: boolean;
}

/** @throws GureumError "usage"; ranges are checked where they are used */
export function runOptions(command: string, words: Words): RunOptions {
  const seed = words.text("seed") ?? "0";
  if (!/^\d{1,20}$/.test(seed)) throw usage(command, `--seed takes a whole number from 0, got ${JSON.stringify(seed)}`);
  const logprobs = words.number("logprobs") ?? 0;
  if (!Number.isInteger(logprobs) || logprobs < 0 || logprobs > 100)
    throw usage(command, `--logprobs takes a whole number from 0 to 100, got ${logprobs}`);
  return {
    sampling: {
      temperature: words.number("temperature") ?? 0,
      topK: words.number("top-k") ?? 0,
      topP: words.number("top-p") ?? 1,
      minP: words.number("min-p") ?? 0,
      repetitionPenalty: words.number("repetition-penalty") ?? 1,
      seed: BigInt(seed),
    },
    maxNewTokens: words.number("max-new-tokens") ?? 256,
    stop: words.list("stop"),
    logprobs,
    json: words.flag("json"),
  };
}
