/** `gureum quantize`: a float model folder to an AWQ int4 one, with what it cost. */
import { join } from "node:path";
import { writeFile } from "../core/host/write.ts";
import { linearParts } from "../core/model/layer.ts";
import type { LayerDone } from "../core/quant/quantize-layers.ts";
import { parseChoice } from "../core/quant/search/settings.ts";
import { methods } from "../core/quant/search/stages.ts";
import type { Written } from "../core/quant/train/own-text.ts";
import type { StepDone } from "../core/quant/train/whole.ts";
import { encodeUtf8 } from "../core/utf8.ts";
import { quantize as quantizeModel } from "../index.ts";
import { oneOf } from "./options.ts";
import { talk } from "./place.ts";
import { progressBar } from "./progress.ts";
import { lossTable, quantizePage } from "./quantize-page.ts";
import { note, printJson, printLine } from "./terminal.ts";
import { type Command, parseWords, usage } from "./words.ts";

/** "1 h 05 min", "3 min", "20 s" */
function duration(seconds: number): string {
  if (seconds < 90) return `${Math.ceil(seconds)} s`;
  const minutes = Math.round(seconds / 60);
  return minutes < 90 ? `${minutes} min` : `${Math.floor(minutes / 60)} h ${`${minutes % 60}`.padStart(2, "0")} min`;
}

/** A line for each layer: what it took, what it lost, how long the rest will take. */
function layerNotes(): (done: LayerDone) => void {
  let last = performance.now();
  let computed = 0;
  let seconds = 0;
  return ({ layer, layers, resumed, losses }) => {
    const took = (performance.now() - last) / 1000;
    last = performance.now();
    const mean = (which: "nearest" | "quantized"): string =>
      ((1000 * linearParts.reduce((sum, { name }) => sum + losses[name][which], 0)) / linearParts.length).toPrecision(3);
    if (!resumed) {
      computed++;
      seconds += took;
    }
    const left = layers - 1 - layer;
    const rest = left > 0 && computed > 0 ? `, about ${duration((left * seconds) / computed)} left` : "";
    const how = resumed ? "done before" : `${took.toFixed(1)} s`;
    note(`layer ${layer + 1} of ${layers}: ${how}, mean loss ${mean("nearest")} → ${mean("quantized")} ‰${rest}`);
  };
}

/** How long the rest of some work will take, from its first report on: ", about 20 s left", or nothing where that cannot be said. */
function timeLeft(): (done: number, of: number) => string {
  let first: { readonly done: number; readonly at: number } | undefined;
  return (done, of) => {
    const now = performance.now();
    first ??= { done, at: now };
    const seconds = ((now - first.at) / 1000) * ((of - done) / (done - first.done));
    return done > first.done && done < of ? `, about ${duration(seconds)} left` : "";
  };
}

/** A line for each tenth of the text that the float model writes. */
function writingNotes(): (written: Written) => void {
  const left = timeLeft();
  let said = 0;
  return ({ tokens, of }) => {
    const rest = left(tokens, of);
    const tenths = Math.floor((10 * tokens) / of);
    if (tenths === said) return;
    said = tenths;
    note(`text by the float model: ${tokens} of ${of} tokens${rest}`);
  };
}

/** A line for some of the steps: how far the texts of late are from the float model, how long the rest will take. */
function stepNotes(): (done: StepDone) => void {
  const left = timeLeft();
  let sum = 0;
  let count = 0;
  return ({ step, steps, kl }) => {
    sum += kl;
    count++;
    const rest = left(step, steps);
    if (step % Math.ceil(steps / 20) !== 0 && step !== steps) return;
    note(`step ${step} of ${steps}: KL ${(sum / count).toFixed(5)}${rest}`);
    sum = 0;
    count = 0;
  };
}

