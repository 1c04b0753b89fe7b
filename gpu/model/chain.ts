/**
 * Sampling and decoding on the GPU: every token is one compute pass over prepared dispatches, and its id,
 * log-probability and position never leave the device between tokens. Results are copied out after each batch and
 * fetched while the next one runs; a caller who comes back for more finds the next batch under way.
 */
import type { DecodedBatch, SamplingOptions } from "../../core/model/engine.ts";
import { allocate, type Memory, settle, usage, writeBytes } from "../device/buffer.ts";
import { guarded, waited } from "../device/device.ts";
import { logitsPartials } from "../kernels/sampling/logits-partials.ts";
import { penalize } from "../kernels/sampling/penalize.ts";
import { sampleBorder } from "../kernels/sampling/sample-border.ts";
import { sampleGreedy } from "../kernels/sampling/sample-greedy.ts";
import { sampleRandom } from "../kernels/sampling/sample-random.ts";
import { makeRecorder, type PreparedDispatch, prepare, recordKernel, replay } from "../pipeline/recorder.ts";
import type { Feeder } from "../programs/program.ts";
import { notedPosition } from "../wgsl/cache.ts";
import { PARTIAL_BYTES, PARTIALS } from "../wgsl/partial.ts";
import { BORDER_BYTES, encodeSampling, RESULT_BYTES, SAMPLING_BYTES, seenBytes } from "../wgsl/sampling.ts";
import { encodeStep } from "../wgsl/step.ts";
import { notedRange } from "./noted.ts";
import type { GpuSequence } from "./sequence.ts";

/** Tokens in one read. */
export const BATCH = 8;
/** Tokens a submission holds. */
const PER_SUBMIT = 2;
/** Batches that may be under way at once. */
const IN_FLIGHT = 2;

/** Samples for one session. Calls must not overlap. */
export interface Decoder {
  /**
   * Samples `count` ids after `known`. `lastNotFed`: the last of them is still to be fed; otherwise `self.logits` holds
   * what follows it. The batch ends before an id that follows a key or value beyond an f16 cache; `noted` is its position then.
   * @throws GureumError "device-lost"
   */
  decode(
    sampling: SamplingOptions,
    count: number,
    known: readonly number[],
    lastNotFed: boolean,
  ): Promise<DecodedBatch & { readonly noted: number | null }>;
  /** What was sampled beyond the last call's ids is not wanted: something else was fed, or ids were dropped. */
  forget(): void;
}

/** A batch on its way. */
interface Batch {
  readonly mapped: Promise<undefined>;
  readonly staging: GPUBuffer;
  readonly n: number;
  /** Position that the first of its ids follows. */
  readonly after: number;
}

/** A run of tokens that the GPU continues by itself. */
interface Chain {
  readonly sampling: SamplingOptions;
  /** Whether the first token comes from logits that are there already. */
  readonly pending: boolean;
  readonly from: number;
  /** Length of the sequence with all that was submitted, and with all that was handed out. */
  submitted: number;
  given: number;
}

/** [penalized][random]: from `logits` to the next id. */
type SamplePrograms = readonly (readonly (readonly PreparedDispatch[])[])[];

/** What results hold before a draw: where logits are not finite no lane may win, and a log-probability of NaN is left to say so. */
export const notWritten = (count: number): Uint8Array<ArrayBuffer> => new Uint8Array(count * RESULT_BYTES).fill(0xff);

/** What the kernels of sampling share with whoever feeds them. */
type SampledBuffers = Readonly<Record<"logits" | "seen" | "sampling" | "step" | "ids" | "results", GPUBuffer>>;

/** From logits [T, V] of up to `rows` rows to the next id of each. */
export function prepareSampling(memory: Memory, V: number, rows: number, shared: SampledBuffers): Promise<SamplePrograms> {
  const partials = allocate(memory, "partials", rows * PARTIALS * PARTIAL_BYTES);
  const border = allocate(memory, "border", rows * BORDER_BYTES);
  const scores = allocate(memory, "scores", rows * V * 4);
  const program = (penalized: boolean, random: boolean): Promise<PreparedDispatch[]> => {
    const recorder = makeRecorder();
    const buffers = { ...shared, partials, border, scores: penalized ? scores : shared.logits };
    if (penalized) recordKernel(recorder, penalize, buffers, { V });
    recordKernel(recorder, logitsPartials, buffers, { V });
    if (random) recordKernel(recorder, sampleBorder, buffers, { V });
    recordKernel(recorder, random ? sampleRandom : sampleGreedy, buffers, { V });
    return prepare(recorder, memory);
  };
  return Promise.all([false, true].map((penalized) => Promise.all([false, true].map((random) => program(penalized, random)))));
}

