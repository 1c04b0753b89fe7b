/** `gureum perplexity`: how well a model predicts a text, alone or against another model, backend or arithmetic. */

import { within } from "../core/errors.ts";
import {
  DEFAULT_WINDOW,
  defaultStride,
  defaultWindow,
  type EvaluatedText,
  type PerplexityResult,
  planScoring,
} from "../core/eval/perplexity.ts";
import { contextLimit } from "../core/generate/generate.ts";
import { writeFile } from "../core/host/write.ts";
import { checkIds } from "../core/tensor.ts";
import { embeddedModel, type LoadedModel, loadModel, type ModelPrompts } from "../index.ts";
import { adapterFromWords, adapterHelp, adapterOptions, oneOf } from "./options.ts";
import { checkOutputs } from "./outputs.ts";
import { perplexityPage } from "./perplexity-page.ts";
import { modelPlace } from "./place.ts";
import { progressBar } from "./progress.ts";
import { note, parseJson, printJson, printLine, readText } from "./terminal.ts";
import { type Command, parseWords, refuseIdle, usage, type Words } from "./words.ts";

/** A backend with its arithmetic, "webgpu:f32". */
interface Way {
  readonly backend: "auto" | "cpu" | "webgpu";
  readonly arithmetic?: "f32" | "fixed16" | "exact";
}

const ways = ["auto", "cpu", "cpu:exact", "webgpu", "webgpu:f32", "webgpu:fixed16", "webgpu:exact"] as const;

function wayOf(words: Words, name: "a" | "b"): Way | undefined {
  const word = oneOf("perplexity", words, name, ways);
  if (word === undefined) return undefined;
  const [backend, arithmetic] = word.split(":") as [Way["backend"], Way["arithmetic"]];
  return { backend, ...(arithmetic ? { arithmetic } : {}) };
}

function wholeNumber(words: Words, name: string): number | undefined {
  const value = words.number(name);
  if (value !== undefined && (!Number.isSafeInteger(value) || value < 1))
    throw usage("perplexity", `--${name} takes a whole number from 1, got ${value}`);
  return value;
}

/** [[1, 2, 3], {"ids": [4, 5, 6], "from": 2}]: sequences of ids, and the index of the first that is scored. */
function parseTexts(path: string, value: unknown): EvaluatedText[] {
  const wrong = usage(
    "perplexity",
    `${path}: --ids takes a JSON array of sequences, [1, 2, 3] or {"ids": [1, 2, 3], "from": 1}, from 1 on since the first id has nothing before it`,
  );
  const isId = (id: unknown): boolean => Number.isSafeInteger(id) && (id as number) >= 0;
  if (!Array.isArray(value)) throw wrong;
  return value.map((entry: unknown): EvaluatedText => {
    const { ids, from, ...others } = (Array.isArray(entry) ? { ids: entry } : (entry ?? {})) as { ids?: unknown; from?: unknown };
    if (!Array.isArray(ids) || !ids.every(isId) || Object.keys(others).length > 0) throw wrong;
    if (from !== undefined && (!isId(from) || from === 0)) throw wrong;
    return { ids: ids as number[], ...(from === undefined ? {} : { from: from as number }) };
  });
}

const digits = (value: number, n = 4): string => (Number.isFinite(value) ? value.toFixed(n) : "unknown");

/** What was measured, a line each. */
export function formatPerplexity(result: PerplexityResult): string {
  const { tokens, loss, comparison: c } = result;
  const lines = [
    `tokens scored      ${tokens}`,
    `loss               ${digits(loss.value)} ± ${digits(loss.error)} nats per token`,
    `perplexity         ${digits(result.perplexity)} ± ${digits(result.perplexityError)}`,
  ];
  if (c)
    lines.push(
      `base perplexity    ${digits(c.basePerplexity)}`,
      `ratio              ${digits(c.perplexityRatio)}; loss difference, paired, ${digits(c.lossDifference.value, 5)} ± ${digits(c.lossDifference.error, 5)}`,
      `KL(base ‖ model)   mean ${c.kl.value.toExponential(3)} ± ${c.kl.error.toExponential(1)}, median ${c.kl.median.toExponential(3)}, 99 % ${c.kl.p99.toExponential(3)}, largest ${c.kl.max.toExponential(3)}`,
      `same likeliest id  ${digits(100 * c.sameTop.value, 2)} ± ${digits(100 * c.sameTop.error, 2)} %`,
      `Δp of the right id mean ${digits(100 * c.deltaP.value, 3)} ± ${digits(100 * c.deltaP.error, 3)} %, RMS ${digits(100 * c.deltaP.rms, 3)} %, 1 % ${digits(100 * c.deltaP.p1, 2)} %, 99 % ${digits(100 * c.deltaP.p99, 2)} %`,
    );
  return lines.join("\n");
}

