/** Sequences together on the CPU, whatever the arithmetic: a feeder per slot, and one pass over the weights for a row of each. */

import { checkBatchSize, guardBatch } from "./batch.ts";
import { CHUNK, type CpuFeeder } from "./cpu-session.ts";
import type { Batch, Model, Sampler, SlotTokens, SlotWork, Token } from "./engine.ts";
import { checkFeed, checkPending } from "./session.ts";
import { noTaps } from "./trace.ts";

/** How a model feeds several sequences. */
export interface CpuTogether<F extends CpuFeeder> {
  /** A feeder for a sequence of so many positions. */
  open(maxContext: number): F;
  /** Feeds one id to each; their logits [n, V]. */
  feed(feeders: readonly F[], ids: readonly number[], logits: Float32Array): void;
}

interface Sequence<F> {
  readonly feeder: F;
  readonly maxContext: number;
  readonly ids: number[];
  /** Logits [V] that wait to be sampled. */
  pending: Float32Array | null;
}

export function cpuBatch<F extends CpuFeeder>(
  model: Model,
  slots: number,
  maxContext: number,
  { open, feed }: CpuTogether<F>,
  { sample, logProbability }: Sampler,
  notDisposed?: Set<{ dispose(): void }>,
): Batch {
  const V = model.config.vocabSize;
  checkBatchSize(slots, maxContext);
  const sequences = new Map<number, Sequence<F>>();
  const clear = (slot: number): void => {
    sequences.get(slot)?.feeder.dispose();
    sequences.delete(slot);
  };

  /** Feeds what the last draws left unfed, a row each; sequences whose logits are not finite fail alone. */
  const feedDrawn = (waiting: readonly Sequence<F>[], failed: Map<Sequence<F>, unknown>): void => {
    const rows = waiting.filter(({ ids, feeder }) => ids.length > feeder.length);
    if (rows.length === 0) return;
    const logits = new Float32Array(rows.length * V);
    feed(
      rows.map(({ feeder }) => feeder),
      rows.map(({ ids }) => ids.at(-1)!),
      logits,
    );
    for (const [i, sequence] of rows.entries()) {
      sequence.pending = logits.slice(i * V, (i + 1) * V);
      try {
        sequence.feeder.check?.(sequence.pending, sequence.ids);
      } catch (error) {
        failed.set(sequence, error);
      }
    }
  };

  const batch: Batch = {
    model,
    slots,
    maxContext,
    ids: (slot) => sequences.get(slot)?.ids ?? [],
    async prefill(slot, ids, own = maxContext, onProgress) {
      checkFeed(model.config, 0, own, ids);
      const feeder = open(own);
      const pending = new Float32Array(V);
      try {
        for (let t = 0; t < ids.length; t += CHUNK) {
          const part = Array.prototype.slice.call(ids, t, t + CHUNK) as number[];
          feeder.feed(part, t + CHUNK >= ids.length ? 1 : 0, pending, noTaps);
          await onProgress?.(t + part.length);
        }
        feeder.check?.(pending, Array.from(ids));
      } catch (error) {
        feeder.dispose();
        throw error;
      }
      sequences.set(slot, { feeder, maxContext: own, ids: Array.from(ids), pending });
    },
    async decode(work: readonly SlotWork[], count: number): Promise<readonly SlotTokens[]> {
      const failed = new Map<Sequence<F>, unknown>();
      const drawn = work.map((): Token[] => []);
      for (let i = 0; i < count; i++) {
        const alive = work
          .map(({ slot }) => sequences.get(slot)!)
          .map((s) => (!failed.has(s) && s.ids.length < s.maxContext ? s : undefined));
        feedDrawn(
          alive.filter((s) => s !== undefined),
          failed,
        );
        for (const [w, { sampling, choose }] of work.entries()) {
          const sequence = alive[w];
          if (!sequence || failed.has(sequence)) continue;
          try {
            checkPending(sequence.pending !== null);
            const { pending, ids } = sequence;
            let token: Token;
            if (choose) token = choose(pending!, ids);
            else {
              const id = sample(pending!, sampling, ids, ids.length);
              token = { id, logprob: logProbability(pending!, id) };
            }
            drawn[w]!.push(token);
            ids.push(token.id);
            sequence.pending = null;
          } catch (error) {
            failed.set(sequence, error);
          }
        }
      }
      return work.map(({ slot }, w) => {
        const sequence = sequences.get(slot)!;
        return { tokens: drawn[w]!, ...(failed.has(sequence) ? { error: failed.get(sequence) } : {}) };
      });
    },
    clear,
    dispose() {
      for (const slot of [...sequences.keys()]) clear(slot);
    },
  };
  return guardBatch(batch, notDisposed);
}
