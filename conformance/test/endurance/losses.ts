/**
 * Loses the WebGPU device at random moments of whatever runs on one:
 * `node dist/conformance/test/endurance/losses.js [LOSSES] [SEED] [WHAT]`. Each time the call ends in the error "device-lost" within bounded time (or had come
 * to its end), every later call names it too, and another device of the same process computes what it did before. A few of these losses run with the tests.
 */
import process from "node:process";
import { fileURLToPath } from "node:url";
import fc from "fast-check";
import { makeGpuTimer } from "../../../bench/gpu-timer.ts";
import { shortPlan } from "../../../bench/harness.ts";
import { measureKernels } from "../../../bench/kernels.ts";
import { openShape } from "../../../bench/shapes.ts";
import { GureumError } from "../../../core/errors.ts";
import { generateAll } from "../../../core/generate/generate-all.ts";
import type { Session } from "../../../core/model/engine.ts";
import { greedy } from "../../../core/sample/sampler.ts";
import { closeDevice, type Gpu, openDevice } from "../../../gpu/device/device.ts";
import { type GpuModel, loadGpuModel } from "../../../gpu/model/model.ts";
import { checkKernel } from "../../check.ts";
import { kitOf } from "../../laws.ts";
import { webgpuSubjects } from "../../subjects/webgpu.ts";
import { inBlocks, plainOptions } from "../fixtures/generating.ts";
import { memoryRefs } from "../fixtures/memory-refs.ts";
import { arbitraryConfig, numbers, randomModel } from "../fixtures/random-model.ts";

const config = {
  ...inBlocks(fc.sample(arbitraryConfig, { numRuns: 1, seed: 3 })[0]!),
  vocabSize: 64,
  maxPositionEmbeddings: 4096,
  ropeScaling: { type: "none" as const },
  slidingWindow: null,
  headDim: 8,
  numAttentionHeads: 4,
  numKeyValueHeads: 2,
};
const { weights } = randomModel(config, 5);
const refs = memoryRefs(weights);
const ids = Array.from({ length: 300 }, (_, i) => (7 * i) % 64);

/** What is under way when the device goes; `model` is there before, but for loading. */
const work: Readonly<Record<string, (gpu: Gpu, model: GpuModel, session: Session) => Promise<unknown>>> = {
  load: async (gpu) => (await loadGpuModel(gpu, config, refs)).dispose(),
  prefill: (_gpu, _model, session) => session.prefill(ids),
  decode: async (_gpu, _model, session) => {
    await session.prefill(ids.slice(0, 5));
    await session.decode({ ...greedy, repetitionPenalty: 1.2 }, 60);
  },
  forward: (_gpu, _model, session) => session.forward(ids, { logits: "all" }),
  trace: (_gpu, _model, session) => session.forward(ids.slice(0, 9), { trace: ["*", "layers.*.*"] }),
  fork: async (_gpu, _model, session) => {
    await session.prefill(ids.slice(0, 100));
    (await session.fork()).dispose();
  },
  batch: async (_gpu, model) => {
    const items = [3, 70, 9, 100, 5].map((length) => ({ prompt: ids.slice(0, length), options: plainOptions(12) }));
    const outcomes = await generateAll(model, items, { sequences: 3 });
    const failed = outcomes.find((outcome) => !outcome.ok);
    if (failed && !failed.ok) throw failed.error;
  },
  conformance: async (gpu) => {
    const subject = webgpuSubjects({ gpu }).find(({ op }) => op === "rms-norm")!;
    const { failures } = await checkKernel(kitOf("rms-norm"), subject, { runs: 3, seed: 1 });
    if (failures[0]) throw new Error(failures[0].message);
  },
  bench: async (gpu) => {
    const shape = await openShape("tiny");
    await measureKernels(await makeGpuTimer(gpu), { shape, rows: [1], filter: "rms" }, { operationsPerSecond: {} }, shortPlan);
  },
};

export interface Losses {
  readonly losses: number;
  /** By what was under way: how often it was lost before the end, and the longest time until the call ended, milliseconds. */
  readonly by: Readonly<Record<string, { tried: number; lost: number; slowestMs: number }>>;
}

