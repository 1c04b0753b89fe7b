/**
 * One sequence on the GPU in f32 and fixed16. Prompts go in by chunks; decoding replays prepared dispatches, one compute pass a token,
 * with the sampled id staying on the GPU; ids come back in batches. The results of a batch are waited for while the
 * next one already runs.
 */
import type { Model, Session } from "../../core/model/engine.ts";
import { allocate, freeAll, makeMemory } from "../device/buffer.ts";
import { type Gpu, guarded } from "../device/device.ts";
import { holds } from "../pipeline/kernel.ts";
import { replay } from "../pipeline/recorder.ts";
import { CHUNK, plainFew, plainMany, prepareHeads } from "../programs/plain.ts";
import type { Plan } from "../programs/plan.ts";
import type { Feeder, Program } from "../programs/program.ts";
import { FEW_ROWS } from "../programs/steps.ts";
import { type Decoder, type Line, makeDecoder } from "./chain.ts";
import {
  copyBuffers,
  type Feed,
  type Held,
  nothingHeld,
  type OnProgress,
  type Opened,
  openSession,
  type Place,
  took,
  type Ways,
} from "./gpu-session.ts";
import { beyondF16, clearNoted, readUnlessNoted } from "./noted.ts";
import { sampledLine } from "./sampled.ts";
import { cacheRowBytes, type ForwardContext, type GpuSequence, makeActivations, makeSequence, type SequenceBuffers } from "./sequence.ts";
import { forwardTraced } from "./traced.ts";
import type { GpuLlamaWeights } from "./tree.ts";

/** @throws GureumError "limit" where the cache of `maxContext` positions does not fit a binding */
export const gpuSession = (model: Model, gpu: Gpu, weights: GpuLlamaWeights, plan: Plan, maxContext: number): Session =>
  openGpuSession(model, gpu, weights, plan, maxContext).session;

/** A session with its buffers. @throws as gpuSession */
export function openGpuSession(
  model: Model,
  gpu: Gpu,
  weights: GpuLlamaWeights,
  plan: Plan,
  maxContext: number,
  held: Held = nothingHeld,
): Opened<SequenceBuffers> {
  const { config } = model;
  const V = config.vocabSize;
  const memory = makeMemory(gpu);
  const programFor = (T: number): Program => plan.programs.find(({ rows }) => holds(rows, T))!;
  const chunk = programFor(FEW_ROWS).chunk(gpu.capabilities, config, maxContext);
  const sequence = makeSequence(memory, config, maxContext, plan.cache, chunk);
  const rows = programFor(FEW_ROWS) === plainMany ? Math.max(CHUNK, chunk) : CHUNK;
  const a = makeActivations(memory, config, Math.min(rows, maxContext));
  const context: ForwardContext = { config, weights, sequence, a, plain: plan.plain, many: false };
  const self: GpuSequence = { gpu, memory, context, logits: allocate(memory, "logits", V * 4) };

  const makeWays = (at: Place, feed: Feed): Ways<SequenceBuffers> => {
    const feeders = new Map<Program, Promise<Feeder>>();
    let line: Line | undefined;
    let decoder: Decoder | undefined;
    /** Whether positions that are no longer there may be noted (gpu/model/noted.ts). */
    let dropped = held !== nothingHeld;

    /** A program's feeder, made when it is first asked for. */
    const feederOf = (program: Program): Promise<Feeder> => {
      let feeder = feeders.get(program);
      if (!feeder) {
        feeder = program.prepare({ memory, forward: context, logits: self.logits, maxContext, chunk });
        feeder.catch(() => {}); // reported where it is waited for
        feeders.set(program, feeder);
      }
      return feeder;
    };
    /** What ids are chosen by, and fed by one at a time; made when it is first asked for. */
    const lineOf = (): Line => {
      line ??= sampledLine(self, () => feederOf(programFor(1)));
      return line;
    };

    return {
      async start() {
        if (dropped) await clearNoted(self, at.fed);
        dropped = false;
      },
      async feederFor(T) {
        const feeder = await feederOf(programFor(T));
        await feeder.ready?.(T);
        // What follows a prompt is compiled while the prompt runs, and not before: drivers compile one after the other.
        lineOf();
        return feeder;
      },
      async forwardAll(tokens, onProgress?: OnProgress) {
        const scratch = makeMemory(gpu);
        const rows = Math.min(CHUNK, tokens.length);
        const logits = new Float32Array(tokens.length * V);
        try {
          const all = allocate(scratch, "logits (all)", rows * V * 4);
          const [few, many] = await Promise.all([false, true].map((many) => prepareHeads(scratch, context, many, all)));
          for (let t = 0; t < tokens.length; t += CHUNK) {
            const part = Array.prototype.slice.call(tokens, t, t + CHUNK) as number[];
            const T = part.length;
            const [program, head] = T < FEW_ROWS ? [plainFew, few!] : [plainMany, many!];
            const feeder = await feederOf(program);
            await guarded(gpu, "forward", () => {
              feed(feeder, part, (pass) => replay(pass, head, T, at.fed));
              const encoder = gpu.device.createCommandEncoder();
              encoder.copyBufferToBuffer(all, (T - 1) * V * 4, self.logits, 0, V * 4);
              gpu.device.queue.submit([encoder.finish()]);
            });
            logits.set(await readUnlessNoted(self, all, T * V, at.ids), t * V);
            await onProgress?.(t + T);
          }
        } finally {
          freeAll(scratch);
        }
        return logits;
      },
      forwardTraced: (tokens, all, taps) => forwardTraced(self, tokens, at.fed, all, taps),
      readLogits: () => readUnlessNoted(self, self.logits, V, at.ids),
      async decode(sampling, count) {
        decoder ??= await makeDecoder(lineOf(), maxContext);
        const { noted, ...batch } = await decoder.decode(sampling, count, at.ids, at.ids.length > at.fed);
        if (noted !== null) {
          decoder.forget();
          if (batch.ids.length === 0) throw await beyondF16(self, at.ids, noted);
        }
        took(at, batch.ids);
        return batch;
      },
      forget(cut) {
        decoder?.forget();
        dropped ||= cut || decoder !== undefined;
      },
      open: (own) => openGpuSession(model, gpu, weights, plan, maxContext, own),
      copy(encoder, to) {
        const bytes = at.fed * cacheRowBytes(config, plan.cache);
        copyBuffers(encoder, sequence.keys, to.keys, bytes);
        copyBuffers(encoder, sequence.values, to.values, bytes);
        encoder.copyBufferToBuffer(sequence.noted.buffer, sequence.noted.offset, to.noted.buffer, to.noted.offset, sequence.noted.size);
      },
      underWay: () => [...feeders.values(), line?.feeder],
    };
  };
  return openSession({ model, gpu, memory, maxContext, chunk, sequence, logits: self.logits }, held, makeWays);
}
