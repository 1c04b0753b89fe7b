/** `gureum diff`: runs a text on two backends, judges every step, names the first that is wrong. */
import { describeWorst } from "../conformance/compare.ts";
import {
  type Diff,
  type DiffSide,
  type DiffStep,
  diffModels,
  isAstray,
  UNWATCHED_LIMIT,
  type Unwatched,
} from "../conformance/watch/diff.ts";
import { diffExact } from "../conformance/watch/exact-diff.ts";
import { type Checkpoint, openCheckpoint } from "../core/checkpoint/weights.ts";
import { contextLimit } from "../core/generate/generate.ts";
import { directoryStore } from "../core/host/node.ts";
import { nodeThreads } from "../core/host/node-threads.ts";
import { checkFeed } from "../core/model/session.ts";
import { closeDevice, type Gpu, openDevice } from "../gpu/device/device.ts";
import { loadExactGpuModel } from "../gpu/model/exact.ts";
import { loadGpuModel } from "../gpu/model/model.ts";
import { openTokenizer } from "../index.ts";
import { loadCpuModel } from "../wasm/model.ts";
import {
  adapterFromWords,
  adapterHelp,
  adapterOptions,
  cpuFromWords,
  cpuHelp,
  cpuOptions,
  modelWord,
  variantHelp,
  variantOptions,
  variantsFromWords,
} from "./options.ts";
import { modelPlace } from "./place.ts";
import { progressBar } from "./progress.ts";
import { breathe, printJson, printLine } from "./terminal.ts";
import { textFromWords, textHelp, textOptions } from "./text.ts";
import { type Command, parseIds, parseWords, refuseIdle, usage } from "./words.ts";

export const diff: Command = {
  help: `usage: gureum diff --text T | --file FILE | --ids 1,2,3 [options]

Runs the same tokens on two backends. Every step of each is held to the bound of its arithmetic, given the inputs it had; the first
step beyond its bound is where the fault is. Exit code 1 where there is one. Steps that are watched run one by one in f32 on WebGPU, on
the weights and the cache that the options give. The fused kernels, which show no steps, run afterwards on the same tokens: a KL divergence
of their logits from the CPU's beyond ${UNWATCHED_LIMIT} is exit code 1 too. With
--arithmetic exact every word is compared with every word, and the first that differs names the step.

${modelWord}
${textHelp}
  --a cpu|webgpu              one side (default: cpu)
  --b cpu|webgpu              the other (default: webgpu)
${adapterHelp}
${variantHelp}
${cpuHelp}
  --all                       print every step, not only the worst of each op
  --json                      print one JSON object`,
  async run(args) {
    const words = parseWords(
      "diff",
      args,
      {
        model: { type: "string" },
        ...adapterOptions,
        ...variantOptions,
        ...cpuOptions,
        ...textOptions,
        text: { type: "string" },
        ids: { type: "string" },
        a: { type: "string" },
        b: { type: "string" },
        all: { type: "boolean" },
        json: { type: "boolean" },
      },
      0,
    );
    const sides = [words.text("a") ?? "cpu", words.text("b") ?? "webgpu"] as const;
    for (const side of sides)
      if (side !== "cpu" && side !== "webgpu") throw usage("diff", `a side is cpu or webgpu, got ${JSON.stringify(side)}`);
    const exact = words.text("arithmetic") === "exact";
    if (!sides.includes("webgpu"))
      refuseIdle(
        "diff",
        words,
        ["adapter", "kv-cache", "kernel", ...(exact ? [] : ["arithmetic"])],
        "is WebGPU's: not with two sides on the CPU",
      );
    if (exact) refuseIdle("diff", words, ["all"], "prints bounds of steps: not with --arithmetic exact, which has none");
    const idsText = words.text("ids");
    if (idsText !== undefined && words.text("text") !== undefined) throw usage("diff", "give --text or --ids, not both");
    const text = await textFromWords("diff", words, words.text("text"), idsText !== undefined);
    if (text === undefined && idsText === undefined) throw usage("diff", "give --text, --file or --ids");
    const folder = await modelPlace(words.text("model"));
    const ids = idsText !== undefined ? parseIds("diff", idsText) : await encode(folder, text!);
    const variants = variantsFromWords("diff", words);
    const checkpoint = await openCheckpoint(directoryStore(folder));
    checkFeed(checkpoint.config, 0, contextLimit(checkpoint.config), ids);
    const gpu = sides.includes("webgpu") ? await openDevice({ robustness: false, ...adapterFromWords(words) }) : undefined;
    try {
      if (variants.arithmetic === "exact")
        return await exactDiff(sides, checkpoint, gpu, cpuFromWords("diff", words), ids, words.flag("json"));
      const { model: cpu, weights } = await loadCpuModel(checkpoint.config, checkpoint.refs, {
        host: nodeThreads(),
        ...cpuFromWords("diff", words),
        onProgress: progressBar("loading"),
      });
      const loaded: DiffSide[] = [];
      for (const side of sides) {
        if (side === "cpu") loaded.push({ model: cpu });
        else {
          const model = await loadGpuModel(gpu!, checkpoint.config, checkpoint.refs, { ...variants, onProgress: progressBar("loading") });
          loaded.push({ model, plan: model.plan });
        }
      }
      const bar = progressBar("judging");
      const { steps, unwatched, first } = await diffModels(loaded[0]!, loaded[1]!, weights, ids, async (done, total) => {
        bar(done, total);
        await breathe();
      });
      const device = gpu?.capabilities.description ?? null;
      if (words.flag("json")) await printJson({ a: sides[0], b: sides[1], device, ids, steps, unwatched, first });
      else {
        for (const line of table(words.flag("all") ? steps : worstOfEachOp(steps))) await printLine(line);
        await printLine("");
        if (!first) await printLine(`no step of ${steps.length} exceeds its bound`);
        else {
          const { step, side } = first;
          const kernel = step.kernels[side];
          await printLine(
            `first divergence: ${step.name} (${step.op}${kernel === null ? "" : `, kernel ${kernel}`}) of side ${side} (${sides[side === "a" ? 0 : 1]})`,
          );
          await printLine(`  [${step.shape.join(", ")}], ${describeWorst(step[side]!)}`);
        }
        for (const run of unwatched) for (const line of unwatchedLines(run, first)) await printLine(line);
      }
      cpu.dispose();
      for (const { model } of loaded) model.dispose();
      return first || unwatched.some(isAstray) ? 1 : 0;
    } finally {
      if (gpu) closeDevice(gpu);
      await checkpoint.close();
    }
  },
};

