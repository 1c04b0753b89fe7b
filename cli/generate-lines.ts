/** `gureum generate --jsonl`: prompts a line, results a line in the order of the input, as they complete; many at a time. */
import { open } from "node:fs/promises";
import process from "node:process";
import { GureumError } from "../core/errors.ts";
import { hostError } from "../core/host/host-error.ts";
import { readTextFile } from "../core/host/node.ts";
import { writeFile } from "../core/host/write.ts";
import { encodeUtf8 } from "../core/utf8.ts";
import type { LoadedModel, Outcome, TokenEvent } from "../index.ts";
import { type InputLine, parseDone, parseLines } from "./jsonl.ts";
import { generateOptions, modelFromWords, noteSampling, type RunOptions } from "./options.ts";
import { claimOutput } from "./outputs.ts";
import { progressBar } from "./progress.ts";
import { breathe, inputName, note, print, readText } from "./terminal.ts";
import { usage, type Words } from "./words.ts";

/** Where results go: whole lines, one at a time. */
interface Sink {
  /** Lines that are answered already. */
  readonly done: ReadonlySet<number>;
  /** How many of them by an error. */
  readonly failed: number;
  write(line: string): Promise<void>;
  close(): Promise<void>;
}

const toStdout: Sink = { done: new Set(), failed: 0, write: print, async close() {} };

/** A file, begun or gone on with. @throws GureumError "usage" where it is there and not to be resumed */
async function toFile(path: string, resume: boolean, lines: readonly InputLine[]): Promise<Sink> {
  const release = await claimOutput(path);
  try {
    let done: ReadonlySet<number> = new Set();
    let failed = 0;
    if (resume) {
      const before = (await readTextFile(path)) ?? "";
      const found = parseDone(path, before, lines);
      done = found.done;
      failed = found.failed;
      // What was cut off is written again.
      if (found.whole !== before) await writeFile(path, (sink) => sink(encodeUtf8(found.whole)));
    }
    const handle = await open(path, resume ? "a" : "wx");
    return {
      done,
      failed,
      async write(line) {
        try {
          await handle.writeFile(line);
        } catch (error) {
          throw hostError(path, error);
        }
      },
      async close() {
        await handle.close();
        await release();
      },
    };
  } catch (error) {
    await release();
    if ((error as NodeJS.ErrnoException).code === "EEXIST")
      throw usage("generate", `${path} is there already`, "give --resume to go on with it, or write to another file");
    throw hostError(path, error);
  }
}

/** The kind of input that asks most of a model's folder. */
function needsOf(lines: readonly InputLine[]): "ids" | "text" | "messages" {
  const inputs = lines.flatMap(({ given }) => ("input" in given && typeof given.input === "object" ? [given.input] : []));
  if (inputs.some((input) => "messages" in input)) return "messages";
  return inputs.some((input) => "text" in input) ? "text" : "ids";
}

/** A result as it is written. */
function resultOf(line: InputLine, outcome: Outcome, tokens: readonly TokenEvent[] | undefined): string {
  const { line: number, input, carried } = line;
  const head = { line: number, ...carried, input };
  if (!outcome.ok) {
    const { code, message } = outcome.error instanceof GureumError ? outcome.error : { code: "unknown", message: String(outcome.error) };
    return JSON.stringify({ ...head, error: { code, message } });
  }
  const { text, ids, finishReason, promptTokens } = outcome;
  const logprobs = tokens?.flatMap(({ id, logprob, top }) => (id === null ? [] : [{ id, logprob, top }]));
  return JSON.stringify({ ...head, text, ids, finishReason, promptTokens, ...(logprobs ? { logprobs } : {}) });
}

