/**
 * Sampling on the GPU (docs/sampling.md): from logits to ids, by the kernels of gpu/kernels/sampling; and the line of a
 * session that decodes with them.
 */
import type { SamplingOptions } from "../../core/model/engine.ts";
import { allocate, type Memory, usage, writeBytes } from "../device/buffer.ts";
import { logitsPartials } from "../kernels/sampling/logits-partials.ts";
import { penalize } from "../kernels/sampling/penalize.ts";
import { sampleBorder } from "../kernels/sampling/sample-border.ts";
import { sampleGreedy } from "../kernels/sampling/sample-greedy.ts";
import { sampleRandom } from "../kernels/sampling/sample-random.ts";
import { makeRecorder, type PreparedDispatch, prepare, recordKernel } from "../pipeline/recorder.ts";
import type { Feeder } from "../programs/program.ts";
import { PARTIAL_BYTES, PARTIALS } from "../wgsl/partial.ts";
import { BORDER_BYTES, encodeSampling, RESULT_BYTES, SAMPLING_BYTES, seenBytes } from "../wgsl/sampling.ts";
import { BATCH, type Line } from "./chain.ts";
import { notedRange } from "./noted.ts";
import type { GpuSequence } from "./sequence.ts";

/** From `logits` to the next id; each is compiled when it is first asked for. */
type SamplePrograms = (options: Pick<SamplingOptions, "repetitionPenalty" | "temperature">) => Promise<readonly PreparedDispatch[]>;

/** What the kernels of sampling share with whoever feeds them. */
type SampledBuffers = Readonly<Record<"logits" | "seen" | "sampling" | "step" | "ids" | "results", GPUBuffer>>;

/** From logits [T, V] of up to `rows` rows to the next id of each. */
export function prepareSampling(memory: Memory, V: number, rows: number, shared: SampledBuffers): SamplePrograms {
  const partials = allocate(memory, "partials", rows * PARTIALS * PARTIAL_BYTES);
  const border = allocate(memory, "border", rows * BORDER_BYTES);
  const scores = allocate(memory, "scores", rows * V * 4);
  const make = async (penalized: boolean, random: boolean): Promise<PreparedDispatch[]> => {
    const recorder = makeRecorder();
    const buffers = { ...shared, partials, border, scores: penalized ? scores : shared.logits };
    if (penalized) recordKernel(recorder, penalize, buffers, { V });
    recordKernel(recorder, logitsPartials, buffers, { V });
    if (random) recordKernel(recorder, sampleBorder, buffers, { V });
    recordKernel(recorder, random ? sampleRandom : sampleGreedy, buffers, { V });
    return prepare(recorder, memory);
  };
  const made = new Map<string, Promise<PreparedDispatch[]>>();
  return ({ repetitionPenalty, temperature }) => {
    const how = [repetitionPenalty !== 1, temperature > 0] as const;
    const program = made.get(how.join()) ?? make(...how);
    made.set(how.join(), program);
    return program;
  };
}

/** What a session's chain runs on; `feederOf` is called once ids can be chosen. */
export function sampledLine(self: GpuSequence, feederOf: () => Promise<Feeder>): Line {
  const { gpu, memory, context, logits } = self;
  const V = context.config.vocabSize;
  const { step, ids } = context.sequence;
  const sampling = allocate(memory, "sampling", SAMPLING_BYTES, usage.UNIFORM | usage.COPY_DST);
  const seen = allocate(memory, "seen", seenBytes(V));
  const results = allocate(memory, "results", BATCH * RESULT_BYTES);
  const programOf = prepareSampling(memory, V, 1, { logits, seen, sampling, step, ids, results });
  const usual = Promise.all([0, 1].map((temperature) => programOf({ repetitionPenalty: 1, temperature })));
  const feeder = usual.then(feederOf);
  feeder.catch(() => {}); // reported where it is waited for
  const float = new Float32Array(1);
  const bits = new Uint32Array(float.buffer);
  return {
    memory,
    step,
    ids,
    results,
    feeder,
    note: notedRange(self),
    begin(options, known) {
      writeBytes(gpu, sampling, 0, encodeSampling(options));
      if (options.repetitionPenalty !== 1) writeBytes(gpu, seen, 0, seenBits(known, V));
      return programOf(options);
    },
    logprob(word) {
      bits[0] = word;
      return float[0]!;
    },
  };
}

/** One bit an id. */
export function seenBits(ids: readonly number[], V: number): Uint8Array<ArrayBuffer> {
  const bits = new Uint32Array(Math.ceil(V / 32));
  for (const id of ids) bits[id >> 5] = bits[id >> 5]! | (1 << (id & 31));
  return new Uint8Array(bits.buffer);
}