export const perplexity: Command = {
  help: `usage: gureum perplexity [DIR|NAME] --text FILE | --ids FILE.json [options]

How well a model (a folder, or a name on the hub; default: the small one that comes with gureum) predicts a text: exp of the mean of −log p of each
token given those before it. Every token but the first is scored once.

  --text FILE                 the text; "-" reads it from stdin
  --ids FILE.json             sequences of ids instead: [[1, 2, 3], {"ids": [4, 5, 6], "from": 2}]
  --context N                 tokens in a window (default: the model's limit, at most ${DEFAULT_WINDOW})
  --stride N                  tokens from one window to the next (default: half the context)
  --against DIR2|NAME2        a base model on the same tokens: KL divergence, same likeliest token, change of p
  --a WAY --b WAY             where the base and the model compute: ${ways.join(", ")}
                              (default: auto); two ways without --against compare the model with itself
${adapterHelp}
  --html FILE                 also a page with histograms
  --json                      print one JSON object`,
  async run(args) {
    const names = ["text", "ids", "context", "stride", "against", "a", "b", "html"] as const;
    const options = Object.fromEntries(names.map((name) => [name, { type: "string" as const }]));
    const words = parseWords("perplexity", args, { ...options, ...adapterOptions, json: { type: "boolean" } }, 1);
    const [textPath, idsPath] = [words.text("text"), words.text("ids")];
    if ((textPath === undefined) === (idsPath === undefined)) throw usage("perplexity", "give --text or --ids");
    const place = words.positionals[0] ?? embeddedModel();
    const compares = words.text("against") !== undefined || words.text("a") !== undefined;
    const b = wayOf(words, "b") ?? { backend: "auto" };
    const a = wayOf(words, "a") ?? b;
    if ([b, ...(compares ? [a] : [])].every(({ backend }) => backend === "cpu"))
      refuseIdle("perplexity", words, ["adapter"], "chooses among WebGPU's: not with the cpu alone");
    const [askedContext, askedStride] = [wholeNumber(words, "context"), wholeNumber(words, "stride")];
    await checkOutputs("perplexity", words, ["html"]);
    const path = textPath ?? idsPath!;
    const content = await readText(path);
    const given = textPath === undefined ? parseTexts(path, parseJson(path, content)) : undefined;

    const checkContext = ({ config }: ModelPrompts): void => {
      const limit = contextLimit(config);
      if (askedContext !== undefined && askedContext > limit)
        throw usage("perplexity", `--context is at most ${limit}, the model's limit; got ${askedContext}`);
    };
    let texts: readonly EvaluatedText[] = given ?? [];
    const plan = (prompts: ModelPrompts): void => {
      checkContext(prompts);
      const { vocabSize } = prompts.config;
      for (const [i, { ids }] of texts.entries()) within(`${path} > ${i}`, () => checkIds(ids, vocabSize));
      if (!given) texts = [{ ids: prompts.encodePrompt({ text: content }) }];
      const context = askedContext ?? defaultWindow(contextLimit(prompts.config));
      planScoring(texts, vocabSize, { context, stride: askedStride ?? defaultStride(context) });
    };
    type Before = (prompts: ModelPrompts) => void;
    const load = async (from: string, way: Way, needs: "ids" | "text", before: Before): Promise<LoadedModel> => {
      const loaded = await loadModel(await modelPlace(from), {
        ...way,
        ...(way.backend === "cpu" ? {} : adapterFromWords(words)),
        needs,
        before,
        onProgress: progressBar("loading"),
      });
      if (way.backend === "auto") note(`backend: ${loaded.backend} (${loaded.backendReason})`);
      return loaded;
    };
    const model = await load(place, b, given ? "ids" : "text", plan);
    let base: LoadedModel | undefined;
    try {
      if (compares) base = await load(words.text("against") ?? place, a, "ids", checkContext);
      const bar = progressBar("scoring");
      const result = await model.perplexity(texts, {
        ...(askedContext === undefined ? {} : { context: askedContext }),
        ...(askedStride === undefined ? {} : { stride: askedStride }),
        ...(base ? { base } : {}),
        onProgress: bar,
      });
      const { perToken: _, ...figures } = result;
      if (words.flag("json")) await printJson({ backend: model.backend, ...(base ? { baseBackend: base.backend } : {}), ...figures });
      else await printLine(formatPerplexity(result));
      const html = words.text("html");
      if (html !== undefined) {
        const page = perplexityPage(
          result,
          `${place} on ${path}${base ? ` against ${words.text("against") ?? place}` : ""}`,
          formatPerplexity(result),
        );
        await writeFile(html, (sink) => sink(new TextEncoder().encode(page)));
        note(`wrote ${html}`);
      }
      return 0;
    } finally {
      base?.dispose();
      model.dispose();
    }
  },
};
