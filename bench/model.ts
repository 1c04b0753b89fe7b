/**
 * A whole model: how fast it loads, feeds prompts and decodes at several depths of its cache, and where the time of a token goes.
 * Prompts are fed to an empty cache, decoding starts at its depth with greedy sampling and ignores every end-of-text id; the parts
 * take turns as kernels do.
 */

import { host } from "#host";
import { listening } from "../core/arguments.ts";
import { listRefs } from "../core/checkpoint/weights.ts";
import type { LlamaConfig } from "../core/config.ts";
import { GureumError } from "../core/errors.ts";
import { contextLimit } from "../core/generate/generate.ts";
import type { Model, Session } from "../core/model/engine.ts";
import { linearParts } from "../core/model/layer.ts";
import type { LlamaWeightRefs } from "../core/model/weights.ts";
import { greedy } from "../core/sample/sampler.ts";
import type { Gpu } from "../gpu/device/device.ts";
import { makeProfiler, type Profiler, type Watched } from "../gpu/device/profile.ts";
import { loadExactGpuModel } from "../gpu/model/exact.ts";
import { loadGpuModel } from "../gpu/model/model.ts";
import type { VariantOptions } from "../gpu/programs/plan.ts";
import { type CpuOptions, loadCpuModel } from "../wasm/model.ts";
import { type Competitor, cpuMsBy, hostClock, measure, type OnMeasured, type Plan, processCpuMs, type Timing } from "./harness.ts";
import { type Limits, makeRow, type Row, type TokenTime } from "./results.ts";
import { drawAll, fillBatch } from "./sequences.ts";
import { type Recorded, tokenTimeOf } from "./token-time.ts";

/** Which model to measure, and how. */
export interface ModelSelection {
  /** The last word of the names of its rows. */
  readonly name: string;
  /** Its sizes. */
  readonly config: LlamaConfig;
  /** Its weights, not yet read. */
  readonly refs: LlamaWeightRefs;
  /** Lengths of prompts. */
  readonly prompts: readonly number[];
  /** Tokens to decode. */
  readonly newTokens: number;
  /** Positions in the cache where decoding starts. */
  readonly depths: readonly number[];
  /** Numbers of sequences to decode together, at each depth. */
  readonly sequences?: readonly number[];
  /** Which variants are to run on WebGPU; default: those that the device and the model allow. */
  readonly variants?: VariantOptions;
  /** Which ops on the CPU, and how many threads. */
  readonly cpu?: Pick<CpuOptions, "ops" | "threads">;
}

/** What a model's run gave. */
export interface ModelRows {
  /** Loading, prompts, decoding. */
  readonly rows: readonly Row[];
  /** Where the time of a token goes, by depth. */
  readonly tokenTimes: readonly TokenTime[];
  /** Bytes of memory, by what they are of. */
  readonly facts: Readonly<Record<string, number>>;
}

/** Tokens whose time is taken apart, and how often: the run in the middle counts. */
const PROFILED_TOKENS = 32;
const PROFILED_RUNS = 5;

const noLimits: Limits = { operationsPerSecond: {} };

/** Ids that are there whatever the vocabulary: 3, 20, 37, … */
const idsOf = ({ vocabSize }: LlamaConfig, count: number): number[] => Array.from({ length: count }, (_, i) => (3 + i * 17) % vocabSize);

/**
 * One call a sample, of which only what `timed` says counts. With its CPU time where the host computes: that of a process which
 * waits for a GPU, its driver's threads included, says nothing of the rate.
 */
const competitorOf = (gpu: Gpu | undefined, name: string, timed: () => Promise<number>): Competitor => ({
  name,
  timer: "host clock",
  grainMs: 0,
  maxCalls: 1,
  sample: timed,
  ...(gpu ? {} : cpuMsBy(() => cpuSpentMs)),
});

/** CPU time within `clocked` so far. */
let cpuSpentMs = 0;

async function clocked(body: () => Promise<unknown>): Promise<number> {
  const cpuBefore = processCpuMs();
  const started = hostClock.now();
  await body();
  const ms = hostClock.now() - started;
  cpuSpentMs += processCpuMs() - cpuBefore;
  return ms;
}

