/**
 * Decoding on the GPU: every token is one compute pass over prepared dispatches, and its id, log-probability and
 * position never leave the device between tokens. Results are copied out after each batch and fetched while the next one
 * runs; a caller who comes back for more finds the next batch under way. How an id is chosen is the line's business.
 */
import type { DecodedBatch, SamplingOptions } from "../../core/model/engine.ts";
import { allocate, type Memory, type Range, settle, usage, writeBytes } from "../device/buffer.ts";
import { guarded, waited } from "../device/device.ts";
import { type PreparedDispatch, replay } from "../pipeline/recorder.ts";
import type { Feeder } from "../programs/program.ts";
import { notedPosition } from "../wgsl/cache.ts";
import { RESULT_BYTES } from "../wgsl/sampling.ts";
import { encodeStep } from "../wgsl/step.ts";

/** Tokens in one read. */
export const BATCH = 8;
/** Tokens a submission holds. */
const PER_SUBMIT = 2;
/** Batches that may be under way at once, so that a host which is kept from its work for tens of milliseconds holds no device up. */
const IN_FLIGHT = 4;

/** What a chain runs on. */
export interface Line {
  readonly memory: Memory;
  /** struct Step, and the ids fed now: choosing an id moves both on. */
  readonly step: GPUBuffer;
  readonly ids: GPUBuffer;
  /** BATCH results: where the choice of each token is left. */
  readonly results: GPUBuffer;
  /** What feeds a token: waited for when one is fed, since the first id of a prompt comes from logits that are there. */
  readonly feeder: Promise<Feeder>;
  /** Where a position is noted from which on nothing counts (gpu/model/noted.ts); null where none can be. */
  readonly note: Range | null;
  /** From logits to the next id, for a run that goes on from `known`; writes what these dispatches read. */
  begin(sampling: SamplingOptions, known: readonly number[]): Promise<readonly PreparedDispatch[]>;
  /** The log-probability that a result's word stands for. */
  logprob(word: number): number;
}

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
  readonly choose: readonly PreparedDispatch[];
  /** Whether the first token comes from logits that are there already. */
  readonly pending: boolean;
  readonly from: number;
  /** Length of the sequence with all that was submitted, and with all that was handed out. */
  submitted: number;
  given: number;
}

const nothingFed: Feeder = { layers: [], head: [] };

/** What results hold before a draw: where logits are not finite no lane may win, and a log-probability of NaN is left to say so. */
export const notWritten = (count: number): Uint8Array<ArrayBuffer> => new Uint8Array(count * RESULT_BYTES).fill(0xff);

export async function makeDecoder(line: Line, maxContext: number): Promise<Decoder> {
  const { memory, step, ids, results, note } = line;
  const { gpu } = memory;
  const free = Array.from({ length: IN_FLIGHT }, (_, i) =>
    allocate(memory, `results (staging ${i})`, BATCH * RESULT_BYTES + (note?.byteLength ?? 0), usage.MAP_READ | usage.COPY_DST),
  );
  await settle(memory);

  let chain: Chain | undefined;
  const flight: Batch[] = [];
  let ready: { id: number; logprob: number; noted: number | null }[] = [];

  const begin = async (sampling: SamplingOptions, known: readonly number[], lastNotFed: boolean): Promise<Chain> => {
    const choose = await line.begin(sampling, known);
    if (lastNotFed) writeBytes(gpu, ids, 0, new Uint8Array(Uint32Array.of(known[known.length - 1]!).buffer));
    return { sampling, choose, pending: !lastNotFed, from: known.length, submitted: known.length, given: known.length };
  };

  /** Submits the chain's next n tokens; their results are on the way. */
  const submit = async (on: Chain, n: number): Promise<void> => {
    const feeds = !on.pending || on.submitted + n - 1 > on.from;
    const { layers, head } = feeds ? await line.feeder : nothingFed;
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
          replay(pass, on.choose, 1, position);
          pass.end();
        }
        if (first + PER_SUBMIT >= n) {
          encoder.copyBufferToBuffer(results, 0, staging, 0, n * RESULT_BYTES);
          if (note) encoder.copyBufferToBuffer(note.buffer, note.byteOffset, staging, BATCH * RESULT_BYTES, note.byteLength);
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
    const first = note && notedPosition(words[(BATCH * RESULT_BYTES) / 4]!);
    for (let i = 0; i < n; i++) {
      const noted = first !== null && first <= after + i ? first : null;
      ready.push({ id: words[2 * i]!, logprob: line.logprob(words[2 * i + 1]!), noted });
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
        chain = await begin(sampling, known, lastNotFed);
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
