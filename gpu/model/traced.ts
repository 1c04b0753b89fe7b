/**
 * A forward pass with somebody watching: every wanted tap point is copied out as it arises, and what a hook replaces is
 * written back before the pass goes on. All T rows go at once, in buffers of their own that live as long as the call.
 */
import { type Taps, tapShape } from "../../core/model/trace.ts";
import { allocate, freeAll, makeMemory, readF32, settle, usage, writeBytes } from "../device/buffer.ts";
import { guarded, waited } from "../device/device.ts";
import { makeRecorder, type PreparedDispatch, prepare, replay } from "../pipeline/recorder.ts";
import { FEW_ROWS } from "../programs/steps.ts";
import { encodeStep } from "../wgsl/step.ts";
import { type Mark, recordFinalNorm, recordHead, recordLayers } from "./llama.ts";
import { type ForwardContext, type GpuSequence, makeActivations } from "./sequence.ts";

/** Bytes of copies that may wait on the GPU before they are fetched. */
const WAITING_BYTES = 64 * 2 ** 20;

interface Wanted {
  readonly name: string;
  readonly buffer: GPUBuffer;
  /** Dispatches that come before it. */
  readonly after: number;
  readonly shape: number[];
}

/**
 * Feeds `tokens` at position `start`; logits of all rows or of the last. The last row's logits stay in `self.logits`
 * too.
 * @throws GureumError "limit" where T rows, or their attention weights, exceed a buffer; what a hook throws
 */
export async function forwardTraced(
  self: GpuSequence,
  tokens: readonly number[],
  start: number,
  allRows: boolean,
  taps: Taps,
): Promise<Float32Array> {
  const { gpu } = self;
  const { config, sequence: shared } = self.context;
  const { hiddenSize: D, vocabSize: V, numAttentionHeads: H } = config;
  const T = tokens.length;
  const S = start + T;
  const memory = makeMemory(gpu);
  try {
    const a = makeActivations(memory, config, T);
    const sequence = { ...shared, ids: allocate(memory, "ids", T * 4) };
    const c: ForwardContext = { ...self.context, sequence, a, many: T >= FEW_ROWS };
    const rows = allRows ? T : 1;
    const logits = allocate(memory, "logits (traced)", rows * V * 4);
    const recorder = makeRecorder();
    const wanted: Wanted[] = [];
    const mark: Mark = (name, buffer) => {
      if (taps.wants(name))
        wanted.push({ name, buffer, after: recorder.dispatches.length, shape: tapShape(config, name, name === "logits" ? rows : T, S) });
    };
    const watched =
      config.numHiddenLayers === 0
        ? []
        : Array.from({ length: config.numHiddenLayers }, (_, i) => taps.wants(`layers.${i}.attentionWeights`));
    const attentionWeights = watched.includes(true) ? allocate(memory, `attention weights [${T}, ${H}, ${S}]`, T * H * S * 4) : undefined;
    recordLayers(recorder, c, mark, (i) => (watched[i] ? attentionWeights : undefined));
    recordFinalNorm(recorder, c, false);
    mark("finalNorm", a.normed);
    const beforeHead = recorder.dispatches.length;
    const lastNormed = allocate(memory, "finalNorm (last row)", D * 4);
    if (allRows) recordHead(recorder, c, a.normed, logits, false);
    else recordHead(recorder, c, lastNormed, logits, true);
    mark("logits", logits);
    const dispatches = await prepare(recorder, memory);
    await settle(memory);

    writeBytes(gpu, sequence.step, 0, new Uint8Array(encodeStep({ T, start, sampled: 0 }).buffer));
    writeBytes(gpu, sequence.ids, 0, new Uint8Array(Uint32Array.from(tokens).buffer));
    // The last row is picked out of the final norm once that is settled: a boundary of the run, as a tap point is.
    const copyLastRow = (encoder: GPUCommandEncoder): void => encoder.copyBufferToBuffer(a.normed, (T - 1) * D * 4, lastNormed, 0, D * 4);
    await run(self, dispatches, T, start, wanted, taps, allRows ? undefined : { at: beforeHead, command: copyLastRow });
    await guarded(gpu, "logits", () => {
      const encoder = gpu.device.createCommandEncoder();
      encoder.copyBufferToBuffer(logits, (rows - 1) * V * 4, self.logits, 0, V * 4);
      gpu.device.queue.submit([encoder.finish()]);
    });
    return await readF32(gpu, logits, rows * V);
  } finally {
    freeAll(memory);
  }
}

/**
 * Runs the dispatches, stopping where a wanted value has arisen; `between` is encoded before the dispatch at its index.
 */
async function run(
  { gpu }: GpuSequence,
  dispatches: readonly PreparedDispatch[],
  T: number,
  start: number,
  wanted: readonly Wanted[],
  taps: Taps,
  between: { at: number; command: (encoder: GPUCommandEncoder) => void } | undefined,
): Promise<void> {
  const { device } = gpu;
  const copies = makeMemory(gpu);
  let waiting: { wanted: Wanted; copy: GPUBuffer }[] = [];
  let encoder = device.createCommandEncoder({ label: "trace" });
  let done = 0;
  const pass = (end: number): void => {
    if (end === done) return;
    const pass = encoder.beginComputePass();
    replay(pass, dispatches.slice(done, end), T, start);
    pass.end();
    done = end;
  };
  /**
   * Up to dispatch `end`; what is `between` comes as late as it may, after the hooks of a tap point at the same place.
   */
  const runTo = (end: number): void => {
    if (between && done <= between.at && between.at < end) {
      pass(between.at);
      between.command(encoder);
    }
    pass(end);
  };
  const fetch = async (): Promise<void> => {
    await settle(copies);
    await guarded(gpu, "trace", () => device.queue.submit([encoder.finish()]));
    // All at once: a wait has a price of its own on some hosts.
    await waited(gpu, "trace", Promise.all(waiting.map(({ copy }) => copy.mapAsync(1))));
    for (const { wanted: tap, copy } of waiting) {
      const data = new Float32Array(copy.getMappedRange().slice(0, byteLength(tap)));
      taps.visit(tap.name, tap.shape, data);
      if (taps.steers(tap.name)) writeBytes(gpu, tap.buffer, 0, new Uint8Array(data.buffer));
    }
    waiting = [];
    freeAll(copies);
    encoder = device.createCommandEncoder({ label: "trace" });
  };
  try {
    for (const tap of wanted) {
      runTo(tap.after);
      const copy = allocate(copies, `${tap.name} (staging)`, byteLength(tap), usage.MAP_READ | usage.COPY_DST);
      encoder.copyBufferToBuffer(tap.buffer, 0, copy, 0, byteLength(tap));
      waiting.push({ wanted: tap, copy });
      if (taps.steers(tap.name) || copies.byteLength >= WAITING_BYTES) await fetch();
    }
    runTo(dispatches.length);
    await fetch();
  } finally {
    freeAll(copies);
  }
}

const byteLength = ({ shape }: Wanted): number => shape.reduce((p, n) => p * n, 4);
