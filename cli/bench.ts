/** `gureum bench`: measures the device, the kernels, a whole model, and compares what was measured. */
import { compareResults } from "../bench/compare.ts";
import { measureCosts, measureLimits } from "../bench/device.ts";
import { makeResults } from "../bench/environment.ts";
import { makeGpuTimer } from "../bench/gpu-timer.ts";
import { defaultPlan, type OnMeasured, type Plan, shortPlan } from "../bench/harness.ts";
import { resultsPage } from "../bench/html.ts";
import { measuredModel } from "../bench/identity.ts";
import { type KernelRows, type KernelSelection, measureKernels } from "../bench/kernels.ts";
import { formatLayerLinears } from "../bench/layer.ts";
import { measureModel } from "../bench/model.ts";
import { type BenchResults, readResults, writeResults, writeText } from "../bench/results.ts";
import { folderName, openShape, shapeNames } from "../bench/shapes.ts";
import { syntheticRefs } from "../bench/synthetic.ts";
import { csvOfComparison, csvOfRows, formatComparison, formatHead, formatRows, formatTokenTimes, type TableStyle } from "../bench/table.ts";
import { gpuIdentity } from "../conformance/certificate/identity.ts";
import { replayCommand } from "../conformance/check.ts";
import { readOwnFiles } from "../conformance/host/own-file.ts";
import { openCheckpoint } from "../core/checkpoint/weights.ts";
import { directoryStore } from "../core/host/node.ts";
import { formatBytes } from "../core/text.ts";
import { closeDevice, type Gpu, openDevice } from "../gpu/device/device.ts";
import { formatOf } from "./format.ts";
import {
  adapterFromWords,
  adapterHelp,
  adapterOptions,
  cpuFromWords,
  cpuHelp,
  cpuOptions,
  variantHelp,
  variantOptions,
  variantsFromWords,
} from "./options.ts";
import { checkOutputs } from "./outputs.ts";
import { ownOptions } from "./own.ts";
import { modelLook, modelPlace } from "./place.ts";
import { progressBar } from "./progress.ts";
import { note, printJson, printLine } from "./terminal.ts";
import { type Command, parseTime, parseWords, refuseIdle, usage, type WordOptions, type Words } from "./words.ts";

const outputOptions: WordOptions = {
  json: { type: "string" },
  html: { type: "string" },
  format: { type: "string" },
  time: { type: "string" },
};
/** Fewer and longer rounds: a sample is a whole prompt, or some hundred tokens. */
const modelPlan: Plan = { warmupMs: 0, minRounds: 3, maxRounds: 20, timeMs: 10_000 };
const cpuPlan: Plan = { warmupMs: 200, minRounds: 5, maxRounds: 15, timeMs: 2000 };
const planOf = ({ capabilities }: Gpu): Plan => (capabilities.software ? shortPlan : defaultPlan);

/** Plans for as long as --time says, warm-ups in proportion; the rounds that a plan wants at least are taken all the same. */
function inTime(command: string, words: Words): (plan: Plan) => Plan {
  const timeMs = parseTime(command, words);
  return (plan) => {
    if (timeMs === undefined) return plan;
    const { warmupMs, flatMs } = plan;
    const part = timeMs / plan.timeMs;
    return { ...plan, timeMs, warmupMs: warmupMs * part, ...(flatMs === undefined ? {} : { flatMs: flatMs * part }) };
  };
}

