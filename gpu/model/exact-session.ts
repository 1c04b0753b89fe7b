/**
 * One sequence in `exact` on the GPU. Prompts go in by chunks, any of which give the same bits; logits of the last row stay on the device. The likeliest
 * ids are chosen there, eight in a submission; random ones are drawn on the host, by the integers of core/exact/sample.ts.
 */

import { GureumError } from "../../core/errors.ts";
import { checkExactContext } from "../../core/exact/forward.ts";
import { bitsOf } from "../../core/exact/numbers.ts";
import { exactRopeTables } from "../../core/exact/rope.ts";
import { logProbability, sample, toLogProbability } from "../../core/exact/sample.ts";
import type { DecodedBatch, ForwardOptions, ForwardResult, Model, SamplingOptions, Session } from "../../core/model/engine.ts";
import { checkFeed, checkPending } from "../../core/model/session.ts";
import { makeTaps } from "../../core/model/trace.ts";
import { checkSampling, greedy } from "../../core/sample/sampler.ts";
import { allocate, freeAll, type Memory, makeMemory, readF32, settle, upload, usage, writeBytes } from "../device/buffer.ts";
import { missingFor } from "../device/capabilities.ts";
import { type Gpu, guarded, waited } from "../device/device.ts";
import { exactGreedy } from "../kernels/exact/exact-greedy.ts";
import { exactGreedyParts, GREEDY_BYTES } from "../kernels/exact/exact-greedy-parts.ts";
import { exactCacheBytes } from "../kernels/exact/exact-rope.ts";
import { makeRecorder, type PreparedDispatch, prepare, recordKernel, replay } from "../pipeline/recorder.ts";
import { matrixKernels, recordExactHead, recordExactLayers } from "../programs/exact.ts";
import { type ExactContext, type ExactSequence, makeExactActivations, shapeOf } from "../programs/exact-buffers.ts";
import type { Feeder } from "../programs/program.ts";
import { RESULT_BYTES } from "../wgsl/sampling.ts";
import { encodeStep, STEP_BYTES } from "../wgsl/step.ts";
import { workgroupLimits } from "../wgsl/teams.ts";
import { BATCH, type Decoder, makeDecoder } from "./chain.ts";
import { exactForwardTraced } from "./exact-traced.ts";
import type { ExactGpuWeights } from "./exact-weights.ts";
import { copyBuffers, type Held, nothingHeld, type Opened } from "./fork.ts";

/** Rows fed at a time: bounds the activations' memory, and in software the time of a submission. */
const CHUNK = { device: 1024, software: 128 };
/** Rows whose logits are wanted at a time: a multiple of a tile's. */
const LOGITS_ROWS = 256;

/** Lanes of a workgroup that has a row to itself. */
function lanesFor({ capabilities: { limits } }: Gpu): number {
  const most = Math.min(
    512,
    limits.maxComputeInvocationsPerWorkgroup,
    limits.maxComputeWorkgroupSizeX,
    limits.maxComputeWorkgroupStorageSize / 37,
  );
  return 2 ** Math.floor(Math.log2(most));
}

/** Dispatches for one row, for more, and for choosing the likeliest id. */
interface Feeds {
  readonly one: Feeder;
  readonly many: Feeder;
  readonly choose: readonly PreparedDispatch[];
}

/** Where the logits of some rows are left, and what makes them. */
interface AllLogits {
  readonly buffer: GPUBuffer;
  readonly rowsAtOnce: number;
  readonly head: readonly PreparedDispatch[];
}

/** @throws GureumError "limit" where the context is beyond the definition, or its cache does not fit a binding */
export const exactGpuSession = (model: Model, gpu: Gpu, weights: ExactGpuWeights, maxContext: number): Session =>
  open(model, gpu, weights, maxContext).session;

