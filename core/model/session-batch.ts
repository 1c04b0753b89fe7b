/** A batch whose sequences are computed in turn, each in a session of its own: for arithmetics that no program computes together. */
import { checkBatchSize, guardBatch } from "./batch.ts";
import type { Batch, Model, Session, SlotTokens, SlotWork, Token } from "./engine.ts";

interface Sequence {
  readonly session: Session;
  /** An id drawn on the host that the session has not been fed. */
  unfed: number | undefined;
}

/** @param open what is not disposed of yet */
export function sessionBatch(model: Model, slots: number, maxContext: number, open?: Set<{ dispose(): void }>): Batch {
  checkBatchSize(slots, maxContext);
  const sequences = new Map<number, Sequence>();
  const idsOf = ({ session, unfed }: Sequence): readonly number[] => (unfed === undefined ? session.ids : [...session.ids, unfed]);
  const clear = (slot: number): void => {
    sequences.get(slot)?.session.dispose();
    sequences.delete(slot);
  };
  const decodeOne = async (sequence: Sequence, { sampling, choose }: SlotWork, count: number, tokens: Token[]): Promise<void> => {
    const { session } = sequence;
    if (!choose) {
      if (sequence.unfed !== undefined) await session.prefill([sequence.unfed]);
      sequence.unfed = undefined;
      const { ids, logprobs } = await session.decode(sampling, count);
      tokens.push(...ids.map((id, i) => ({ id, logprob: logprobs[i]! })));
      return;
    }
    for (let i = 0; i < count && idsOf(sequence).length < session.maxContext; i++) {
      const logits = sequence.unfed === undefined ? await session.logits() : (await session.forward([sequence.unfed])).logits;
      const token = choose(logits, session.ids);
      sequence.unfed = token.id;
      tokens.push(token);
    }
  };
  return guardBatch(
    {
      model,
      slots,
      maxContext,
      ids(slot) {
        const sequence = sequences.get(slot);
        return sequence ? idsOf(sequence) : [];
      },
      async prefill(slot, ids, own = maxContext, onProgress) {
        const session = model.createSession(own);
        try {
          await session.prefill(ids, onProgress);
        } catch (error) {
          session.dispose();
          throw error;
        }
        sequences.set(slot, { session, unfed: undefined });
      },
      async decode(work, count): Promise<readonly SlotTokens[]> {
        const results: SlotTokens[] = [];
        for (const one of work) {
          const tokens: Token[] = [];
          try {
            await decodeOne(sequences.get(one.slot)!, one, count, tokens);
            results.push({ tokens });
          } catch (error) {
            results.push({ tokens, error });
          }
        }
        return results;
      },
      clear,
      dispose() {
        for (const slot of [...sequences.keys()]) clear(slot);
      },
    },
    open,
  );
}
