/**
 * One sequence in `exact` on the GPU. Prompts go in by chunks, any of which give the same bits; logits of the last row stay on the device. The likeliest
 * ids are chosen there, eight in a submission; random ones are drawn on the host, by the integers of core/exact/sample.ts.
 */

import { checkExactContext } from "../../core/exact/forward.ts";
import { bitsOf } from "../../core/exact/numbers.ts";
import { exactRopeTables } from "../../core/exact/rope.ts";
import { logProbability, sample, toLogProbability } from "../../core/exact/sample.ts";
import type { DecodedBatch, Model, SamplingOptions, Session } from "../../core/model/engine.ts";
import { allocate, freeAll, type Memory, makeMemory, readF32, upload, usage } from "../device/buffer.ts";
import { missingFor } from "../device/capabilities.ts";
import { type Gpu, guarded } from "../device/device.ts";
import { exactGreedy } from "../kernels/exact/exact-greedy.ts";
import { exactGreedyParts, GREEDY_BYTES } from "../kernels/exact/exact-greedy-parts.ts";
import { exactCacheBytes } from "../kernels/exact/exact-rope.ts";
import { makeRecorder, type PreparedDispatch, prepare, recordKernel, replay } from "../pipeline/recorder.ts";
import { matrixKernels, recordExactHead, recordExactLayers } from "../programs/exact.ts";
import { type ExactContext, type ExactSequence, makeExactActivations, shapeOf } from "../programs/exact-buffers.ts";
import type { Feeder } from "../programs/program.ts";
import { RESULT_BYTES } from "../wgsl/sampling.ts";
import { STEP_BYTES } from "../wgsl/step.ts";
import { workgroupLimits } from "../wgsl/teams.ts";
import { BATCH, type Decoder, makeDecoder } from "./chain.ts";
import { exactForwardTraced } from "./exact-traced.ts";
import type { ExactGpuWeights } from "./exact-weights.ts";
import { copyBuffers, type Feed, type Held, nothingHeld, type Opened, openSession, type Place, took, type Ways } from "./gpu-session.ts";

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

  const prepareFeeds = async (): Promise<Feeds> => {
    const layers = async (oneRow: boolean): Promise<PreparedDispatch[]> => {
      const recorder = makeRecorder();
      recordExactLayers(recorder, { ...context, oneRow });
      return prepare(recorder, memory);
    };
    const headOf = (oneRow: boolean): Promise<PreparedDispatch[]> => {
      const recorder = makeRecorder();
      recordExactHead(recorder, { ...context, oneRow }, logits, true);
      return prepare(recorder, memory);
    };
    const greedily = makeRecorder();
    recordKernel(greedily, exactGreedyParts, { logits, partials }, { V });
    recordKernel(greedily, exactGreedy, { partials, step: sequence.step, ids: sequence.ids, results }, {});
    const [one, many, choose] = await Promise.all([
      Promise.all([layers(true), headOf(true)]),
      Promise.all([layers(false), headOf(false)]),
      prepare(greedily, memory),
    ]);
    return { one: { layers: one[0], head: one[1] }, many: { layers: many[0], head: many[1] }, choose };
  };
  const prepareAll = async (): Promise<AllLogits> => {
    const rowsAtOnce = Math.min(rows, LOGITS_ROWS);
    const buffer = allocate(memory, "logits (all)", rowsAtOnce * V * 4);
    const recorder = makeRecorder();
    recordExactHead(recorder, context, buffer, false);
    return { buffer, rowsAtOnce, head: await prepare(recorder, memory) };
  };

  const makeWays = (at: Place, feed: Feed): Ways<ExactSequence> => {
    let feeds: Promise<Feeds> | undefined;
    let decoder: Decoder | undefined;
    let allLogits: Promise<AllLogits> | undefined;
    const feedsOf = (): Promise<Feeds> => {
      feeds ??= prepareFeeds();
      return feeds;
    };
    const feederFor = async (T: number): Promise<Feeder> => (T === 1 ? (await feedsOf()).one : (await feedsOf()).many);

    /** The likeliest ids, each chosen and fed without the host. */
    const decodeGreedy = async (sampling: SamplingOptions, count: number): Promise<DecodedBatch> => {
      const { one, choose } = await feedsOf();
      const line = {
        memory,
        step: sequence.step,
        ids: sequence.ids,
        results,
        feeder: Promise.resolve(one),
        note: null,
        begin: async () => choose,
        logprob: toLogProbability,
      };
      decoder ??= await makeDecoder(line, maxContext);
      // The line has no note, so `noted` is null.
      const { noted: _, ...batch } = await decoder.decode(sampling, count, at.ids, at.ids.length > at.fed);
      took(at, batch.ids);
      return batch;
    };

    return {
      start: feedsOf,
      feederFor,
      async forwardAll(tokens, onProgress) {
        allLogits ??= prepareAll();
        const { buffer, rowsAtOnce, head } = await allLogits;
        // One chunk is handed on as it was read: a copy of it would take as long as the device does.
        const all = tokens.length > rowsAtOnce ? new Float32Array(tokens.length * V) : null;
        for (let t = 0; t < tokens.length; t += rowsAtOnce) {
          const part = Array.prototype.slice.call(tokens, t, t + rowsAtOnce) as number[];
          const T = part.length;
          const feeder = await feederFor(T);
          await guarded(gpu, "forward", () => {
            feed(feeder, part, (pass) => replay(pass, head, T, at.fed));
            const encoder = gpu.device.createCommandEncoder();
            encoder.copyBufferToBuffer(buffer, (T - 1) * V * 4, logits, 0, V * 4);
            gpu.device.queue.submit([encoder.finish()]);
          });
          const read = await readF32(gpu, buffer, T * V);
          await onProgress?.(t + T);
          if (!all) return read;
          all.set(read, t * V);
        }
        return all ?? new Float32Array(0);
      },
      forwardTraced: (tokens, all, taps) => exactForwardTraced(gpu, context, logits, tokens, at.fed, all, taps),
      readLogits: () => readF32(gpu, logits, V),
      async decode(sampling, count) {
        if (sampling.temperature === 0 && sampling.repetitionPenalty === 1) return decodeGreedy(sampling, count);
        decoder?.forget();
        const { one } = await feedsOf();
        const ids: number[] = [];
        const logprobs: number[] = [];
        for (let i = 0; i < count; i++) {
          const drawn = at.ids[at.fed];
          if (drawn !== undefined) await guarded(gpu, "decode", () => feed(one, [drawn], (pass) => replay(pass, one.head, 1, at.fed)));
          const row = await readF32(gpu, logits, V);
          const id = sample(row, sampling, at.ids, at.ids.length);
          ids.push(id);
          logprobs.push(logProbability(row, id));
          at.ids.push(id);
          at.hasPending = false;
        }
        return { ids, logprobs };
      },
      forget: () => decoder?.forget(),
      open: (own) => open(model, gpu, weights, maxContext, own),
      copy(encoder, to) {
        const bytes = exactCacheBytes(shapeOf(config), at.fed);
        for (const name of ["keys", "values", "exponents"] as const) copyBuffers(encoder, sequence[name], to[name], bytes[name]);
      },
      underWay: () => [feeds, allLogits],
    };
  };
  return openSession({ model, gpu, memory, maxContext, chunk: rows, sequence, logits }, held, makeWays);
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
