/**
 * One sequence on the GPU. Prompts go in by chunks; decoding replays prepared dispatches, one compute pass a token,
 * with the sampled id staying on the GPU; ids come back in batches. The results of a batch are waited for while the
 * next one already runs.
 */
import { GureumError } from "../../core/errors.ts";
import type { DecodedBatch, ForwardOptions, ForwardResult, Model, SamplingOptions, Session } from "../../core/model/engine.ts";
import { checkFeed, checkPending } from "../../core/model/session.ts";
import { makeTaps } from "../../core/model/trace.ts";
import { checkSampling, greedy } from "../../core/sample/sampler.ts";
import { allocate, freeAll, makeMemory, settle, writeBytes } from "../device/buffer.ts";
import { type Gpu, guarded, waited } from "../device/device.ts";
import { holds } from "../pipeline/kernel.ts";
import { replay } from "../pipeline/recorder.ts";
import { CHUNK, plainFew, plainMany, prepareHeads } from "../programs/plain.ts";
import type { Plan } from "../programs/plan.ts";
import type { Feeder, Program } from "../programs/program.ts";
import { FEW_ROWS } from "../programs/steps.ts";
import { encodeStep } from "../wgsl/step.ts";
import { type Decoder, type Line, makeDecoder } from "./chain.ts";
import { copyBuffers, type Held, nothingHeld, type Opened } from "./fork.ts";
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
  /** Rows fed at a time where only the last row's logits are wanted. */
  const chunk = programFor(FEW_ROWS).chunk(gpu.capabilities, config, maxContext);
  const sequence = makeSequence(memory, config, maxContext, plan.cache, chunk);
  const rows = programFor(FEW_ROWS) === plainMany ? Math.max(CHUNK, chunk) : CHUNK;
  const a = makeActivations(memory, config, Math.min(rows, maxContext));
  const context: ForwardContext = { config, weights, sequence, a, plain: plan.plain, many: false };
  const self: GpuSequence = { gpu, memory, context, logits: allocate(memory, "logits", V * 4) };
  const feeders = new Map<Program, Promise<Feeder>>();
  let line: Line | undefined;
  let decoder: Decoder | undefined;
  let ids = [...held.ids];
  /** Positions in the cache; ids.length − 1 where the last sampled id has not been fed. */
  let { fed, hasPending } = held;
  /** Whether positions that are no longer there may be noted (gpu/model/noted.ts). */
  let dropped = held !== nothingHeld;
  let disposed = false;

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
  const start = async (): Promise<void> => {
    if (disposed) throw new GureumError("usage", { where: "session", what: "was disposed" });
    await settle(memory);
    if (dropped) await clearNoted(self, fed);
    dropped = false;
  };
  const settleIds = (): void => {
    decoder?.forget();
    dropped ||= decoder !== undefined;
    ids.length = fed;
    hasPending = false;
  };

  /** Encodes one chunk; `then` may add to its pass. */
  const feed = (p: Feeder, tokens: readonly number[], then?: (encoder: GPUCommandEncoder, pass: GPUComputePassEncoder) => void): void => {
    const T = tokens.length;
    writeBytes(gpu, sequence.step, 0, new Uint8Array(encodeStep({ T, start: fed, sampled: 0 }).buffer));
    writeBytes(gpu, sequence.ids, 0, new Uint8Array(Uint32Array.from(tokens).buffer));
    const encoder = gpu.device.createCommandEncoder({ label: "prefill" });
    const pass = encoder.beginComputePass();
    replay(pass, p.layers, T, fed);
    then?.(encoder, pass);
    pass.end();
    gpu.device.queue.submit([encoder.finish()]);
    fed += T;
    for (const id of tokens) ids.push(id);
  };

  /** Feeds all of `tokens`, at most two chunks ahead of the GPU; the last position's logits end in `self.logits`. */
  const feedAll = async (tokens: ArrayLike<number>, onProgress?: (done: number) => unknown): Promise<void> => {
    await start();
    let previous: Promise<undefined> | undefined;
    for (let t = 0; t < tokens.length; t += chunk) {
      const part = Array.prototype.slice.call(tokens, t, t + chunk) as number[];
      const isLast = t + chunk >= tokens.length;
      const program = await feederOf(programFor(part.length));
      await program.ready?.(part.length);
      // What follows a prompt is compiled while the prompt runs, and not before: drivers compile one after the other.
      lineOf();
      await guarded(gpu, "prefill", () => feed(program, part, (_encoder, pass) => isLast && replay(pass, program.head, part.length, fed)));
      const now = gpu.device.queue.onSubmittedWorkDone();
      if (previous) await waited(gpu, "prefill", previous);
      previous = now;
      if (!isLast) await onProgress?.(t);
    }
    await waited(gpu, "prefill", previous!);
    hasPending = true;
    await onProgress?.(tokens.length);
  };

  /** Logits of every position, chunk by chunk. */
  const forwardAll = async (tokens: ArrayLike<number>, onProgress?: (done: number) => unknown): Promise<Float32Array> => {
    await start();
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
          feed(feeder, part, (_encoder, pass) => replay(pass, head, T, fed));
          const encoder = gpu.device.createCommandEncoder();
          encoder.copyBufferToBuffer(all, (T - 1) * V * 4, self.logits, 0, V * 4);
          gpu.device.queue.submit([encoder.finish()]);
        });
        logits.set(await readUnlessNoted(self, all, T * V, ids), t * V);
        await onProgress?.(t + T);
      }
    } finally {
      freeAll(scratch);
    }
    return logits;
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
      let logits: Float32Array;
      if (options.trace !== undefined || options.steer !== undefined) {
        await start();
        logits = await forwardTraced(self, Array.from(tokens), fed, options.logits === "all", taps);
        fed += tokens.length;
        for (let t = 0; t < tokens.length; t++) ids.push(tokens[t]!);
        await options.onProgress?.(tokens.length);
      } else if (options.logits === "all") logits = await forwardAll(tokens, options.onProgress);
      else {
        await feedAll(tokens, options.onProgress);
        logits = await readUnlessNoted(self, self.logits, V, ids);
      }
      hasPending = true;
      return { logits, trace: taps.values };
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
      await start();
      decoder ??= await makeDecoder(lineOf(), maxContext);
      const { noted, ...batch } = await decoder.decode(sampling, wanted, ids, ids.length > fed);
      if (noted !== null) {
        decoder.forget();
        if (batch.ids.length === 0) throw await beyondF16(self, ids, noted);
      }
      for (const id of batch.ids) ids.push(id);
      fed = ids.length - 1;
      hasPending = false;
      return batch;
    },
    async logits() {
      checkPending(hasPending, "logits");
      return readUnlessNoted(self, self.logits, V, ids);
    },
    truncate(length) {
      decoder?.forget();
      dropped = true;
      ids = ids.slice(0, length);
      fed = Math.min(fed, length);
      hasPending = false;
    },
    async fork() {
      await start();
      const copy = openGpuSession(model, gpu, weights, plan, maxContext, { ids, fed, hasPending });
      try {
        await settle(copy.memory);
        await guarded(gpu, "fork", () => {
          const encoder = gpu.device.createCommandEncoder({ label: "fork" });
          const bytes = fed * cacheRowBytes(config, plan.cache);
          copyBuffers(encoder, sequence.keys, copy.sequence.keys, bytes);
          copyBuffers(encoder, sequence.values, copy.sequence.values, bytes);
          const [from, to] = [sequence.noted, copy.sequence.noted];
          encoder.copyBufferToBuffer(from.buffer, from.offset, to.buffer, to.offset, from.size);
          encoder.copyBufferToBuffer(self.logits, 0, copy.logits, 0, V * 4);
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
      for (const made of [...feeders.values(), line?.feeder]) made?.finally(() => freeAll(memory)).catch(() => {});
    },
  };
  return { session, memory, sequence, logits: self.logits };
}