export async function makeDecoder(self: GpuSequence, { layers, head }: Feeder, maxContext: number): Promise<Decoder> {
  const { gpu, memory, context, logits } = self;
  const V = context.config.vocabSize;
  const note = notedRange(self);
  const { step, ids } = context.sequence;
  const samplingBuffer = allocate(memory, "sampling", SAMPLING_BYTES, usage.UNIFORM | usage.COPY_DST);
  const seen = allocate(memory, "seen", seenBytes(V));
  const results = allocate(memory, "results", BATCH * RESULT_BYTES);
  const programs = await prepareSampling(memory, V, 1, { logits, seen, sampling: samplingBuffer, step, ids, results });
  const free = Array.from({ length: IN_FLIGHT }, (_, i) =>
    allocate(memory, `results (staging ${i})`, BATCH * RESULT_BYTES + note.byteLength, usage.MAP_READ | usage.COPY_DST),
  );
  await settle(memory);

  let chain: Chain | undefined;
  const flight: Batch[] = [];
  let ready: { id: number; logprob: number; noted: number | null }[] = [];

  const begin = (sampling: SamplingOptions, known: readonly number[], lastNotFed: boolean): Chain => {
    writeBytes(gpu, samplingBuffer, 0, encodeSampling(sampling));
    if (sampling.repetitionPenalty !== 1) writeBytes(gpu, seen, 0, seenBits(known, V));
    if (lastNotFed) writeBytes(gpu, ids, 0, new Uint8Array(Uint32Array.of(known[known.length - 1]!).buffer));
    return { sampling, pending: !lastNotFed, from: known.length, submitted: known.length, given: known.length };
  };

  /** Submits the chain's next n tokens; their results are on the way. */
  const submit = async (on: Chain, n: number): Promise<void> => {
    const sample = programs[Number(on.sampling.repetitionPenalty !== 1)]![Number(on.sampling.temperature > 0)]!;
    const staging = free.pop()!;
    await guarded(gpu, "decode", () => {
      // `start` is where the token fed last stands: the sampling kernel moves on from there.
      writeBytes(gpu, step, 0, new Uint8Array(encodeStep({ T: 1, start: on.submitted - 1, sampled: 0 }).buffer));
      writeBytes(gpu, results, 0, notWritten(BATCH));
      // The device starts on the first tokens while the rest is still encoded.
      for (let first = 0; first < n; first += PER_SUBMIT) {
        const encoder = gpu.device.createCommandEncoder({ label: "decode" });
        for (let i = first; i < Math.min(n, first + PER_SUBMIT); i++) {
          const position = on.submitted - 1 + i;
          const pass = encoder.beginComputePass();
          if (!on.pending || on.submitted + i > on.from) {
            replay(pass, layers, 1, position);
            replay(pass, head, 1, position);
          }
          replay(pass, sample, 1, position);
          pass.end();
        }
        if (first + PER_SUBMIT >= n) {
          encoder.copyBufferToBuffer(results, 0, staging, 0, n * RESULT_BYTES);
          encoder.copyBufferToBuffer(note.buffer, note.byteOffset, staging, BATCH * RESULT_BYTES, note.byteLength);
        }
        gpu.device.queue.submit([encoder.finish()]);
      }
    });
    const after = on.submitted - 1;
    on.submitted += n;
    const mapped = waited(gpu, "decode", staging.mapAsync(1));
    mapped.catch(() => {}); // reported where it is waited for
    flight.push({ mapped, staging, n, after });
  };

  const collect = async (): Promise<void> => {
    const { mapped, staging, n, after } = flight.shift()!;
    await mapped;
    const range = staging.getMappedRange();
    const words = new Uint32Array(range);
    const floats = new Float32Array(range);
    const first = notedPosition(words[(BATCH * RESULT_BYTES) / 4]!);
    for (let i = 0; i < n; i++) {
      const noted = first !== null && first <= after + i ? first : null;
      ready.push({ id: words[2 * i]!, logprob: floats[2 * i + 1]!, noted });
    }
    staging.unmap();
    free.push(staging);
  };

  return {
    async decode(sampling, count, known, lastNotFed) {
      const goesOn = chain !== undefined && chain.given === known.length && isSame(chain.sampling, sampling);
      if (!goesOn) {
        while (flight.length > 0) await collect();
        ready = [];
        chain = begin(sampling, known, lastNotFed);
      }
      const on = chain!;
      // Who came back once will come again: the batch after these is started before they are waited for.
      const wanted = on.given + count;
      const target = Math.min(maxContext, wanted + (goesOn ? BATCH : 0));
      for (;;) {
        while (flight.length < IN_FLIGHT && on.submitted < target) {
          const end = on.submitted < wanted ? wanted : target;
          await submit(on, Math.min(BATCH, end - on.submitted));
        }
        if (ready.length >= count) break;
        await collect();
      }
      const all = ready.splice(0, count);
      on.given = wanted;
      const noted = all.find(({ noted }) => noted !== null)?.noted ?? null;
      const given = all.filter(({ noted }) => noted === null);
      return { ids: given.map(({ id }) => id), logprobs: given.map(({ logprob }) => logprob), noted };
    },
    forget() {
      chain = undefined;
    },
  };
}

const isSame = (a: SamplingOptions, b: SamplingOptions): boolean =>
  (Object.keys(a) as (keyof SamplingOptions)[]).every((name) => a[name] === b[name]);

/** One bit an id. */
export function seenBits(ids: readonly number[], V: number): Uint8Array<ArrayBuffer> {
  const bits = new Uint32Array(Math.ceil(V / 32));
  for (const id of ids) bits[id >> 5] = bits[id >> 5]! | (1 << (id & 31));
  return new Uint8Array(bits.buffer);
}