/** @throws GureumError "context" where prompt, depth and new tokens do not fit the model */
function checkFit({ name, config, prompts, newTokens, depths }: ModelSelection): number {
  const needed = Math.max(...prompts.map((length) => length + 1), ...depths.map((depth) => Math.max(1, depth) + newTokens + 1));
  const limit = contextLimit(config);
  if (needed > limit)
    throw new GureumError("context", {
      where: name,
      what: "prompt, depth and new tokens",
      expected: `at most ${limit} positions`,
      got: `${needed}`,
      remedy: "give smaller --prompt, --depth or --new",
    });
  return needed;
}

/** Puts the session at `depth` positions (one at least), with the logits of the last ready. */
async function goTo(session: Session, depth: number): Promise<void> {
  const wanted = Math.max(1, depth);
  session.truncate(Math.min(session.ids.length, wanted - 1));
  const ids = idsOf(session.model.config, wanted);
  await session.prefill(ids.slice(session.ids.length));
}

/** What a token costs at each depth, part by part: some times as the model runs, once kernel by kernel. */
async function profileDecode(
  { gpu, watch, take }: Profiler,
  session: Session,
  depths: readonly number[],
  count: number,
): Promise<TokenTime[]> {
  const times: TokenTime[] = [];
  const timed = gpu.capabilities.features.includes("timestamp-query");
  const decodeAt = async (depth: number, watched: Watched, tokens: number): Promise<Recorded> => {
    await goTo(session, depth);
    await take();
    watch(watched);
    const wallMs = await clocked(() => session.decode(greedy, tokens));
    watch("nothing");
    return { ...(await take()), wallMs };
  };
  for (const depth of depths) {
    // The first token is drawn from logits that are there: `count` whole passes are those of one token more.
    await decodeAt(depth, "passes", count + 1);
    const all: Recorded[] = [];
    while (all.length < PROFILED_RUNS) all.push(await decodeAt(depth, "passes", count + 1));
    const first = await decodeAt(depth, "passes", 1);
    const kernelsOf = async (tokens: number): Promise<Recorded["kernels"]> => (await decodeAt(depth, "kernels", tokens)).kernels;
    const alone = timed ? { all: await kernelsOf(count + 1), first: await kernelsOf(1) } : undefined;
    times.push(tokenTimeOf(depth, count, { all, first }, alone));
  }
  return times;
}

/** Bytes of weights that a decoded token reads, and operations of the linears in a fed one. The head runs once a prompt. */
function workOf(config: LlamaConfig, refs: LlamaWeightRefs): { readonly tokenBytes: number; readonly tokenOperations: number } {
  const bytes = listRefs(refs).reduce((sum, { byteLength }) => sum + byteLength, 0);
  const embedding = refs.lmHead === refs.embedTokens ? 0 : refs.embedTokens.byteLength;
  const linears = linearParts.reduce((sum, part) => sum + part.inFeatures(config) * part.outFeatures(config), 0);
  return { tokenBytes: bytes - embedding, tokenOperations: 2 * config.numHiddenLayers * linears };
}

/** Who looks on. */
export interface ModelWatch {
  /** Bytes of weights read so far, and in all. */
  readonly onProgress?: (bytesDone: number, bytesTotal: number) => void;
  /** Of what is timed once the model is loaded. */
  readonly onMeasured?: OnMeasured;
}

/**
 * Loads a model and measures prompts, tokens and memory.
 * @param gpu undefined: the CPU
 * @throws GureumError "context", and what loading and running throw
 */
export async function measureModel(
  selection: ModelSelection,
  gpu: Gpu | undefined,
  limits: Limits,
  plan: Plan,
  watch: ModelWatch = {},
): Promise<ModelRows> {
  return listening(watch, ["onProgress", "onMeasured"], (heard) => run(selection, gpu, limits, plan, heard));
}