/** @returns the exit code: 1 where a line failed, or Ctrl-C came before the end */
export async function generateLines(words: Words, options: RunOptions): Promise<number> {
  const path = words.text("jsonl")!;
  const out = words.text("out");
  const resume = words.flag("resume");
  const sequences = words.number("batch");
  if (resume && out === undefined) throw usage("generate", "--resume goes on with the file of --out", "give both");
  if (sequences !== undefined && !(Number.isInteger(sequences) && sequences >= 1))
    throw usage("generate", `--batch takes a whole number from 1, got ${sequences}`);
  const shared = {
    ...(words.flag("special-tokens") ? { specialTokens: "recognise" as const } : {}),
    ...(words.flag("no-bos") ? { addBos: false } : {}),
  };
  const lines = parseLines(await readText(path), shared);
  if (lines.length === 0)
    throw new GureumError("format", { where: inputName(path), what: "no line with a prompt", remedy: "write a prompt a line" });
  const sink = out === undefined ? toStdout : await toFile(out, resume, lines);
  try {
    const left = lines.filter(({ line }) => !sink.done.has(line));
    if (sink.done.size > 0)
      note(
        `${out}: ${sink.done.size} of ${lines.length} lines are there already${sink.failed > 0 ? `, ${sink.failed} of them failed` : ""}`,
      );
    if (left.length === 0) return sink.failed > 0 ? 1 : 0;
    const model = await modelFromWords("generate", words, needsOf(left));
    try {
      noteSampling(model, options);
      const code = await runLines(model, left, options, sequences, sink);
      return sink.failed > 0 ? 1 : code;
    } finally {
      model.dispose();
    }
  } finally {
    await sink.close();
  }
}

async function runLines(
  model: LoadedModel,
  lines: readonly InputLine[],
  options: RunOptions,
  sequences: number | undefined,
  sink: Sink,
): Promise<number> {
  const abort = new AbortController();
  const onInterrupt = (): void => abort.abort();
  process.on("SIGINT", onInterrupt);
  const bar = progressBar("generating");
  const started = performance.now();
  const tokens: TokenEvent[][] = lines.map(() => []);
  /** Results that wait for one before them. */
  const waiting = new Map<number, string>();
  let [next, failed, fed, drawn] = [0, 0, 0, 0];
  const put = async (index: number, outcome: Outcome): Promise<void> => {
    // What Ctrl-C cut off is no result: it is left to --resume.
    if (outcome.ok && outcome.finishReason === "aborted") return;
    if (outcome.ok) {
      fed += outcome.promptTokens;
      drawn += outcome.ids.length;
    } else {
      failed++;
      const { line, given } = lines[index]!;
      const message = outcome.error instanceof Error ? outcome.error.message : `${outcome.error}`;
      note("error" in given ? message : `line ${line}: ${message}`);
    }
    const wants = tokens[index]!.some(({ top }) => top !== undefined);
    waiting.set(index, resultOf(lines[index]!, outcome, wants ? tokens[index] : undefined));
    tokens[index] = [];
    for (let ready = waiting.get(next); ready !== undefined; ready = waiting.get(next)) {
      await sink.write(`${ready}\n`);
      waiting.delete(next++);
    }
  };
  try {
    const good = lines.flatMap(({ given }, index) => ("error" in given ? [] : [{ index, given }]));
    for (const [index, { given }] of lines.entries()) if ("error" in given) await put(index, { ok: false, error: given.error });
    await model.generateAll(
      good.map(({ given }) => given),
      {
        ...generateOptions(options),
        signal: abort.signal,
        ...(sequences === undefined ? {} : { sequences }),
        async onToken(i, event) {
          if (event.top) tokens[good[i]!.index]!.push(event);
          await breathe();
        },
        onOutcome: (i, outcome) => put(good[i]!.index, outcome),
        onProgress: bar,
      },
    );
    // What is behind a line that was cut off is written with what comes after it.
    for (const [, ready] of [...waiting].sort(([a], [b]) => a - b)) await sink.write(`${ready}\n`);
    const seconds = (performance.now() - started) / 1000;
    const written = next + waiting.size;
    note(
      `${written} of ${lines.length} lines written, ${failed} failed; ${fed} prompt tokens, ${drawn} new, ${(drawn / seconds).toFixed(1)} tokens/s on ${model.backend}`,
    );
    if (abort.signal.aborted && written < lines.length) note("interrupted: --resume goes on with what is left");
    return failed > 0 || written < lines.length ? 1 : 0;
  } finally {
    process.off("SIGINT", onInterrupt);
  }
}