const help = `usage: gureum bench device [options]
       gureum bench kernels [options]
       gureum bench model DIR|NAME | --synthetic SHAPE [options]
       gureum bench peers DIR|NAME [options]
       gureum bench compare A.json B.json

device: measured limits of this WebGPU device: reading, copying, arithmetic, and what dispatch, encoding, submission and fence cost
kernels: every kernel and variant on a model's real shapes: time, bytes and operations a second, share of the measured limit
  --filter P                  only rows whose name contains P; * stands for anything
  --shape SHAPE               ${shapeNames.join(", ")},
                              or the path of a config.json, or a folder or name of a model (default: solar-10.7b)
  --rows N,N,…                rows fed at once (default: 1,16,512,2048; on the CPU 1,16)
  --variant NAME              only this kernel or variant; may be repeated
  --with FILE                 a kernel of one's own (.js, .mjs; .ts where the host reads it), in turns with gureum's of the same task, the
                              results of all held to their bounds; may be repeated
  --runs N                    with --with: random cases of results, after all boundary cases (default: 25)
  --backend webgpu|cpu        the kernels, or the CPU's ops in JavaScript and on WebAssembly in turns (default: webgpu)
  --threads N                 threads of WebAssembly (default: physical cores)
model: load, prefill and decode speed, memory, and where the time of a token goes
  --synthetic SHAPE           no files: weights are made up while loading
  --prompt N,N,…              lengths of prompts (default: 512,2048)
  --new N                     tokens to decode (default: 128)
  --depth N,N,…               positions in the cache where decoding starts (default: 0,2048)
  --sequences N,N,…           also so many sequences together, each of --new tokens at each --depth
  --backend webgpu|cpu        (default: webgpu)
${variantHelp}
${cpuHelp}
peers: gureum on the CPU beside llama.cpp's native code on the same weights, one thread each, in turns; needs
  npm install --no-save node-llama-cpp@3.22.1, and room for GGUF files in the folder for temporary files
  --prompt N                  length of the prompt (default: 64)
  --new N                     tokens to decode (default: 32)
  --filter P                  only peers whose name contains P: llama.cpp f16, llama.cpp q4_0, wllama q4_0, gureum javascript,
                              gureum wasm, gureum wasm fixed16
  --browser PATH              also wllama in this headless Chromium (Linux); needs npm install --no-save @wllama/wllama@3.13.0
compare: how much faster B is than A, row by row, with 95 % intervals

  --time T                    time taken for each group of rows that take turns, and in proportion for warm-ups: 200ms, 10s (default: by
                              kind, 100 ms on a software device to 10 s for a model)
  --format F                  what is printed: table, markdown, csv (numbers in full) or json (default: table)
${adapterHelp}
  --json FILE                 write results for \`compare\`
  --html FILE                 write a page with table and roofline plot
DIR is a model's folder, NAME a name on the hub: org/name[@revision].
docs/benchmarking.md says what the columns mean.`;

/** "1,16" as whole numbers of at least `least`. */
function counts(command: string, words: Words, name: string, least: number, fallback: readonly number[]): readonly number[] {
  const text = words.text(name);
  if (text === undefined) return fallback;
  return text.split(",").map((part) => {
    if (!/^\d{1,7}$/.test(part) || Number(part) < least)
      throw usage(command, `--${name} takes whole numbers from ${least}, got ${JSON.stringify(text)}`);
    return Number(part);
  });
}

/** As `counts`, for an option of one number. */
function count(command: string, words: Words, name: string, least: number, fallback: number): number {
  const [value, ...more] = counts(command, words, name, least, [fallback]);
  if (more.length > 0) throw usage(command, `--${name} takes one number, got ${JSON.stringify(words.text(name))}`);
  return value!;
}

function backendOf(command: string, words: Words): "webgpu" | "cpu" {
  const backend = words.text("backend") ?? "webgpu";
  if (backend !== "webgpu" && backend !== "cpu") throw usage(command, `--backend is webgpu or cpu, got ${JSON.stringify(backend)}`);
  if (backend === "cpu") refuseIdle(command, words, ["adapter"], "chooses among WebGPU's: not with --backend cpu");
  return backend;
}

async function withGpu<T>(words: Words, body: (gpu: Gpu) => Promise<T>): Promise<T> {
  const gpu = await openDevice({ robustness: false, ...adapterFromWords(words) });
  try {
    return await body(gpu);
  } finally {
    closeDevice(gpu);
  }
}

/** Everything that is known of results, for people. */
function pageOf(results: BenchResults, style: TableStyle): string {
  const { tokenTimes = [], facts = {} } = results;
  const head = formatHead(results);
  const layer = formatLayerLinears(results.rows, style);
  return [
    style === "markdown" ? ["```text", head, "```"].join("\n") : head,
    formatRows(results.rows, style),
    ...(layer === "" ? [] : [layer]),
    ...(tokenTimes.length > 0 ? [formatTokenTimes(tokenTimes, style)] : []),
    ...(results.facts
      ? [
          Object.entries(facts)
            .map(([name, bytes]) => `${style === "markdown" ? "- " : ""}${name}: ${formatBytes(bytes)}`)
            .join("\n"),
        ]
      : []),
  ].join("\n\n");
}

/** Results to stdout, files where they are asked for. */
async function report(words: Words, results: BenchResults): Promise<void> {
  const format = formatOf("bench", words);
  if (format === "json") await printJson(results);
  else if (format === "csv") await printLine(csvOfRows(results.rows));
  else await printLine(pageOf(results, format));
  for (const { name, reason } of results.skipped ?? []) note(`skipped ${name}: ${reason}`);
  const [json, html] = [words.text("json"), words.text("html")];
  if (json !== undefined) await writeResults(json, results);
  if (html !== undefined) await writeText(html, resultsPage(results));
}

