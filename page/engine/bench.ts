/** Benchmarks in the worker, as the files that `gureum bench compare` reads. */
import { measureCosts, measureLimits } from "../../bench/device.ts";
import { makeResults } from "../../bench/environment.ts";
import { type GpuTimer, makeGpuTimer } from "../../bench/gpu-timer.ts";
import { defaultPlan, type Plan, shortPlan } from "../../bench/harness.ts";
import { measuredModel } from "../../bench/identity.ts";
import { measureKernels } from "../../bench/kernels.ts";
import { measureModel } from "../../bench/model.ts";
import type { BenchResults } from "../../bench/results.ts";
import { openShape } from "../../bench/shapes.ts";
import { gpuIdentity } from "../../conformance/certificate/identity.ts";
import { openFolder } from "../../core/checkpoint/folder.ts";
import { openCheckpoint } from "../../core/checkpoint/weights.ts";
import { closeDevice, openDevice } from "../../gpu/device/device.ts";
import { BUILD } from "./build.ts";
import type { BenchAsked, BenchTold, Work } from "./protocol.ts";
import { storeOf } from "./stores.ts";

type Asked<What extends BenchAsked["what"]> = Extract<BenchAsked, { what: What }>;
type Tell = (news: BenchTold) => void;

/** Fewer and longer rounds: a sample is a whole prompt, or many tokens. */
const modelPlan: Plan = { warmupMs: 0, minRounds: 3, maxRounds: 10, timeMs: 5000 };

async function withTimer<T>(body: (timer: GpuTimer, plan: Plan) => Promise<T>): Promise<T> {
  const gpu = await openDevice();
  try {
    const timer = await makeGpuTimer(gpu);
    try {
      return await body(timer, gpu.capabilities.software ? shortPlan : defaultPlan);
    } finally {
      timer.close();
    }
  } finally {
    closeDevice(gpu);
  }
}

const device = (): Promise<BenchResults> =>
  withTimer(async (timer, plan) => {
    const { limits, rows } = await measureLimits(timer, plan);
    return makeResults(["device"], gpuIdentity(timer.gpu), limits, [...rows, ...(await measureCosts(timer, plan))]);
  });

const kernels = ({ shape, rows: T, filter }: Asked<"kernels">, tell: Tell): Promise<BenchResults> =>
  withTimer(async (timer, plan) => {
    const { limits } = await measureLimits(timer, plan);
    const selection = { shape: await openShape(shape), rows: T, filter };
    const { rows, skipped } = await measureKernels(timer, selection, limits, plan, (done, total) => tell({ done, total }));
    const model = measuredModel(selection.shape.name, selection.shape.config);
    const words = ["kernels", "--shape", shape, "--rows", T.join(","), ...(filter === "" ? [] : ["--filter", filter])];
    return makeResults(words, gpuIdentity(timer.gpu), limits, rows, { model, skipped });
  });

async function model({ place, backend, prompt, newTokens }: Asked<"model">, tell: Tell): Promise<BenchResults> {
  const store = storeOf(place, () => {});
  const checkpoint = await openCheckpoint(await openFolder(store));
  const { config, refs } = checkpoint;
  const selection = { name: store.name, config, refs, prompts: [prompt], newTokens, depths: [0] };
  const words = ["model", store.name, "--prompt", `${prompt}`, "--new", `${newTokens}`, "--depth", "0"];
  const about = measuredModel(store.name, config, refs);
  const bar = (done: number, total: number): void => tell({ done, total });
  try {
    if (backend === "cpu") {
      const limits = { operationsPerSecond: {} };
      const { rows, facts } = await measureModel(selection, undefined, limits, modelPlan, bar);
      return await makeResults([...words, "--backend", "cpu"], undefined, limits, rows, { model: about, facts });
    }
    return await withTimer(async (timer, plan) => {
      const { limits } = await measureLimits(timer, plan);
      const { rows, tokenTimes, facts } = await measureModel(selection, timer.gpu, limits, modelPlan, bar);
      return makeResults(words, gpuIdentity(timer.gpu), limits, rows, { model: about, tokenTimes, facts });
    });
  } finally {
    await checkpoint.close();
  }
}

export const bench: Work<"bench"> = async (asked, tell) => {
  const results =
    asked.what === "device" ? await device() : asked.what === "kernels" ? await kernels(asked, tell) : await model(asked, tell);
  return { ...results, commit: BUILD };
};