function open(model: Model, gpu: Gpu, weights: ExactGpuWeights, maxContext: number, held: Held = nothingHeld): Opened<ExactSequence> {
  const { config } = model;
  const V = config.vocabSize;
  checkExactContext(maxContext);
  const memory = makeMemory(gpu);
  const rows = Math.min(gpu.capabilities.software ? CHUNK.software : CHUNK.device, maxContext);
  const sequence = makeSequence(memory, model, maxContext, rows);
  const context: ExactContext = {
    config,
    weights,
    sequence,
    a: makeExactActivations(memory, config, rows, maxContext),
    oneRow: false,
    matrices: matrixKernels.every((kernel) => missingFor(kernel, gpu.capabilities) === undefined),
    lanes: lanesFor(gpu),
    limits: workgroupLimits(gpu.capabilities),
  };
  const logits = allocate(memory, "logits", V * 4);
  const results = allocate(memory, "results", BATCH * RESULT_BYTES);
  const partials = allocate(memory, "partial results", GREEDY_BYTES);
  let feeds: Promise<Feeds> | undefined;
  let decoder: Decoder | undefined;
  let allLogits: Promise<AllLogits> | undefined;
  let ids = [...held.ids];
  /** Positions in the cache; ids.length − 1 where the last sampled id has not been fed. */
  let { fed, hasPending } = held;
  let disposed = false;

  const prepareFeeds = async (): Promise<Feeds> => {
    const layers = async (oneRow: boolean): Promise<PreparedDispatch[]> => {
      const recorder = makeRecorder();
      recordExactLayers(recorder, { ...context, oneRow });
      return prepare(recorder, memory);
    };
    const last = makeRecorder();
    recordExactHead(last, context, logits, true);
    const greedily = makeRecorder();
    recordKernel(greedily, exactGreedyParts, { logits, partials }, { V });
    recordKernel(greedily, exactGreedy, { partials, step: sequence.step, ids: sequence.ids, results }, {});
    const [one, many, head, choose] = await Promise.all([layers(true), layers(false), prepare(last, memory), prepare(greedily, memory)]);
    return { one: { layers: one, head }, many: { layers: many, head }, choose };
  };
  const start = async (): Promise<Feeds> => {
    if (disposed) throw new GureumError("usage", { where: "session", what: "was disposed" });
    await settle(memory);
    feeds ??= prepareFeeds();
    return feeds;
  };
  const settleIds = (): void => {
    decoder?.forget();
    ids.length = fed;
    hasPending = false;
  };

  /** The likeliest ids, each chosen and fed without the host. */
  const decodeGreedy = async ({ one, choose }: Feeds, sampling: SamplingOptions, count: number): Promise<DecodedBatch> => {
    const { step } = sequence;
    const line = {
      memory,
      step,
      ids: sequence.ids,
      results,
      feeder: Promise.resolve(one),
      note: null,
      begin: async () => choose,
      logprob: toLogProbability,
    };
    decoder ??= await makeDecoder(line, maxContext);
    // The line has no note, so `noted` is null.
    const { noted: _, ...batch } = await decoder.decode(sampling, count, ids, ids.length > fed);
    for (const id of batch.ids) ids.push(id);
    fed = ids.length - 1;
    hasPending = false;
    return batch;
  };

  /** Submits one chunk; `then` may add to its pass. */
  const feed = (f: Feeder, tokens: readonly number[], then?: (pass: GPUComputePassEncoder) => void): void => {
    const T = tokens.length;
    writeBytes(gpu, sequence.step, 0, new Uint8Array(encodeStep({ T, start: fed, sampled: 0 }).buffer));
    writeBytes(gpu, sequence.ids, 0, new Uint8Array(Uint32Array.from(tokens).buffer));
    const encoder = gpu.device.createCommandEncoder({ label: "exact" });
    const pass = encoder.beginComputePass();
    replay(pass, f.layers, T, fed);
    then?.(pass);
    pass.end();
    gpu.device.queue.submit([encoder.finish()]);
    fed += T;
  };

  /** Feeds all of `tokens`, at most two chunks ahead of the GPU; the last position's logits end in `logits`. */
  const feedAll = async (tokens: ArrayLike<number>, onProgress?: (done: number) => unknown): Promise<void> => {
    const p = await start();
    let previous: Promise<undefined> | undefined;
    for (let t = 0; t < tokens.length; t += rows) {
      const part = Array.prototype.slice.call(tokens, t, t + rows) as number[];
      const isLast = t + rows >= tokens.length;
      const way = part.length === 1 ? p.one : p.many;
      await guarded(gpu, "prefill", () => feed(way, part, (pass) => isLast && replay(pass, way.head, part.length, fed)));
      for (const id of part) ids.push(id);
      const now = gpu.device.queue.onSubmittedWorkDone();
      if (previous) await waited(gpu, "prefill", previous);
      previous = now;
      if (!isLast) await onProgress?.(t + rows);
    }
    await waited(gpu, "prefill", previous!);
    hasPending = true;
    await onProgress?.(tokens.length);
  };

  const prepareAll = async (): Promise<AllLogits> => {
    const rowsAtOnce = Math.min(rows, LOGITS_ROWS);
    const buffer = allocate(memory, "logits (all)", rowsAtOnce * V * 4);
    const recorder = makeRecorder();
    recordExactHead(recorder, context, buffer, false);
    return { buffer, rowsAtOnce, head: await prepare(recorder, memory) };
  };
  /** Logits of every position, chunk by chunk. */
  const forwardAll = async (tokens: ArrayLike<number>, onProgress?: ForwardOptions["onProgress"]): Promise<Float32Array> => {
    const p = await start();
    allLogits ??= prepareAll();
    const { buffer, rowsAtOnce, head } = await allLogits;
    // One chunk is handed on as it was read: a copy of it would take as long as the device does.
    const all = tokens.length > rowsAtOnce ? new Float32Array(tokens.length * V) : null;
    for (let t = 0; t < tokens.length; t += rowsAtOnce) {
      const part = Array.prototype.slice.call(tokens, t, t + rowsAtOnce) as number[];
      const T = part.length;
      await guarded(gpu, "forward", () => {
        feed(T === 1 ? p.one : p.many, part, (pass) => replay(pass, head, T, fed));
        const encoder = gpu.device.createCommandEncoder();
        encoder.copyBufferToBuffer(buffer, (T - 1) * V * 4, logits, 0, V * 4);
        gpu.device.queue.submit([encoder.finish()]);
      });
      for (const id of part) ids.push(id);
      const read = await readF32(gpu, buffer, T * V);
      await onProgress?.(t + T);
      if (!all) return read;
      all.set(read, t * V);
    }
    return all ?? new Float32Array(0);
  };

  const session: Session = {
    model,
    maxContext,
    get ids() {
      return ids;
    },
    async forward(tokens, options: ForwardOptions = {}): Promise<ForwardResult> {
      settleIds();
      checkFeed(config, fed, maxContext, tokens);
      const taps = makeTaps(config, options);
      let result: Float32Array;
      if (options.trace !== undefined || options.steer !== undefined) {
        await start();
        result = await exactForwardTraced(gpu, context, logits, Array.from(tokens), fed, options.logits === "all", taps);
        fed += tokens.length;
        for (let t = 0; t < tokens.length; t++) ids.push(tokens[t]!);
        await options.onProgress?.(tokens.length);
      } else if (options.logits === "all") result = await forwardAll(tokens, options.onProgress);
      else {
        await feedAll(tokens, options.onProgress);
        result = await readF32(gpu, logits, V);
      }
      hasPending = true;
      return { logits: result, trace: taps.values };
    },
    async prefill(tokens, onProgress) {
      settleIds();
      checkFeed(config, fed, maxContext, tokens);
      await feedAll(tokens, onProgress);
    },
    async decode(sampling: SamplingOptions = greedy, count = 1): Promise<DecodedBatch> {
      checkSampling(sampling);
      const wanted = Math.min(count, maxContext - ids.length);
      if (wanted <= 0) return { ids: [], logprobs: [] };
      if (ids.length === fed) checkPending(hasPending);
      const p = await start();
      if (sampling.temperature === 0 && sampling.repetitionPenalty === 1) return decodeGreedy(p, sampling, wanted);
      decoder?.forget();
      const sampled: number[] = [];
      const logprobs: number[] = [];
      for (let i = 0; i < wanted; i++) {
        if (ids.length > fed) await guarded(gpu, "decode", () => feed(p.one, [ids[fed]!], (pass) => replay(pass, p.one.head, 1, fed)));
        const row = await readF32(gpu, logits, V);
        const id = sample(row, sampling, ids, ids.length);
        sampled.push(id);
        logprobs.push(logProbability(row, id));
        ids.push(id);
        hasPending = false;
      }
      return { ids: sampled, logprobs };
    },
    async logits() {
      checkPending(hasPending, "logits");
      return readF32(gpu, logits, V);
    },
    truncate(length) {
      decoder?.forget();
      ids = ids.slice(0, length);
      fed = Math.min(fed, length);
      hasPending = false;
    },
    async fork() {
      await start();
      const copy = open(model, gpu, weights, maxContext, { ids, fed, hasPending });
      try {
        await settle(copy.memory);
        await guarded(gpu, "fork", () => {
          const encoder = gpu.device.createCommandEncoder({ label: "fork" });
          const bytes = exactCacheBytes(shapeOf(config), fed);
          for (const name of ["keys", "values", "exponents"] as const)
            copyBuffers(encoder, sequence[name], copy.sequence[name], bytes[name]);
          encoder.copyBufferToBuffer(logits, 0, copy.logits, 0, V * 4);
          gpu.device.queue.submit([encoder.finish()]);
        });
      } catch (error) {
        copy.session.dispose();
        throw error;
      }
      return copy.session;
    },
    dispose() {
      disposed = true;
      ids = [];
      fed = 0;
      hasPending = false;
      freeAll(memory);
    },
  };
  return { session, memory, sequence, logits: logits };
}

function makeSequence(memory: Memory, { config }: Model, maxContext: number, rows: number): ExactSequence {
  try {
    const { cos, sin } = exactRopeTables(config, maxContext);
    const turns = new Uint32Array(cos.length * 2);
    for (let i = 0; i < cos.length; i++) {
      turns[2 * i] = bitsOf(cos[i]!);
      turns[2 * i + 1] = bitsOf(sin[i]!);
    }
    const bytes = exactCacheBytes(shapeOf(config), maxContext);
    const caches = (what: keyof typeof bytes): GPUBuffer[] =>
      Array.from({ length: config.numHiddenLayers }, (_, i) =>
        allocate(memory, `layers.${i}.${what} of ${maxContext} positions`, bytes[what]),
      );
    return {
      step: allocate(memory, "step", STEP_BYTES, usage.UNIFORM | usage.STORAGE | usage.COPY_DST | usage.COPY_SRC),
      ids: allocate(memory, "ids", rows * 4),
      table: upload(memory, "rope table", turns),
      keys: caches("keys"),
      values: caches("values"),
      exponents: caches("exponents"),
      maxContext,
    };
  } catch (error) {
    freeAll(memory);
    throw error;
  }
}