/** While the device's limits are measured. */
const limitsBar = (): OnMeasured => progressBar("measuring the device: what it can do");

async function runDevice(args: string[]): Promise<number> {
  const words = parseWords("bench device", args, { ...outputOptions, ...adapterOptions }, 0);
  formatOf("bench device", words);
  const timed = inTime("bench device", words);
  await checkOutputs("bench device", words, ["json", "html"]);
  const results = await withGpu(words, async (gpu) => {
    const timer = await makeGpuTimer(gpu);
    try {
      const plan = timed(planOf(gpu));
      const { limits, rows } = await measureLimits(timer, plan, limitsBar());
      const costs = await measureCosts(timer, plan, progressBar("measuring the device: what it costs to ask"));
      return await makeResults(["device", ...args], gpuIdentity(gpu), limits, [...rows, ...costs]);
    } finally {
      timer.close();
    }
  });
  await report(words, results);
  return 0;
}

async function runKernels(args: string[]): Promise<number> {
  const words = parseWords(
    "bench kernels",
    args,
    {
      ...outputOptions,
      ...adapterOptions,
      filter: { type: "string" },
      shape: { type: "string" },
      rows: { type: "string" },
      variant: { type: "string", multiple: true },
      backend: { type: "string" },
      threads: { type: "string" },
      with: { type: "string", multiple: true },
      runs: { type: "string" },
    },
    0,
  );
  const backend = backendOf("bench kernels", words);
  formatOf("bench kernels", words);
  const timed = inTime("bench kernels", words);
  await checkOutputs("bench kernels", words, ["json", "html"]);
  if (backend !== "cpu") refuseIdle("bench kernels", words, ["threads"], "is WebAssembly's: with --backend cpu");
  if (!words.has("with")) refuseIdle("bench kernels", words, ["runs"], "goes with --with");
  const selection: KernelSelection = {
    rows: counts("bench kernels", words, "rows", 1, backend === "cpu" ? [1, 16] : [1, 16, 512, 2048]),
    shape: await openShape(words.text("shape") ?? "solar-10.7b", modelLook),
    filter: words.text("filter") ?? "",
    variants: words.list("variant"),
    ...ownOptions(await readOwnFiles(words.list("with"))),
    runs: count("bench kernels", words, "runs", 0, 25),
  };
  if (selection.own && backend === "cpu") throw usage("bench kernels", "--with runs kernels on WebGPU, not with --backend cpu");
  const model = measuredModel(selection.shape.name, selection.shape.config);
  const bar = progressBar("measuring");
  if (backend === "cpu") {
    const { measureCpu } = await import("../bench/cpu.ts");
    const { limits, rows } = await measureCpu(selection, timed(cpuPlan), cpuFromWords("bench kernels", words), bar);
    await report(words, await makeResults(["kernels", ...args], undefined, limits, rows, { model }));
    return 0;
  }
  let wrong: KernelRows["violations"] = [];
  const results = await withGpu(words, async (gpu) => {
    const timer = await makeGpuTimer(gpu);
    try {
      const plan = timed(planOf(gpu));
      const { limits } = await measureLimits(timer, plan, limitsBar());
      const { rows, skipped, violations } = await measureKernels(timer, selection, limits, plan, bar);
      wrong = violations;
      return await makeResults(["kernels", ...args], gpuIdentity(gpu), limits, rows, { model, skipped });
    } finally {
      timer.close();
    }
  });
  await report(words, results);
  for (const violation of wrong) {
    note(`${violation.kernel} computes something else than its op: ${violation.message}`);
    note(
      `  ${replayCommand(
        violation,
        words.list("with").flatMap((path) => ["--with", path]),
      )}`,
    );
  }
  return wrong.length > 0 ? 1 : 0;
}

