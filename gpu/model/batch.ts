/**
 * Sequences together on the GPU, each in a slot of one cache. Long prompts are fed by a session of their own, whose cache is copied to the slot;
 * short ones as rows beside each other's, before the first step. A step feeds the last id of every sequence and draws the next, each with its
 * own options, and eight steps go by before the host looks.
 */
import { GureumError } from "../../core/errors.ts";
import { sharedPrefix } from "../../core/generate/prefix.ts";
import { guardBatch } from "../../core/model/batch.ts";
import type { Batch, Model, SamplingOptions, SlotTokens, SlotWork, Token } from "../../core/model/engine.ts";
import { checkFeed } from "../../core/model/session.ts";
import { ropeTables } from "../../core/ops/rope.ts";
import { allocate, freeAll, makeMemory, readRanges, settle, upload, usage, writeBytes } from "../device/buffer.ts";
import { type Gpu, guarded } from "../device/device.ts";
import { ropeTable } from "../kernels/plain/rope.ts";
import { type PreparedDispatch, replay } from "../pipeline/recorder.ts";
import type { Plan } from "../programs/plan.ts";
import type { Feeder } from "../programs/program.ts";
import { notedPosition } from "../wgsl/cache.ts";
import { encodeRows, MOST_ROWS, ROWS_BYTES, type Row } from "../wgsl/rows.ts";
import { encodeSampling, RESULT_BYTES, SAMPLING_BYTES, seenBytes } from "../wgsl/sampling.ts";
import { encodeStep, STEP_BYTES } from "../wgsl/step.ts";
import { BATCH, notWritten } from "./chain.ts";
import { prepareSampling, seenBits } from "./sampled.ts";
import { cacheRowBytes, type ForwardContext, makeActivations, type SequenceBuffers } from "./sequence.ts";
import { openGpuSession } from "./session.ts";
import type { GpuLlamaWeights } from "./tree.ts";

/** Steps that a submission holds, but for the first. */
const PER_SUBMIT = 2;
/** Ids from which on a prompt is worth passes of its own. */
const LONG = 64;
/** Bytes that the caches of sequences may take where nobody says how many there are to be. */
const CACHES_BYTES = 8 * 2 ** 30;
/** Sequences computed together where nobody says how many. */
const SEQUENCES = 64;

interface Sequence {
  /** All but the last are in the cache, where `isFed`; else none is. */
  readonly ids: number[];
  isFed: boolean;
  readonly maxContext: number;
}

/** Ids and log-probabilities [steps, rows], and the notes of every slot. */
interface Drawn {
  readonly words: Uint32Array;
  readonly noted: Uint32Array;
}

/** Positions of a slot: the device may be some steps ahead of a sequence's end. */
const capacityOf = (maxContext: number): number => maxContext + BATCH;

/** Sequences of so many positions that fit a binding, and the bytes that are meant for them. */
export function sequencesThatFit(
  { capabilities: { limits } }: Gpu,
  { config }: Pick<Model, "config">,
  { cache }: Plan,
  maxContext: number,
): number {
  const slotBytes = capacityOf(maxContext) * cacheRowBytes(config, cache);
  const inBinding = Math.floor(Math.min(limits.maxBufferSize, limits.maxStorageBufferBindingSize) / slotBytes);
  const inAll = Math.floor(CACHES_BYTES / (2 * config.numHiddenLayers * slotBytes));
  return Math.max(1, Math.min(SEQUENCES, inBinding, inAll));
}