/** A call that is not over by then does not end. */
const MOST_MS = 300_000;

const inTime = <T>(what: string, promise: Promise<T>): Promise<T> => {
  let timer: ReturnType<typeof setTimeout>;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what} does not end within ${MOST_MS / 1000} s`)), MOST_MS);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
};

/** @throws Error where a loss ends in anything but its name */
export async function loseDevices(
  wanted: number,
  seed: number,
  only?: string,
  onLoss: (losses: Losses) => void = () => {},
): Promise<Losses> {
  const next = numbers(seed);
  const names = Object.keys(work).filter((name) => only === undefined || name === only);
  const usual = new Map<string, number>();
  const by: Record<string, { tried: number; lost: number; slowestMs: number }> = {};
  let expected: readonly number[] | undefined;
  /** A device, a model on it, and a session that computes what each before it did. */
  const open = async (): Promise<{ gpu: Gpu; model: GpuModel; session: Session }> => {
    const gpu = await openDevice({ portable: true });
    const model = await loadGpuModel(gpu, config, refs);
    const session = model.createSession(1000);
    await session.prefill(ids.slice(0, 20));
    const { ids: drawn } = await session.decode(greedy, 3);
    expected ??= drawn;
    if (`${drawn}` !== `${expected}`) throw new Error(`a new device draws ${drawn}, the first drew ${expected}`);
    session.truncate(0);
    return { gpu, model, session };
  };
  let losses = 0;
  for (let i = 0; losses < wanted; i++) {
    const name = names[i % names.length]!;
    const at = `${name}, loss ${losses}, seed ${seed}`;
    const { gpu, model, session } = await inTime(`${at}: a new device`, open());
    const body = work[name]!;
    if (!usual.has(name)) {
      // The second time, when its kernels are compiled, as they are when the blow comes.
      await body(gpu, model, session);
      session.truncate(0);
      const started = performance.now();
      await body(gpu, model, session);
      usual.set(name, performance.now() - started);
      session.truncate(0);
    }
    by[name] ??= { tried: 0, lost: 0, slowestMs: 0 };
    const count = by[name];
    const under = inTime(at, body(gpu, model, session)).then(
      () => undefined,
      (error: unknown) => error,
    );
    await new Promise((resolve) => setTimeout(resolve, usual.get(name)! * ((next() + 1) / 2)));
    gpu.device.destroy();
    const since = performance.now();
    const error = await under;
    count.tried++;
    count.slowestMs = Math.max(count.slowestMs, Math.round(performance.now() - since));
    if (error !== undefined) {
      if (!(error instanceof GureumError && error.code === "device-lost" && !error.message.includes("\n")))
        throw new Error(`${at}: ends in ${error instanceof Error ? error.message : error}`, { cause: error });
      count.lost++;
      losses++;
    } else usual.set(name, 0.9 * usual.get(name)!);
    const later: Readonly<Record<string, () => unknown>> = {
      prefill: () => session.prefill([1]),
      forward: () => session.forward([1]),
      session: () => model.createSession(8),
      batch: () => model.createBatch(2, 8),
      load: () => loadGpuModel(gpu, config, refs),
    };
    for (const [call, ask] of Object.entries(later)) {
      const said = await inTime(`${at}: ${call} afterwards`, Promise.resolve().then(ask)).then(
        () => "nothing",
        (error: unknown) => (error as { code?: string }).code ?? String(error),
      );
      if (said !== "device-lost") throw new Error(`${at}: ${call} afterwards says ${said}`);
    }
    session.dispose();
    model.dispose();
    closeDevice(gpu);
    onLoss({ losses, by });
  }
  return { losses, by };
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const [wanted = "50", seed = "1", only] = process.argv.slice(2);
  const tell = (losses: Losses): void => console.error(JSON.stringify(losses));
  console.log(JSON.stringify(await loseDevices(Number(wanted), Number(seed), only, tell)));
  process.exit(0);
}
