/**
 * Sampling and decoding on the GPU: every token is one compute pass over prepared dispatches, and its id, log-probability and
 * position never leave the device between tokens. Results are copied out after each batch and fetched while the next one runs.
 */
import type { DecodedBatch, SamplingOptions } from "../../core/model/engine.ts";
import { allocate, settle, usage, writeBytes } from "../buffer.ts";
import { guarded, waited } from "../device.ts";
import { recordLogitsPartials } from "../kernels/logits-partials.ts";
import { recordPenalize } from "../kernels/penalize.ts";
import { recordSampleBorder } from "../kernels/sample-border.ts";
import { recordSampleGreedy } from "../kernels/sample-greedy.ts";
import { recordSampleRandom } from "../kernels/sample-random.ts";
import { makeRecorder, type PreparedDispatch, prepare, replay } from "../recorder.ts";
import { PARTIALS } from "../wgsl/partial.ts";
import { BORDER_BYTES, encodeSampling, SAMPLING_BYTES } from "../wgsl/sampling.ts";
import { encodeStep } from "../wgsl/step.ts";
import type { GpuSequence } from "./session.ts";

/** Tokens in one submission and one read. */
export const BATCH = 8;
/** Submissions that may be under way at once. */
const IN_FLIGHT = 2;
const RESULT_BYTES = 8;

export interface Decoder {
  /** One token: the forward pass and the head, without the sampling. */
  readonly forward: readonly PreparedDispatch[];
  /** From `logits` to the next id, by [penalized][random]. */
  readonly sample: readonly (readonly (readonly PreparedDispatch[])[])[];
  readonly sampling: GPUBuffer;
  /** [V/32] one bit for each id that occurs in the sequence */
  readonly seen: GPUBuffer;
  /** [BATCH] (id, log-probability) */
  readonly results: GPUBuffer;
  readonly staging: readonly GPUBuffer[];
}

export async function makeDecoder(
  { memory, context, logits }: GpuSequence,
  layers: readonly PreparedDispatch[],
  head: readonly PreparedDispatch[],
): Promise<Decoder> {
  const V = context.config.vocabSize;
  const { step, ids } = context.sequence;
  const sampling = allocate(memory, "sampling", SAMPLING_BYTES, usage.UNIFORM | usage.COPY_DST);
  const seen = allocate(memory, "seen", Math.ceil(V / 32) * 4);
  const results = allocate(memory, "results", BATCH * RESULT_BYTES);
  const partials = allocate(memory, "partials", PARTIALS * 16);
  const border = allocate(memory, "border", BORDER_BYTES);
  const penalized = allocate(memory, "scores", V * 4);
  const sample = await Promise.all(
    [false, true].map((penalize) =>
      Promise.all(
        [false, true].map((random) => {
          const recorder = makeRecorder();
          const scores = penalize ? penalized : logits;
          if (penalize) recordPenalize(recorder, { logits, seen, sampling, scores }, { V });
          recordLogitsPartials(recorder, { logits, scores, partials }, { V });
          const out = { step, ids, seen, results };
          if (random) {
            recordSampleBorder(recorder, { scores, partials, sampling, border }, { V });
            recordSampleRandom(recorder, { logits, scores, partials, sampling, border, ...out }, { V });
          } else recordSampleGreedy(recorder, { logits, partials, ...out });
          return prepare(recorder, memory);
        }),
      ),
    ),
  );
  const staging = Array.from({ length: IN_FLIGHT }, (_, i) =>
    allocate(memory, `results (staging ${i})`, BATCH * RESULT_BYTES, usage.MAP_READ | usage.COPY_DST),
  );
  await settle(memory);
  return { forward: [...layers, ...head], sample, sampling, seen, results, staging };
}

/**
 * Samples `count` ids after `known`. `lastNotFed`: the last of them is still to be fed; otherwise `self.logits` holds what follows it.
 */
export async function decodeBatches(
  { gpu, context }: GpuSequence,
  decoder: Decoder,
  sampling: SamplingOptions,
  count: number,
  known: readonly number[],
  lastNotFed: boolean,
): Promise<DecodedBatch> {
  const { step, ids } = context.sequence;
  const penalize = sampling.repetitionPenalty !== 1;
  const sample = decoder.sample[Number(penalize)]![Number(sampling.temperature > 0)]!;
  writeBytes(gpu, decoder.sampling, 0, encodeSampling(sampling));
  if (penalize) writeBytes(gpu, decoder.seen, 0, seenBits(known, context.config.vocabSize));
  if (lastNotFed) writeBytes(gpu, ids, 0, new Uint8Array(Uint32Array.of(known[known.length - 1]!).buffer));

  /** Submits tokens done … done + n − 1 of this call; their results are on the way to `staging`. */
  const submit = (done: number, n: number, staging: GPUBuffer): Promise<void> =>
    guarded(gpu, "decode", () => {
      // `start` is where the token fed last stands: the sampling kernel moves on from there.
      writeBytes(gpu, step, 0, new Uint8Array(encodeStep({ T: 1, start: known.length - 1 + done, sampled: 0 }).buffer));
      const encoder = gpu.device.createCommandEncoder({ label: "decode" });
      for (let i = 0; i < n; i++) {
        const pass = encoder.beginComputePass();
        if (lastNotFed || done + i > 0) replay(pass, decoder.forward, 1);
        replay(pass, sample, 1);
        pass.end();
      }
      encoder.copyBufferToBuffer(decoder.results, 0, staging, 0, n * RESULT_BYTES);
      gpu.device.queue.submit([encoder.finish()]);
    });

  const out: { ids: number[]; logprobs: number[] } = { ids: [], logprobs: [] };
  const underWay: { mapped: Promise<undefined>; staging: GPUBuffer; n: number }[] = [];
  const collect = async (): Promise<void> => {
    const { mapped, staging, n } = underWay.shift()!;
    await mapped;
    const range = staging.getMappedRange();
    const words = new Uint32Array(range);
    const floats = new Float32Array(range);
    for (let i = 0; i < n; i++) {
      out.ids.push(words[2 * i]!);
      out.logprobs.push(floats[2 * i + 1]!);
    }
    staging.unmap();
  };
  for (let done = 0, batch = 0; done < count; done += BATCH, batch++) {
    if (underWay.length === IN_FLIGHT) await collect();
    const n = Math.min(BATCH, count - done);
    const staging = decoder.staging[batch % IN_FLIGHT]!;
    await submit(done, n, staging);
    const mapped = waited(gpu, "decode", staging.mapAsync(1));
    mapped.catch(() => {}); // reported where it is waited for
    underWay.push({ mapped, staging, n });
  }
  while (underWay.length > 0) await collect();
  return out;
}

function seenBits(ids: readonly number[], V: number): Uint8Array<ArrayBuffer> {
  const bits = new Uint32Array(Math.ceil(V / 32));
  for (const id of ids) bits[id >> 5] = bits[id >> 5]! | (1 << (id & 31));
  return new Uint8Array(bits.buffer);
}