/** @throws GureumError "limit" where the caches of so many slots do not fit a binding */
export function gpuBatch(
  model: Model,
  gpu: Gpu,
  weights: GpuLlamaWeights,
  plan: Plan,
  slots: number,
  maxContext: number,
  open?: Set<{ dispose(): void }>,
): Batch {
  const { config } = model;
  const { vocabSize: V, numAttentionHeads: H, headDim: Hd } = config;
  const memory = makeMemory(gpu);
  const capacity = capacityOf(maxContext);
  const rowBytes = cacheRowBytes(config, plan.cache);
  const most = Math.min(slots, MOST_ROWS);
  const sequences = new Map<number, Sequence>();
  const feedingSession = openGpuSession(model, gpu, weights, plan, maxContext);
  const buffer = <T>(make: () => T): T => {
    try {
      return make();
    } catch (error) {
      freeAll(memory);
      feedingSession.session.dispose();
      const { details, code } = error as GureumError;
      throw error instanceof GureumError
        ? new GureumError(code, { ...details, remedy: "ask for fewer sequences at once, or for a shorter context" })
        : error;
    }
  };
  const uniform = usage.UNIFORM | usage.STORAGE | usage.COPY_DST | usage.COPY_SRC;
  const buffers = buffer(() => {
    const caches = (what: string): GPUBuffer[] =>
      Array.from({ length: config.numHiddenLayers }, (_, i) =>
        allocate(memory, `layers.${i}.${what} caches of ${slots} sequences of ${maxContext} positions`, slots * capacity * rowBytes),
      );
    const rows = allocate(memory, "rows", ROWS_BYTES, uniform);
    const noted = allocate(memory, "noted", slots * 4);
    const sequence: SequenceBuffers = {
      step: allocate(memory, "step", STEP_BYTES, uniform),
      ids: allocate(memory, "ids", MOST_ROWS * 4),
      ropeTable: upload(memory, "rope table", ropeTable(ropeTables(config, capacity, maxContext))),
      keys: caches("key"),
      values: caches("value"),
      cacheDType: plan.cache,
      q: noted, // of the fused kernels, which feed no batch
      noted: { buffer: noted, offset: 0, size: noted.size },
      nothing: allocate(memory, "nothing", 16),
      batch: { rows, slots, capacity, q: allocate(memory, "queries", MOST_ROWS * H * Hd * 4) },
    };
    return {
      rows,
      noted,
      sequence,
      a: makeActivations(memory, config, MOST_ROWS),
      logits: allocate(memory, "logits", Math.ceil(most / plan.batch.tile) * plan.batch.tile * V * 4),
      sampling: allocate(memory, "sampling", SAMPLING_BYTES, usage.UNIFORM | usage.COPY_DST),
      seen: allocate(memory, "seen", most * seenBytes(V)),
      results: allocate(memory, "results", BATCH * most * RESULT_BYTES),
    };
  });
  const { sequence, logits, results, noted } = buffers;
  const forward: ForwardContext = { config, weights, sequence, a: buffers.a, plain: plan.plain, many: false };
  let made: Promise<{ feeder: Feeder; programOf: ReturnType<typeof prepareSampling> }> | undefined;
  const prepared = async (): Promise<Awaited<NonNullable<typeof made>>> => {
    await settle(memory);
    const { sampling, seen, rows } = buffers;
    made ??= plan.batch.prepare({ memory, forward, logits }).then((feeder) => {
      const programOf = prepareSampling(memory, V, most, { logits, seen, sampling, step: rows, ids: sequence.ids, results });
      return { feeder, programOf };
    });
    return made;
  };

  /** Empties a slot, feeds `ids` by the session, but for those that it holds of the prompt before, and copies what it cached there. */
  const cachePrompt = async (slot: number, ids: readonly number[], onProgress?: (done: number) => void | Promise<void>): Promise<void> => {
    const { session, sequence: from } = feedingSession;
    if (ids.length > 0) {
      // A few ids are fed anew. The last always is: that makes the session forget what it noted of positions that were dropped.
      const shared = sharedPrefix(session.ids, ids);
      const held = shared < LONG ? 0 : shared;
      if (session.ids.length > held) session.truncate(held);
      await session.prefill(ids.slice(held), onProgress && ((done) => onProgress(held + done)));
    }
    await settle(memory);
    await guarded(gpu, "prefill", () => {
      writeBytes(gpu, noted, slot * 4, new Uint8Array(4));
      if (ids.length === 0) return;
      const encoder = gpu.device.createCommandEncoder({ label: "prefill" });
      for (const what of ["keys", "values"] as const)
        for (const [i, cache] of from[what].entries())
          encoder.copyBufferToBuffer(cache, 0, sequence[what][i]!, slot * capacity * rowBytes, ids.length * rowBytes);
      encoder.copyBufferToBuffer(from.noted.buffer, from.noted.offset, noted, slot * 4, 4);
      gpu.device.queue.submit([encoder.finish()]);
    });
  };

  const wordsOf = (words: Uint32Array<ArrayBuffer>): Uint8Array<ArrayBuffer> => new Uint8Array(words.buffer);
  /** Which sequences the rows are of, and where. */
  const writeRows = (rows: readonly Row[]): void => {
    writeBytes(gpu, buffers.rows, 0, wordsOf(encodeRows(rows)));
    writeBytes(gpu, sequence.step, 0, wordsOf(encodeStep({ T: rows.length, start: 0, sampled: 0 })));
  };
  const writeIds = (ids: readonly number[]): void => writeBytes(gpu, sequence.ids, 0, wordsOf(Uint32Array.from(ids)));

  /** Feeds the short prompts that wait, all but the last id of each, rows of several in a pass. */
  const feedWaiting = async (work: readonly SlotWork[]): Promise<void> => {
    const waiting = work.filter(({ slot }) => !sequences.get(slot)!.isFed);
    const all = waiting.flatMap(({ slot }) =>
      sequences
        .get(slot)!
        .ids.slice(0, -1)
        .map((id, start) => ({ slot, start, id })),
    );
    if (all.length > 0) {
      const { feeder } = await prepared();
      await guarded(gpu, "batch", () => {
        for (let first = 0; first < all.length; first += MOST_ROWS) {
          const rows = all.slice(first, first + MOST_ROWS);
          writeRows(rows);
          writeIds(rows.map(({ id }) => id));
          const encoder = gpu.device.createCommandEncoder({ label: "batch" });
          const pass = encoder.beginComputePass();
          replay(pass, feeder.layers, rows.length, Math.max(...rows.map(({ start }) => start)));
          pass.end();
          gpu.device.queue.submit([encoder.finish()]);
        }
      });
    }
    for (const { slot } of waiting) sequences.get(slot)!.isFed = true;
  };

  /** Submits `count` steps of the rows of `work`, the first of them `ahead` positions behind what is known of a sequence. */
  const submitSteps = async (work: readonly SlotWork[], count: number, sample: readonly PreparedDispatch[], ahead = 0): Promise<void> => {
    const { feeder } = await prepared();
    const T = work.length;
    await guarded(gpu, "batch", () => {
      const own = work.map(({ slot }) => sequences.get(slot)!.ids);
      const rows = work.map(({ slot }, t) => ({ slot, start: own[t]!.length - 1 + ahead }));
      const last = Math.max(...rows.map(({ start }) => start));
      writeRows(rows);
      if (ahead === 0) writeIds(own.map((ids) => ids.at(-1)!));
      writeBytes(gpu, results, 0, notWritten(BATCH * T));
      const submit = (steps: readonly number[], ...lists: (readonly PreparedDispatch[])[]): void => {
        const encoder = gpu.device.createCommandEncoder({ label: "batch" });
        for (const i of steps) {
          const pass = encoder.beginComputePass();
          for (const dispatches of lists) replay(pass, dispatches, T, last + i);
          pass.end();
        }
        gpu.device.queue.submit([encoder.finish()]);
      };
      // The device starts on the first layers while the rest is still encoded.
      const { layers, head } = feeder;
      const early = Math.floor(layers.length / 8);
      submit([0], layers.slice(0, early));
      submit([0], layers.slice(early), head, sample);
      for (let i = 1; i < count; i += PER_SUBMIT) {
        const steps = Array.from({ length: Math.min(PER_SUBMIT, count - i) }, (_, n) => i + n);
        submit(steps, layers, head, sample);
      }
    });
  };

  /** What the device drew in `count` steps of `T` rows, and what is noted of each slot. */
  const readDrawn = async (T: number, count: number): Promise<Drawn> => {
    const [words, notes] = await readRanges(gpu, "batch", [
      { buffer: results, byteOffset: 0, byteLength: count * T * RESULT_BYTES },
      { buffer: noted, byteOffset: 0, byteLength: slots * 4 },
    ]);
    return { words: new Uint32Array(words!), noted: new Uint32Array(notes!) };
  };

  /** Positions that are left of a sequence. */
  const roomOf = ({ slot }: SlotWork): number => sequences.get(slot)!.maxContext - sequences.get(slot)!.ids.length;

  /** What the device drew in row t, up to a position that the cache does not hold, or to the end of the context. */
  const drawnIn = ({ slot }: SlotWork, t: number, T: number, count: number, { words, noted: notes }: Drawn): SlotTokens => {
    const { ids, maxContext: own } = sequences.get(slot)!;
    const floats = new Float32Array(words.buffer);
    const beyond = notedPosition(notes[slot]!);
    const tokens: Token[] = [];
    for (let i = 0; i < count && ids.length < own; i++) {
      if (beyond !== null && beyond < ids.length) return { tokens, error: beyondCache(beyond) };
      const at = 2 * (i * T + t);
      tokens.push({ id: words[at]!, logprob: floats[at + 1]! });
      ids.push(words[at]!);
    }
    return { tokens };
  };

  /** A step whose logits come to the host, where each row is drawn by its own `choose`. */
  const stepOnHost = async (work: readonly SlotWork[]): Promise<SlotTokens[]> => {
    await feedWaiting(work);
    await submitSteps(work, 1, []);
    const { noted: notes } = await readDrawn(work.length, 1);
    const ranges = work.map((_, t) => ({ buffer: logits, byteOffset: t * V * 4, byteLength: V * 4 }));
    const rows = await readRanges(gpu, "logits", ranges);
    return work.map(({ slot, choose }, t): SlotTokens => {
      const { ids } = sequences.get(slot)!;
      const beyond = notedPosition(notes[slot]!);
      if (beyond !== null && beyond < ids.length) return { tokens: [], error: beyondCache(beyond) };
      try {
        const token = choose!(new Float32Array(rows[t]!), ids);
        ids.push(token.id);
        return { tokens: [token] };
      } catch (error) {
        return { tokens: [], error };
      }
    });
  };

  /**
   * Draws up to `count` tokens of each, all on the device: the next eight steps are submitted before those before them are looked at, as long as
   * every sequence goes on. What it draws past the end of one is dropped.
   */
  const drawOnDevice = async (work: readonly SlotWork[], count: number, take: (drawn: readonly SlotTokens[]) => void): Promise<void> => {
    await feedWaiting(work);
    const { programOf } = await prepared();
    const penalized = work.some(({ sampling }) => sampling.repetitionPenalty !== 1);
    const random = work.some(({ sampling }) => sampling.temperature > 0);
    const sample = await programOf({ repetitionPenalty: penalized ? 2 : 1, temperature: random ? 1 : 0 });
    await guarded(gpu, "batch", () => {
      writeBytes(gpu, buffers.sampling, 0, encodeSampling(...work.map(({ sampling }) => (random ? drawn(sampling) : sampling))));
      if (penalized)
        for (const [t, { slot }] of work.entries()) writeBytes(gpu, buffers.seen, t * seenBytes(V), seenBits(sequences.get(slot)!.ids, V));
    });
    const T = work.length;
    const next = (done: number): number => Math.min(BATCH, count - done);
    await submitSteps(work, next(0), sample);
    for (let done = 0; done < count; done += BATCH) {
      const reading = readDrawn(T, next(done));
      reading.catch(() => {}); // reported where it is waited for
      if (done + BATCH < count) await submitSteps(work, next(done + BATCH), sample, next(done));
      const read = await reading;
      take(work.map((row, t) => drawnIn(row, t, T, next(done), read)));
    }
  };

  const decode = async (work: readonly SlotWork[], count: number): Promise<SlotTokens[]> => {
    const outcome = work.map((): { tokens: Token[]; error?: unknown } => ({ tokens: [] }));
    /** Those that may draw one more. */
    const alive = (onHost: boolean): number[] =>
      work.flatMap(({ slot, choose }, w) => {
        const { ids, maxContext: own } = sequences.get(slot)!;
        return (choose !== undefined) === onHost && outcome[w]!.error === undefined && ids.length < own ? [w] : [];
      });
    const take = (those: readonly number[], drawn: readonly SlotTokens[]): void => {
      for (const [t, w] of those.entries()) {
        if (outcome[w]!.error !== undefined) continue;
        outcome[w]!.tokens.push(...drawn[t]!.tokens);
        if (drawn[t]!.error !== undefined) outcome[w]!.error = drawn[t]!.error;
      }
    };
    for (let done = 0; done < count; ) {
      const onDevice = alive(false);
      if (onDevice.length === 0) break;
      /** Steps before the first of them comes to its end, in whole eights. */
      const left = Math.min(...onDevice.map((w) => roomOf(work[w]!)));
      const steps = Math.min(count - done, Math.max(BATCH, left - (left % BATCH)));
      for (let first = 0; first < onDevice.length; first += MOST_ROWS) {
        const those = onDevice.slice(first, first + MOST_ROWS);
        await drawOnDevice(
          those.map((w) => work[w]!),
          steps,
          (drawn) => take(those, drawn),
        );
      }
      done += steps;
    }
    for (let step = 0; step < count; step++) {
      const onHost = alive(true);
      for (let first = 0; first < onHost.length; first += MOST_ROWS) {
        const those = onHost.slice(first, first + MOST_ROWS);
        take(those, await stepOnHost(those.map((w) => work[w]!)));
      }
    }
    return outcome;
  };

  return guardBatch(
    {
      model,
      slots,
      maxContext,
      ids: (slot) => sequences.get(slot)?.ids ?? [],
      async prefill(slot, given, own = maxContext, onProgress) {
        checkFeed(config, 0, own, given);
        const ids = Array.from(given);
        const isFed = ids.length >= LONG;
        // The last id is fed by the first step.
        await cachePrompt(slot, isFed ? ids.slice(0, -1) : [], onProgress);
        await onProgress?.(ids.length);
        sequences.set(slot, { ids, isFed, maxContext: own });
      },
      decode,
      clear(slot) {
        sequences.delete(slot);
      },
      dispose() {
        sequences.clear();
        feedingSession.session.dispose();
        freeAll(memory);
      },
    },
    open,
  );
}

/** Options as a batch draws them that also draws at random: the likeliest id is the one that top-k 1 leaves. */
const drawn = (sampling: SamplingOptions): SamplingOptions =>
  sampling.temperature > 0 ? sampling : { ...sampling, temperature: 1, topK: 1, topP: 1, minP: 0 };

const beyondCache = (position: number): GureumError =>
  new GureumError("non-finite", {
    where: "keys and values",
    what: `beyond the f16 cache at position ${position}`,
    expected: "magnitudes up to 65504",
    remedy: "use an f32 cache (--kv-cache f32) or the CPU backend",
  });
