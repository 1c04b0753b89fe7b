/** One generation shown to a person or a program: streamed text and a line of figures, or one JSON object. */
import process from "node:process";
import type { TokenEvent } from "../core/generate/generate.ts";
import type { Conversation, GenerateInput, GenerateResult, LoadedModel } from "../index.ts";
import { generateOptions, type RunOptions } from "./options.ts";
import { paint } from "./paint.ts";
import { progressBar } from "./progress.ts";
import { formatStats, makeStopwatch } from "./stats.ts";
import { breathe, note, print, printJson } from "./terminal.ts";

/**
 * Runs to the end, or until Ctrl-C: then the text so far is the answer.
 * @param signal where the caller listens to Ctrl-C
 * @param conversation who generates: the model, or what remembers earlier turns
 * @returns what the generator sums up
 */
export async function runGeneration(
  model: LoadedModel,
  input: GenerateInput,
  options: RunOptions,
  conversation: Pick<Conversation, "generate"> = model,
  signal?: AbortSignal,
): Promise<GenerateResult> {
  const abort = new AbortController();
  const onInterrupt = (): void => abort.abort();
  if (signal) signal.addEventListener("abort", onInterrupt);
  else process.on("SIGINT", onInterrupt);
  const bar = progressBar("reading the prompt");
  const promptTokens = model.encodePrompt(input).length;
  const started = performance.now();
  let firstTokenMs = 0;
  let lastTokenMs = 0;
  const tokens: TokenEvent[] = [];
  const watch = makeStopwatch(model);
  try {
    const run = conversation.generate(input, {
      ...generateOptions(options),
      signal: abort.signal,
      onPrefill: async (done) => {
        bar(done, promptTokens);
        if (options.stats && done === promptTokens) await watch.endPrefill();
        await breathe();
      },
    });
    const next = (): ReturnType<typeof run.next> => watch.time(() => run.next());
    let step = await next();
    for (; !step.done; step = await next()) {
      const event = step.value;
      if (event.id !== null) {
        lastTokenMs = performance.now() - started;
        if (tokens.length === 0) firstTokenMs = lastTokenMs;
        tokens.push(event);
      }
      // A model without a tokenizer answers in ids.
      if (!options.json) await print(model.tokenizer ? event.text : event.id === null ? "" : `${event.id} `);
      await breathe();
    }
    const { text, ids, finishReason } = step.value;
    const first = tokens.length > 0 ? firstTokenMs : null;
    const decodeMs = lastTokenMs - firstTokenMs;
    const tokensPerSecond = ids.length > 1 && decodeMs > 0 ? ((ids.length - 1) * 1000) / decodeMs : null;
    const stats = options.stats ? await watch.take() : undefined;
    if (options.json) {
      await printJson({
        text,
        ids,
        finishReason,
        promptTokens,
        timings: {
          loadMs: round(model.loadMs),
          firstTokenMs: first && round(first),
          totalMs: round(performance.now() - started),
          tokensPerSecond: tokensPerSecond && round(tokensPerSecond),
        },
        ...(stats === undefined ? {} : { stats }),
        ...(options.logprobs > 0 ? { logprobs: tokens.map(({ id, logprob, top }) => ({ id, logprob, top })) } : {}),
      });
    } else {
      await print("\n");
      if (options.logprobs > 0)
        for (const { id, logprob, top } of tokens)
          note(`${id} ${logprob!.toFixed(4)} | ${top!.map((t) => `${t.id} ${t.logprob.toFixed(4)}`).join(", ")}`);
      const figures = { promptTokens, newTokens: ids.length, finishReason, firstTokenMs: first, tokensPerSecond, backend: model.backend };
      note(paint("dim", formatFigures(figures)));
      if (stats !== undefined) for (const line of formatStats(stats)) note(line);
    }
    return step.value;
  } finally {
    process.off("SIGINT", onInterrupt);
  }
}

/** The line of figures; times that there are not are not in it. */
export function formatFigures(figures: {
  readonly promptTokens: number;
  readonly newTokens: number;
  readonly finishReason: string;
  readonly firstTokenMs: number | null;
  readonly tokensPerSecond: number | null;
  readonly backend: string;
}): string {
  const { promptTokens, newTokens, finishReason, firstTokenMs, tokensPerSecond, backend } = figures;
  const first = firstTokenMs === null ? "" : `; first after ${round(firstTokenMs)} ms`;
  const rate = tokensPerSecond ? `, then ${round(tokensPerSecond)} tokens/s` : "";
  return `${promptTokens} prompt tokens, ${newTokens} new (${finishReason})${first}${rate} on ${backend}`;
}

const round = (value: number): number => Math.round(value * 10) / 10;
