/**
 * A sequence on the GPU as a session, whatever its arithmetic: where it stands, how prompts go in by chunks, two ahead of the device, and
 * what a fork takes over. What differs between session.ts and exact-session.ts stands in `Ways`.
 */
import { GureumError } from "../../core/errors.ts";
import type { DecodedBatch, ForwardOptions, ForwardResult, Model, SamplingOptions, Session } from "../../core/model/engine.ts";
import { checkFeed, checkPending } from "../../core/model/session.ts";
import { makeTaps, type Taps } from "../../core/model/trace.ts";
import { checkSampling, greedy } from "../../core/sample/sampler.ts";
import { freeAll, type Memory, settle, writeBytes } from "../device/buffer.ts";
import { type Gpu, guarded, waited } from "../device/device.ts";
import { type PreparedDispatch, replay } from "../pipeline/recorder.ts";
import type { Feeder } from "../programs/program.ts";
import { encodeStep } from "../wgsl/step.ts";

/** What a session's host side holds, and a forked one takes over from its origin. */
export interface Held {
  readonly ids: readonly number[];
  /** Positions in the cache; ids.length − 1 where the last sampled id has not been fed. */
  readonly fed: number;
  /** Whether logits wait to be sampled. */
  readonly hasPending: boolean;
}
export const nothingHeld: Held = { ids: [], fed: 0, hasPending: false };

/** The same, as a session moves it on. */
export interface Place extends Held {
  ids: number[];
  fed: number;
  hasPending: boolean;
}

/** A session just opened, with the buffers that a fork fills. */
export interface Opened<Sequence> {
  readonly session: Session;
  readonly memory: Memory;
  readonly sequence: Sequence;
  /** [V] */
  readonly logits: GPUBuffer;
}

/** What a session is made of. */
export interface Base<Sequence> {
  readonly model: Model;
  readonly gpu: Gpu;
  readonly memory: Memory;
  readonly maxContext: number;
  /** Rows fed at a time where only the last row's logits are wanted. */
  readonly chunk: number;
  readonly sequence: Sequence & { readonly step: GPUBuffer; readonly ids: GPUBuffer };
  /** [V] f32: of the last position. */
  readonly logits: GPUBuffer;
}

/** Submits one chunk and moves the place on; `then` may add to its pass. */
export type Feed = (feeder: Feeder, tokens: readonly number[], then?: (pass: GPUComputePassEncoder) => void) => void;
export type OnProgress = ForwardOptions["onProgress"];

/** What an arithmetic does its own way. Each but `forget`, `copy` and `underWay` is called behind `start`, or behind a call that was. */
export interface Ways<Sequence> {
  /** What must be before anything runs. */
  start(): Promise<unknown>;
  /** What feeds T rows, ready to. */
  feederFor(T: number): Promise<Feeder>;
  /** Logits [T, V] of every position, chunk by chunk. */
  forwardAll(tokens: ArrayLike<number>, onProgress?: OnProgress): Promise<Float32Array>;
  /** A watched pass; the place does not move. */
  forwardTraced(tokens: number[], all: boolean, taps: Taps): Promise<Float32Array>;
  /** The logits [V] of the last position. */
  readLogits(): Promise<Float32Array>;
  /** Draws `count` ids, and moves the place on. */
  decode(sampling: SamplingOptions, count: number): Promise<DecodedBatch>;
  /** What ran ahead of the place is dropped; `cut`: positions as well. */
  forget(cut: boolean): void;
  /** A session of the same kind. */
  open(held: Held): Opened<Sequence>;
  /** Copies what is cached. */
  copy(encoder: GPUCommandEncoder, to: Sequence): void;
  /** What may still allocate when the session ends. */
  underWay(): readonly (Promise<unknown> | undefined)[];
}

