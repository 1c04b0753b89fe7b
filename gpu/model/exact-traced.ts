/**
 * A forward pass in `exact` with somebody watching: all T rows at once in buffers of their own, stopped after each wanted tap point, what a hook puts in
 * its place written back before the pass goes on.
 */

import { GureumError } from "../../core/errors.ts";
import { clean } from "../../core/exact/numbers.ts";
import { type Taps, tapShape } from "../../core/model/trace.ts";
import { allocate, freeAll, makeMemory, readF32, settle, writeBytes } from "../device/buffer.ts";
import { type Gpu, guarded } from "../device/device.ts";
import { makeRecorder, prepare, replay } from "../pipeline/recorder.ts";
import { recordExactHead, recordExactLayers } from "../programs/exact.ts";
import { type ExactContext, type ExactMarks, makeExactActivations } from "../programs/exact-buffers.ts";
import { encodeStep } from "../wgsl/step.ts";

/**
 * Feeds `tokens` at position `start`; logits of all rows or of the last, whose logits stay in `logits` too.
 * @throws GureumError "limit" where T rows exceed a buffer, "unsupported" for a hook on attention weights; what a hook throws
 */
export async function exactForwardTraced(
  gpu: Gpu,
  shared: ExactContext,
  logits: GPUBuffer,
  tokens: readonly number[],
  start: number,
  allRows: boolean,
  taps: Taps,
): Promise<Float32Array> {
  const { config } = shared;
  const { vocabSize: V, numAttentionHeads: H, numHiddenLayers } = config;
  const T = tokens.length;
  const S = start + T;
  const { maxContext } = shared.sequence;
  const memory = makeMemory(gpu);
  try {
    const a = makeExactActivations(memory, config, T, maxContext);
    const sequence = { ...shared.sequence, ids: allocate(memory, "ids", T * 4) };
    const c: ExactContext = { ...shared, sequence, a, oneRow: false };
    const recorder = makeRecorder();
    const wanted: { name: string; buffer: GPUBuffer; offset: number; after: number }[] = [];
    const weightsWanted = Array.from({ length: numHiddenLayers }, (_, i) => `layers.${i}.attentionWeights`).filter(taps.wants);
    const steered = weightsWanted.find(taps.steers);
    if (steered)
      throw new GureumError("unsupported", {
        where: `steer > ${steered}`,
        what: "the arithmetic exact mixes values with integers of its own, not with these weights",
        remedy: "steer attention or v instead, or use another arithmetic",
      });
    const marks: ExactMarks = {
      wants: taps.wants,
      mark: (name, buffer) => {
        const { buffer: whole, offset = 0 } = "buffer" in buffer ? buffer : { buffer };
        if (taps.wants(name)) wanted.push({ name, buffer: whole, offset, after: recorder.dispatches.length });
      },
      ...(weightsWanted.length > 0 ? { shares: allocate(memory, "attention weights", T * H * maxContext * 4) } : {}),
    };
    recordExactLayers(recorder, c, marks);
    const rows = allRows ? T : 1;
    const out = allocate(memory, "logits (traced)", T * V * 4);
    recordExactHead(recorder, c, out, false, marks);
    marks.mark("logits", out);
    const dispatches = await prepare(recorder, memory);
    await settle(memory);
    writeBytes(gpu, sequence.step, 0, new Uint8Array(encodeStep({ T, start, sampled: 0 }).buffer));
    writeBytes(gpu, sequence.ids, 0, new Uint8Array(Uint32Array.from(tokens).buffer));
    let done = 0;
    const runTo = (end: number): Promise<void> =>
      guarded(gpu, "trace", () => {
        const encoder = gpu.device.createCommandEncoder({ label: "trace" });
        const pass = encoder.beginComputePass();
        replay(pass, dispatches.slice(done, end), T, start);
        pass.end();
        gpu.device.queue.submit([encoder.finish()]);
        done = end;
      });
    for (const { name, buffer, offset, after } of wanted) {
      await runTo(after);
      // Logits are those asked for; all else has T rows.
      const first = (name === "logits" ? (T - rows) * V : 0) + offset / 4;
      const shape = tapShape(config, name, name === "logits" ? rows : T, S);
      const isWeights = name.endsWith(".attentionWeights");
      const length = isWeights ? T * H * maxContext : shape.reduce((p, n) => p * n, 1);
      const read = await readF32(gpu, buffer, length, first);
      const data = isWeights ? rowsOf(read, T * H, maxContext, S) : read;
      taps.visit(name, shape, data);
      if (taps.steers(name)) writeBytes(gpu, buffer, first * 4, new Uint8Array(data.map(clean).buffer as ArrayBuffer));
    }
    await runTo(dispatches.length);
    await guarded(gpu, "logits", () => {
      const encoder = gpu.device.createCommandEncoder();
      encoder.copyBufferToBuffer(out, (T - 1) * V * 4, logits, 0, V * 4);
      gpu.device.queue.submit([encoder.finish()]);
    });
    return await readF32(gpu, out, rows * V, (T - rows) * V);
  } finally {
    freeAll(memory);
  }
}

/** The first `width` numbers of each of so many rows. */
function rowsOf(data: Float32Array<ArrayBuffer>, rows: number, stride: number, width: number): Float32Array<ArrayBuffer> {
  const out = new Float32Array(rows * width);
  for (let i = 0; i < rows; i++) out.set(data.subarray(i * stride, i * stride + width), i * width);
  return out;
}