async function runModel(args: string[]): Promise<number> {
  const words = parseWords(
    "bench model",
    args,
    {
      ...outputOptions,
      ...adapterOptions,
      synthetic: { type: "string" },
      prompt: { type: "string" },
      new: { type: "string" },
      depth: { type: "string" },
      sequences: { type: "string" },
      backend: { type: "string" },
      ...variantOptions,
      ...cpuOptions,
    },
    1,
  );
  const backend = backendOf("bench model", words);
  if (backend === "webgpu") refuseIdle("bench model", words, ["ops", "threads"], "is the CPU's: with --backend cpu");
  else {
    const isOfGpu = !["auto", "fixed16", "exact"].includes(words.text("arithmetic") ?? "auto");
    refuseIdle("bench model", words, ["kv-cache", "kernel", ...(isOfGpu ? ["arithmetic"] : [])], "is WebGPU's: not with --backend cpu");
  }
  formatOf("bench model", words);
  const timed = inTime("bench model", words);
  await checkOutputs("bench model", words, ["json", "html"]);
  const [path] = words.positionals;
  const synthetic = words.text("synthetic");
  if ((path === undefined) === (synthetic === undefined)) throw usage("bench model", "give a model folder or --synthetic SHAPE");
  const sizes = {
    prompts: counts("bench model", words, "prompt", 1, [512, 2048]),
    newTokens: count("bench model", words, "new", 1, 128),
    depths: counts("bench model", words, "depth", 0, [0, 2048]),
    sequences: counts("bench model", words, "sequences", 1, []),
    variants: variantsFromWords("bench model", words),
    cpu: cpuFromWords("bench model", words),
  };
  const source =
    path === undefined
      ? await openShape(synthetic!, modelLook).then(({ name, config }) => ({ name, config, refs: syntheticRefs(config), async close() {} }))
      : { name: folderName(path), ...(await openCheckpoint(directoryStore(await modelPlace(path)))) };
  const model = measuredModel(source.name, source.config, source.refs);
  const bars = { onProgress: progressBar("loading"), onMeasured: progressBar("measuring") };
  const measured = async (gpu: Gpu | undefined): Promise<BenchResults> => {
    const timer = gpu && (await makeGpuTimer(gpu));
    try {
      const limits = timer ? (await measureLimits(timer, timed(planOf(timer.gpu)), limitsBar())).limits : { operationsPerSecond: {} };
      const { rows, tokenTimes, facts } = await measureModel({ ...source, ...sizes }, gpu, limits, timed(modelPlan), bars);
      return await makeResults(["model", ...args], gpu && gpuIdentity(gpu), limits, rows, { model, tokenTimes, facts });
    } finally {
      timer?.close();
    }
  };
  try {
    await report(words, backend === "cpu" ? await measured(undefined) : await withGpu(words, measured));
  } finally {
    await source.close();
  }
  return 0;
}

async function runCompare(args: string[]): Promise<number> {
  const words = parseWords("bench compare", args, { format: { type: "string" } }, 2);
  const format = formatOf("bench compare", words);
  const [a, b] = words.positionals;
  if (a === undefined || b === undefined) throw usage("bench compare", "give two files that --json wrote");
  const comparison = compareResults(await readResults(a), await readResults(b));
  if (format === "json") await printJson(comparison);
  else await printLine(format === "csv" ? csvOfComparison(comparison) : formatComparison(comparison, format));
  return comparison.rows.length === 0 ? 1 : 0;
}

async function runPeers(args: string[]): Promise<number> {
  const words = parseWords(
    "bench peers",
    args,
    { ...outputOptions, prompt: { type: "string" }, new: { type: "string" }, browser: { type: "string" }, filter: { type: "string" } },
    1,
  );
  const timed = inTime("bench peers", words);
  await checkOutputs("bench peers", words, ["json", "html"]);
  const [path] = words.positionals;
  if (path === undefined) throw usage("bench peers", "give a model folder");
  const prompt = count("bench peers", words, "prompt", 1, 64);
  const newTokens = count("bench peers", words, "new", 1, 32);
  const browser = words.text("browser");
  const checkpoint = await openCheckpoint(directoryStore(await modelPlace(path)));
  const { config, refs } = checkpoint;
  try {
    const { measurePeers } = await import("../bench/peers.ts");
    const rows = await measurePeers(
      { name: path, config, refs, prompt, newTokens, ...(browser === undefined ? {} : { browser }), filter: words.text("filter") ?? "" },
      timed(modelPlan),
      note,
    );
    await report(
      words,
      await makeResults(["peers", ...args], undefined, { operationsPerSecond: {} }, rows, { model: measuredModel(path, config) }),
    );
  } finally {
    await checkpoint.close();
  }
  return 0;
}

const parts: Readonly<Record<string, (args: string[]) => Promise<number>>> = {
  device: runDevice,
  kernels: runKernels,
  model: runModel,
  peers: runPeers,
  compare: runCompare,
};

export const bench: Command = {
  help,
  async run([part, ...args]) {
    const run = part === undefined ? undefined : Object.entries(parts).find(([name]) => name === part)?.[1];
    if (!run)
      throw usage(
        "bench",
        `the first word is one of ${Object.keys(parts).join(", ")}${part === undefined ? "" : `, got ${JSON.stringify(part)}`}`,
      );
    return run(args);
  },
};
