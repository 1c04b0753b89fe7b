/** The worker's longer runs: conformance, diff, bench. */
import { measureCosts, measureLimits } from "../bench/device.ts";
import { makeResults } from "../bench/environment.ts";
import { type GpuTimer, makeGpuTimer } from "../bench/gpu-timer.ts";
import { defaultPlan, type Plan, shortPlan } from "../bench/harness.ts";
import { measuredModel } from "../bench/identity.ts";
import { measureKernels } from "../bench/kernels.ts";
import { measureModel } from "../bench/model.ts";
import type { BenchResults } from "../bench/results.ts";
import { openShape } from "../bench/shapes.ts";
import { gpuIdentity } from "../conformance/certificate/identity.ts";
import { encodeNumbers, readJournal } from "../conformance/certificate/journal.ts";
import { replayLine, runConformance } from "../conformance/certificate/run.ts";
import { diffModels } from "../conformance/watch/diff.ts";
import { openFolder } from "../core/checkpoint/folder.ts";
import { openCheckpoint } from "../core/checkpoint/weights.ts";
import { GureumError } from "../core/errors.ts";
import { contextLimit } from "../core/generate/generate.ts";
import { webThreads } from "../core/host/web-threads.ts";
import { checkFeed } from "../core/model/session.ts";
import { closeDevice, type Gpu, openDevice } from "../gpu/device/device.ts";
import { loadGpuModel } from "../gpu/model/model.ts";
import { loadTokenizer } from "../tokenizer/tokenizer.ts";
import { loadCpuModel } from "../wasm/model.ts";
import { breathe } from "./breathe.ts";
import type { BenchAsked, EngineCalls, PartNews } from "./calls.ts";
import { placeOf } from "./place.ts";
import type { Works } from "./port.ts";

async function withGpu<T>(body: (gpu: Gpu) => Promise<T>): Promise<T> {
  const gpu = await openDevice();
  try {
    return await body(gpu);
  } finally {
    closeDevice(gpu);
  }
}

const withTimer = <T>(body: (timer: GpuTimer, plan: Plan) => Promise<T>): Promise<T> =>
  withGpu(async (gpu) => {
    const timer = await makeGpuTimer(gpu);
    try {
      return await body(timer, gpu.capabilities.software ? shortPlan : defaultPlan);
    } finally {
      timer.close();
    }
  });

/** Fewer and longer rounds: a sample is a whole prompt, or many tokens. */
const modelPlan: Plan = { warmupMs: 0, minRounds: 3, maxRounds: 10, timeMs: 5000 };

type Asked<What extends BenchAsked["what"]> = Extract<BenchAsked, { what: What }>;

async function benchModel(
  { place, backend, prompt, newTokens, depth = 0 }: Asked<"model">,
  tell: (news: PartNews) => void,
): Promise<BenchResults> {
  const store = await placeOf(place, () => {});
  const checkpoint = await openCheckpoint(await openFolder(store));
  const { config, refs } = checkpoint;
  const selection = { name: store.name, config, refs, prompts: [prompt], newTokens, depths: [depth] };
  const words = ["model", store.name, "--backend", backend, "--prompt", `${prompt}`, "--new", `${newTokens}`, "--depth", `${depth}`];
  const model = measuredModel(store.name, config, refs);
  const bar = (done: number, total: number): void => tell({ done, total });
  try {
    if (backend === "cpu") {
      const limits = { operationsPerSecond: {} };
      const { rows, facts } = await measureModel(selection, undefined, limits, modelPlan, { onProgress: bar });
      return await makeResults(words, undefined, limits, rows, { model, facts });
    }
    return await withTimer(async (timer, plan) => {
      const { limits } = await measureLimits(timer, plan);
      const { rows, tokenTimes, facts } = await measureModel(selection, timer.gpu, limits, modelPlan, { onProgress: bar });
      return makeResults(words, gpuIdentity(timer.gpu), limits, rows, { model, tokenTimes, facts });
    });
  } finally {
    await checkpoint.close();
  }
}

/** What people paste: the line alone, or the command around it. */
export function replayOf(pasted: string): string {
  const text = pasted.trim();
  const [, quoted] = /--replay\s+(.*)$/s.exec(text) ?? [];
  const line = (quoted ?? text).trim();
  const [, inside] = /^'(.*)'$/s.exec(line) ?? /^"(.*)"$/s.exec(line) ?? [];
  return (inside ?? line).replaceAll(`'\\''`, "'");
}

export const runWorks: Works<Pick<EngineCalls, "device" | "conformance" | "replay" | "diff" | "bench">> = {
  device: () => withGpu(async (gpu) => gpuIdentity(gpu)),
  async conformance({ journal = "", ...options }, tell, signal) {
    const stopped = (): void => {
      if (signal.aborted)
        throw new GureumError("aborted", { where: "conformance", what: "was stopped", remedy: "run it again with its journal" });
    };
    const line = (value: unknown): void => tell({ kind: "journal", line: encodeNumbers(value) });
    return runConformance({
      ...options,
      journal: {
        async open(head) {
          const rows = readJournal("journal", journal, head);
          if (rows.length === 0) line(head);
          return rows;
        },
        add: async (row) => line(row),
      },
      onStart: ({ devices, subjects, finished }) => tell({ kind: "start", devices, total: subjects.length, finished }),
      async onRow(row) {
        tell({ kind: "row", row });
        await breathe();
        stopped();
      },
      onProgress: (done, total, what, violated) => tell({ kind: "progress", done, total, what, violated }),
    });
  },
  replay: (pasted) => replayLine(replayOf(pasted)),
  async diff({ place, text }, tell, signal) {
    const folder = await openFolder(await placeOf(place, tell));
    const tokenizer = await loadTokenizer(folder);
    const ids = tokenizer.encode(text, { addBos: tokenizer.addBos });
    const { config, refs, close } = await openCheckpoint(folder);
    try {
      checkFeed(config, 0, contextLimit(config), ids);
      return await withGpu(async (gpu) => {
        const onProgress = (done: number, total: number): void => tell({ step: "weights", done, total });
        const cpu = await loadCpuModel(config, refs, { host: webThreads(), onProgress });
        try {
          const model = await loadGpuModel(gpu, config, refs, { onProgress });
          const found = await diffModels({ model: cpu.model }, { model, plan: model.plan }, cpu.weights, ids, async (done, total) => {
            tell({ step: "judging", done, total });
            await breathe();
            if (signal.aborted) throw new GureumError("aborted", { where: "diff", what: "was stopped" });
          });
          const { vendor, architecture, description } = gpu.capabilities;
          return { ...found, ids, device: [vendor, architecture, description].filter(Boolean).join(" "), cpu: cpu.about };
        } finally {
          cpu.model.dispose();
        }
      });
    } finally {
      await close();
    }
  },
  async bench(asked, tell) {
    if (asked.what === "model") return benchModel(asked, tell);
    return withTimer(async (timer, plan) => {
      const { limits, rows } = await measureLimits(timer, plan);
      const device = gpuIdentity(timer.gpu);
      if (asked.what === "device") return makeResults(["device"], device, limits, [...rows, ...(await measureCosts(timer, plan))]);
      const { shape: word, rows: T, filter = "" } = asked;
      const shape = await openShape(word);
      const measured = await measureKernels(timer, { shape, rows: T, filter }, limits, plan, (done, total) => tell({ done, total }));
      const words = ["kernels", "--shape", word, "--rows", T.join(","), ...(filter === "" ? [] : ["--filter", filter])];
      return makeResults(words, device, limits, measured.rows, { model: measuredModel(word, shape.config), skipped: measured.skipped });
    });
  },
};