export const quantize: Command = {
  help: `usage: gureum quantize DIR|NAME DST [options]

Writes a float model, of a folder or by its name on the hub, as AWQ int4 (AutoAWQ's GEMM layout) to the new folder DST, with its tokenizer and other small
files and gureum-quantize.json, which says what each linear lost. A run that was ended goes on when the same command is given again;
until all is done its work lies in DST.unfinished.

  --method ${Object.keys(methods).join("|")}
                              plain rounding; AutoAWQ's choices; those, error compensation and, for models of at most
                              2^24 weights in their linears, training through the whole model (default: awq)
  --bits 4|3|2                values of a weight are 2^bits; below 4 the words stay 4 bits wide: to measure, not to save (default: 4)
  --group-size N              inputs that share a scale (default: 128)
  --calibration FILE|builtin  text that weights are fitted to: .jsonl (a text, {"text"}, {"messages"} or {"ids"} in each line), .json
                              (a list of the same), or plain text (default: builtin, a little Korean and English)
  --samples N --tokens N      at most N blocks of N tokens of it (default: 128 of 512)
  --set NAME=VALUE            one choice on top of the method's; may be repeated: ${Object.keys(methods.best).join(", ")}
  --threads N                 threads (default: physical cores); the same bytes for every N
  --backend auto|cpu|webgpu   where rtn and awq search, large products of the others, and training; auto is a GPU where there is one
                              (default: cpu; f32 gives other bits)
  --adapter NAME|N            which of several GPUs: with it, auto means webgpu
  --shard-bytes N             bytes of a shard, at most (default: 5 GB)
  --report                    also gureum-quantize.html, a page with a heat map
  --json                      print the report as one JSON object`,
  async run(args) {
    const texts = [
      "method",
      "bits",
      "group-size",
      "calibration",
      "samples",
      "tokens",
      "threads",
      "backend",
      "adapter",
      "shard-bytes",
    ] as const;
    const options = Object.fromEntries(texts.map((name) => [name, { type: "string" as const }]));
    const words = parseWords(
      "quantize",
      args,
      { ...options, set: { type: "string", multiple: true }, report: { type: "boolean" }, json: { type: "boolean" } },
      2,
    );
    const [from, to] = words.positionals;
    if (from === undefined || to === undefined) throw usage("quantize", "give the folder of a float model and the folder to write");
    const method = oneOf("quantize", words, "method", Object.keys(methods) as (keyof typeof methods)[]);
    const backend = oneOf("quantize", words, "backend", ["auto", "cpu", "webgpu"]);
    const name = words.text("adapter");
    const adapter = name !== undefined && /^\d+$/.test(name) ? Number(name) : name;
    const number = (name: (typeof texts)[number]): number | undefined => words.number(name);
    const bits = number("bits");
    if (bits !== undefined && bits !== 2 && bits !== 3 && bits !== 4) throw usage("quantize", `--bits is 4, 3 or 2, got ${bits}`);
    const counts = { groupSize: number("group-size"), samples: number("samples"), tokens: number("tokens"), threads: number("threads") };
    const maxShardBytes = number("shard-bytes");
    for (const [name, value] of Object.entries({ ...counts, maxShardBytes }))
      if (value !== undefined && (!Number.isSafeInteger(value) || value < 1))
        throw usage("quantize", `${name} is a whole number from 1, got ${value}`);
    const calibration = words.text("calibration");
    const given = Object.entries({ method, bits, calibration, backend, adapter, maxShardBytes, ...counts }).filter(
      ([, value]) => value !== undefined,
    );
    const report = await quantizeModel(from, {
      ...talk(),
      to,
      ...Object.fromEntries(given),
      settings: Object.fromEntries(words.list("set").map((word) => parseChoice("quantize: --set", word))),
      onLayer: layerNotes(),
      onStep: progressBar("quantizing"),
      onTraining: stepNotes(),
      onWriting: writingNotes(),
    });
    if (words.flag("report")) {
      const page = quantizePage(report, `${from} to ${to}`);
      await writeFile(join(to, "gureum-quantize.html"), (sink) => sink(encodeUtf8(page)));
    }
    if (words.flag("json")) await printJson(report);
    else {
      await printLine(lossTable(report));
      await printLine("squared error of the outputs on the calibration tokens, in thousandths: plain rounding → as written");
      if (report.rounded.numbers > 0)
        note(
          `${report.rounded.numbers} numbers in ${report.rounded.tensors} tensors beside the linears are not numbers of float16 and were rounded`,
        );
    }
    note(`wrote ${to}`);
    return 0;
  },
};