const hex = (word: number): string => `0x${word.toString(16).padStart(8, "0")}`;

/** In exact there is one right answer, to the last bit: the first word that differs names the step. */
async function exactDiff(
  sides: readonly string[],
  { config, refs }: Pick<Checkpoint, "config" | "refs">,
  gpu: Gpu | undefined,
  cpu: ReturnType<typeof cpuFromWords>,
  ids: readonly number[],
  json: boolean,
): Promise<number> {
  const models = await Promise.all(
    sides.map(async (side) => {
      const onProgress = progressBar(`loading (${side})`);
      return side === "cpu"
        ? (await loadCpuModel(config, refs, { host: nodeThreads(), ...cpu, arithmetic: "exact", onProgress })).model
        : loadExactGpuModel(gpu!, config, refs, { onProgress });
    }),
  );
  const bar = progressBar("comparing");
  try {
    const { steps, words, first } = await diffExact(models[0]!, models[1]!, ids, async (done, total) => {
      bar(done, total);
      await breathe();
    });
    const device = gpu?.capabilities.description ?? null;
    if (json) await printJson({ a: sides[0], b: sides[1], device, ids, arithmetic: "exact", steps, words, first });
    else if (!first)
      await printLine(`all ${words} words of ${steps} steps are the same, and so are the logits of runs that nobody watches`);
    else {
      await printLine(`first difference: ${first.name}, ${first.differ} of ${first.words} words`);
      await printLine(`  word ${first.index}: a (${sides[0]}) ${hex(first.a)}, b (${sides[1]}) ${hex(first.b)}`);
    }
    return first ? 1 : 0;
  } finally {
    for (const model of models) model.dispose();
  }
}

/** How an unwatched run compares, and what that says of where the fault is. */
function* unwatchedLines(run: Unwatched, first: Diff["first"]): Generator<string> {
  const { side, way, variant, divergence, sameTop } = run;
  const verdict = isAstray(run) ? ": wrong" : "";
  yield `side ${side} unwatched, ${way} (${variant}): KL ${divergence.toExponential(1)} from the CPU's logits, ${sameTop ? "the same" : "another"} id on top${verdict}`;
  if (!isAstray(run)) return;
  if (first?.side !== side)
    yield `  every watched step of side ${side} holds, so the fault is in kernels of ${variant}: gureum conformance finds it; --kernel avoids it`;
  else
    yield `  side ${side} has a wrong step of its own above: avoid its kernel first (--kernel), then see whether ${variant} is still wrong`;
}

async function encode(folder: string, text: string): Promise<number[]> {
  const tokenizer = await openTokenizer(folder);
  return tokenizer.encode(text, { addBos: tokenizer.addBos });
}

const headroom = (step: DiffStep): number => Math.max(step.a?.headroom ?? 0, step.b?.headroom ?? 0);

function worstOfEachOp(steps: readonly DiffStep[]): DiffStep[] {
  const worst = new Map<string, DiffStep>();
  for (const step of steps) {
    const kind = step.name.slice(step.name.lastIndexOf(".") + 1);
    if (!worst.has(kind) || headroom(step) > headroom(worst.get(kind)!)) worst.set(kind, step);
  }
  return [...worst.values()];
}

function* table(steps: readonly DiffStep[]): Generator<string> {
  const share = (value: number | undefined): string => (value === undefined ? "-" : value.toExponential(1)).padStart(10);
  yield `${"step".padEnd(34)}${"op".padEnd(18)}${"|a - b|".padStart(10)}${"error a".padStart(10)}${"of bound".padStart(10)}${"error b".padStart(10)}${"of bound".padStart(10)}`;
  for (const { name, op, distance, a, b } of steps)
    yield `${name.padEnd(34)}${op.padEnd(18)}${share(distance)}${share(a?.error)}${share(a?.headroom)}${share(b?.error)}${share(b?.headroom)}`;
}
