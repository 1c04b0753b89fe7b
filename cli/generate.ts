/** `gureum generate`: raw continuation of a text, with a receipt where one is asked for. */
import { contextLimit } from "../core/generate/generate.ts";
import { modelFiles, sha256 } from "../core/host/hash.ts";
import { directoryStore } from "../core/host/node.ts";
import { writeFile } from "../core/host/write.ts";
import type { SamplingOptions } from "../core/model/engine.ts";
import { makeReceipt } from "../core/receipt.ts";
import { greedy } from "../core/sample/sampler.ts";
import { generateLines } from "./generate-lines.ts";
import {
  generateOptions,
  modelFromWords,
  modelHelp,
  modelOptions,
  noteIdle,
  noteSampling,
  refuseTextOptions,
  runOptions,
  samplingHelp,
  samplingOptions,
  textInput,
} from "./options.ts";
import { checkOutputs } from "./outputs.ts";
import { modelPlace } from "./place.ts";
import { progressBar } from "./progress.ts";
import { runGeneration } from "./run.ts";
import { note } from "./terminal.ts";
import { textFromWords, textHelp, textOptions } from "./text.ts";
import { type Command, parseIds, parseWords, usage } from "./words.ts";

export const generate: Command = {
  help: `usage: gureum generate TEXT | --file FILE [options]
       gureum generate --ids 1,2,3 [options]      a model whose tokenizer cannot be read runs on ids, and answers in them
       gureum generate --jsonl FILE|- [options]   many: a prompt a line in, a result a line out

${textHelp}
  --special-tokens            read special tokens in TEXT as such ("<s>" is one token); without it they are plain text
  --no-bos                    do not put the beginning-of-text token first
  --jsonl FILE                prompts a line ("-": from stdin): a JSON string, or an object with prompt, messages or ids, and what it
                              wants otherwise: maxNewTokens, temperature, topK, topP, minP, repetitionPenalty, seed, greedy, stop, stopIds,
                              topLogprobs, specialTokens, addBos; id and meta are carried to the result
  --out FILE                  results go there instead of to stdout
  --resume                    go on with --out: lines that it answers are not run again
  --batch N                   sequences computed at once (default: as many as are worth it and fit)
  --receipt FILE              with --arithmetic exact: write what \`gureum verify\` checks on any device
${modelHelp}
${samplingHelp}`,
  async run(args) {
    const words = parseWords(
      "generate",
      args,
      {
        ...modelOptions,
        ...samplingOptions,
        ...textOptions,
        ids: { type: "string" },
        "no-bos": { type: "boolean" },
        "special-tokens": { type: "boolean" },
        receipt: { type: "string" },
        jsonl: { type: "string" },
        out: { type: "string" },
        resume: { type: "boolean" },
        batch: { type: "string" },
      },
      1,
    );
    const options = runOptions("generate", words);
    const idsText = words.text("ids");
    const [word] = words.positionals;
    const many = words.text("jsonl") !== undefined;
    const unfit = many
      ? (["ids", "file", "receipt"].find((name) => words.text(name) !== undefined) ?? ["json", "stats"].find((name) => words.flag(name)))
      : (["out", "batch"].find((name) => words.text(name) !== undefined) ?? ["resume"].find((name) => words.flag(name)));
    if (unfit !== undefined) throw usage("generate", many ? `--${unfit} is not for --jsonl` : `--${unfit} is for --jsonl`);
    if (many && word !== undefined) throw usage("generate", "give TEXT or --jsonl, not both");
    if (many) return generateLines(words, options);
    if (word !== undefined && idsText !== undefined) throw usage("generate", "give TEXT or --ids, not both");
    if (idsText !== undefined) refuseTextOptions("generate", words);
    const ids = idsText === undefined ? undefined : parseIds("generate", idsText);
    const receipt = words.text("receipt");
    if (receipt !== undefined && words.text("arithmetic") !== "exact")
      throw usage("generate", "--receipt needs --arithmetic exact: no other arithmetic has the same bits everywhere");
    const text = await textFromWords("generate", words, word, idsText !== undefined);
    if (text === undefined && idsText === undefined) throw usage("generate", "the text to continue is missing");
    const input = ids ? { ids } : textInput(text!, words);
    await checkOutputs("generate", words, ["receipt"]);
    const model = await modelFromWords("generate", words, ids ? "ids" : "text", ({ check }) => check(input, generateOptions(options)));
    try {
      noteSampling(model, options);
      noteIdle(model, options);
      const answer = await runGeneration(model, input, options);
      if (receipt !== undefined) {
        const prompt = model.encodePrompt(input);
        const context = Math.min(contextLimit(model.config), prompt.length + options.maxNewTokens);
        const files = await modelFiles(directoryStore(await modelPlace(words.text("model"))), progressBar("hashing the model"));
        const sampling = { ...(options.greedy ? greedy : model.samplingDefaults), ...given(options.sampling) };
        const run = { model: files, context, sampling, prompt, ids: answer.ids };
        const made = await makeReceipt(model, sha256, run, progressBar("hashing logits"));
        await writeFile(receipt, (sink) => sink(new TextEncoder().encode(`${JSON.stringify(made, null, 1)}\n`)));
        note(`wrote ${receipt}: ${answer.ids.length} positions`);
      }
      return 0;
    } finally {
      model.dispose();
    }
  },
};

/** The sampling options that were said. */
const given = (sampling: Partial<SamplingOptions>): Partial<SamplingOptions> =>
  Object.fromEntries(Object.entries(sampling).filter(([, value]) => value !== undefined));