async function run(
  selection: ModelSelection,
  gpu: Gpu | undefined,
  limits: Limits,
  plan: Plan,
  { onProgress, onMeasured }: ModelWatch,
): Promise<ModelRows> {
  const { name, config, refs, prompts, newTokens, depths, variants, cpu } = selection;
  const maxContext = checkFit(selection);
  const weightBytes = listRefs(refs).reduce((sum, { byteLength }) => sum + byteLength, 0);
  const { tokenBytes, tokenOperations } = workOf(config, refs);
  let peakLoadingBytes = 0;
  const watch = (done: number, total: number): void => {
    peakLoadingBytes = Math.max(peakLoadingBytes, host.memory?.().rss ?? 0);
    onProgress?.(done, total);
  };
  const profiler = gpu && makeProfiler(gpu, hostClock.now);
  const rows: Row[] = [];
  let threads: Pick<Row, "threads"> = {};
  const loadStarted = hostClock.now();
  const load = async (): Promise<Model> => {
    const arithmetic = variants?.arithmetic;
    if (profiler && arithmetic === "exact") return loadExactGpuModel(profiler.gpu, config, refs, { onProgress: watch });
    if (profiler) return loadGpuModel(profiler.gpu, config, refs, { ...variants, onProgress: watch });
    const loaded = await loadCpuModel(config, refs, {
      host: host.threads(),
      ...(arithmetic === "fixed16" || arithmetic === "exact" ? { arithmetic } : {}),
      ...cpu,
      onProgress: watch,
    });
    threads = { threads: loaded.threads };
    return loaded.model;
  };
  const model = await load();
  const loadTiming: Timing = { name: `load ${name}`, timer: "host clock", calls: 1, samplesMs: [hostClock.now() - loadStarted] };
  rows.push(makeRow("model", loadTiming, { bytes: weightBytes }, noLimits));
  const gpuWeightBytes = profiler?.liveBytes() ?? 0;
  let gpuBytes = 0;
  let tokenTimes: readonly TokenTime[] = [];
  let session: Session | undefined;
  try {
    const sequence = model.createSession(maxContext);
    session = sequence;
    const [shortest] = prompts;
    const firstPrompt = idsOf(config, shortest ?? 1);
    const firstMs = await clocked(async () => {
      await sequence.prefill(firstPrompt);
      await sequence.decode(greedy, 1);
    });
    const first: Timing = {
      name: `first token of the process, prompt ${firstPrompt.length} ${name}`,
      timer: "host clock",
      calls: 1,
      samplesMs: [firstMs],
    };
    rows.push({ ...makeRow("model", first, {}, noLimits), ...(gpu ? { note: "with the compilation of pipelines" } : {}) });
    const fromEmpty = async (length: number, also: () => Promise<unknown>): Promise<number> => {
      sequence.truncate(0);
      return clocked(async () => {
        await sequence.prefill(idsOf(config, length));
        await also();
      });
    };
    const competitors = [
      ...prompts.map((length) => ({
        counts: { tokens: length, operations: length * tokenOperations },
        competitor: competitorOf(gpu, `prefill ${length} ${name}`, () => fromEmpty(length, async () => {})),
      })),
      ...prompts.map((length) => ({
        counts: {},
        competitor: competitorOf(gpu, `time to first token, prompt ${length} ${name}`, () =>
          fromEmpty(length, () => sequence.decode(greedy, 1)),
        ),
      })),
      ...depths.map((depth) => ({
        counts: { tokens: newTokens, bytes: newTokens * tokenBytes },
        competitor: competitorOf(gpu, `decode ${newTokens} at ${depth} ${name}`, async () => {
          await goTo(sequence, depth);
          // The first is drawn from logits that are there; each of the others takes a pass.
          return clocked(() => sequence.decode(greedy, newTokens + 1));
        }),
      })),
      ...(selection.sequences ?? []).flatMap((count) =>
        depths.map((depth) => ({
          counts: { tokens: count * newTokens },
          competitor: competitorOf(gpu, `decode ${newTokens} of ${count} sequences at ${depth} ${name}`, async () => {
            const batch = await fillBatch(model, { count, depth, newTokens });
            try {
              await drawAll(batch, 1);
              return await clocked(() => drawAll(batch, newTokens));
            } finally {
              batch.dispose();
            }
          }),
        })),
      ),
    ];
    const timings = await measure(
      competitors.map(({ competitor }) => competitor),
      plan,
      hostClock,
      onMeasured,
    );
    for (const [i, timing] of timings.entries()) rows.push(makeRow("model", timing, competitors[i]!.counts, limits, threads));
    gpuBytes = profiler?.liveBytes() ?? 0;
    if (profiler) tokenTimes = await profileDecode(profiler, sequence, depths, Math.min(newTokens, PROFILED_TOKENS));
  } finally {
    session?.dispose();
    model.dispose();
    profiler?.close();
  }
  const memory = host.memory?.();
  return {
    rows,
    tokenTimes,
    facts: {
      "weights as stored": weightBytes,
      ...(gpu ? { "gpu after loading": gpuWeightBytes, "gpu with the session": gpuBytes } : {}),
      ...(memory
        ? {
            "host rss, largest while loading": peakLoadingBytes,
            "host rss at the end": memory.rss,
            "host heap at the end": memory.heapUsed,
            "host external at the end": memory.external,
          }
        : {}),
    },
  };
}