export function openSession<Sequence>(
  { model, gpu, memory, maxContext, chunk, sequence, logits }: Base<Sequence>,
  held: Held,
  makeWays: (at: Place, feed: Feed) => Ways<Sequence>,
): Opened<Sequence> {
  const at: Place = { ids: [...held.ids], fed: held.fed, hasPending: held.hasPending };
  let disposed = false;

  const feed: Feed = (feeder, tokens, then) => {
    const T = tokens.length;
    writeBytes(gpu, sequence.step, 0, new Uint8Array(encodeStep({ T, start: at.fed, sampled: 0 }).buffer));
    writeBytes(gpu, sequence.ids, 0, new Uint8Array(Uint32Array.from(tokens).buffer));
    const submit = (dispatches: readonly PreparedDispatch[], end?: (pass: GPUComputePassEncoder) => void): void => {
      const encoder = gpu.device.createCommandEncoder({ label: "prefill" });
      const pass = encoder.beginComputePass();
      replay(pass, dispatches, T, at.fed);
      end?.(pass);
      pass.end();
      gpu.device.queue.submit([encoder.finish()]);
    };
    // Of a prompt the device starts on the first layers while the rest is still encoded.
    const early = T > 1 ? Math.floor(feeder.layers.length / 8) : 0;
    if (early > 0) submit(feeder.layers.slice(0, early));
    submit(feeder.layers.slice(early), then);
    // An id that was drawn is there already.
    for (const [i, id] of tokens.entries()) at.ids[at.fed + i] = id;
    at.fed += T;
  };

  const ways = makeWays(at, feed);
  const start = async (): Promise<void> => {
    if (disposed) throw new GureumError("usage", { where: "session", what: "was disposed", remedy: "open another one" });
    await settle(memory);
    await ways.start();
  };
  /** Before anything is fed: an id that was drawn and not fed is not part of the sequence. */
  const settleIds = (): void => {
    ways.forget(false);
    at.ids.length = at.fed;
    at.hasPending = false;
  };

  /** Feeds all of `tokens`, at most two chunks ahead of the GPU; the last position's logits end in `logits`. */
  const feedAll = async (tokens: ArrayLike<number>, onProgress: OnProgress): Promise<void> => {
    await start();
    let previous: Promise<undefined> | undefined;
    for (let t = 0; t < tokens.length; t += chunk) {
      const part = Array.prototype.slice.call(tokens, t, t + chunk) as number[];
      const isLast = t + chunk >= tokens.length;
      const feeder = await ways.feederFor(part.length);
      await guarded(gpu, "prefill", () => feed(feeder, part, (pass) => isLast && replay(pass, feeder.head, part.length, at.fed)));
      const now = gpu.device.queue.onSubmittedWorkDone();
      if (previous) await waited(gpu, "prefill", previous);
      previous = now;
      if (!isLast) await onProgress?.(t + chunk);
    }
    await waited(gpu, "prefill", previous!);
    at.hasPending = true;
    await onProgress?.(tokens.length);
  };

  const session: Session = {
    model,
    maxContext,
    get ids() {
      return at.ids;
    },
    async forward(tokens, options: ForwardOptions = {}): Promise<ForwardResult> {
      settleIds();
      checkFeed(model.config, at.fed, maxContext, tokens);
      const taps = makeTaps(model.config, options);
      const all = options.logits === "all";
      let result: Float32Array;
      if (options.trace !== undefined || options.steer !== undefined) {
        await start();
        result = await ways.forwardTraced(Array.from(tokens), all, taps);
        at.fed += tokens.length;
        for (let t = 0; t < tokens.length; t++) at.ids.push(tokens[t]!);
        await options.onProgress?.(tokens.length);
      } else if (all) {
        await start();
        result = await ways.forwardAll(tokens, options.onProgress);
      } else {
        await feedAll(tokens, options.onProgress);
        result = await ways.readLogits();
      }
      at.hasPending = true;
      return { logits: result, trace: taps.values };
    },
    async prefill(tokens, onProgress) {
      settleIds();
      checkFeed(model.config, at.fed, maxContext, tokens);
      await feedAll(tokens, onProgress);
    },
    async decode(sampling: SamplingOptions = greedy, count = 1): Promise<DecodedBatch> {
      checkSampling(sampling);
      const wanted = Math.min(count, maxContext - at.ids.length);
      if (wanted <= 0) return { ids: [], logprobs: [] };
      if (at.ids.length === at.fed) checkPending(at.hasPending);
      await start();
      return ways.decode(sampling, wanted);
    },
    async logits() {
      checkPending(at.hasPending, "logits");
      return ways.readLogits();
    },
    truncate(length) {
      ways.forget(true);
      at.ids = at.ids.slice(0, length);
      at.fed = Math.min(at.fed, length);
      at.hasPending = false;
    },
    async fork() {
      await start();
      const copy = ways.open(at);
      try {
        await settle(copy.memory);
        await guarded(gpu, "fork", () => {
          const encoder = gpu.device.createCommandEncoder({ label: "fork" });
          ways.copy(encoder, copy.sequence);
          encoder.copyBufferToBuffer(logits, 0, copy.logits, 0, model.config.vocabSize * 4);
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
      at.ids = [];
      at.fed = 0;
      at.hasPending = false;
      freeAll(memory);
      for (const made of ways.underWay()) made?.finally(() => freeAll(memory)).catch(() => {});
    },
  };
  return { session, memory, sequence, logits };
}

/** The first bytes of each buffer, a layer each. */
export function copyBuffers(encoder: GPUCommandEncoder, from: readonly GPUBuffer[], to: readonly GPUBuffer[], bytes: number): void {
  if (bytes > 0) for (const [i, buffer] of from.entries()) encoder.copyBufferToBuffer(buffer, 0, to[i]!, 0, bytes);
}

/** Ids just drawn, each fed but the last. */
export function took(at: Place, ids: readonly number[]): void {
  for (const id of ids) at.ids.push(id);
  at.fed = at.ids.length - 1;
  at.hasPending = false;
}
