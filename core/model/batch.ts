/** A batch behind the checks that every backend's shares: one call at a time, none after `dispose`, slots that there are. */
import { GureumError } from "../errors.ts";
import { checkSampling } from "../sample/sampler.ts";
import type { Batch } from "./engine.ts";
import { checkPositions } from "./session.ts";

/** @throws GureumError "usage" for a number of slots or positions that is none */
export function checkBatchSize(slots: number, maxContext: number): void {
  checkPositions("batch", "slots", slots, 1);
  checkPositions("batch", "maxContext", maxContext, 1);
}

/** @param open what is not disposed of yet */
export function guardBatch(batch: Batch, open: Set<{ dispose(): void }> = new Set()): Batch {
  let running: string | null = null;
  let disposed = false;
  const usage = (where: string, what: string, remedy?: string): GureumError =>
    new GureumError("usage", { where, what, ...(remedy ? { remedy } : {}) });
  const enter = (what: string): void => {
    if (disposed) throw usage(what, "the batch was disposed", "create another");
    if (running !== null) throw usage(what, `${running} is still running on this batch`, "await it first");
  };
  const alone = async <T>(what: string, body: () => Promise<T>): Promise<T> => {
    enter(what);
    running = what;
    try {
      return await body();
    } finally {
      running = null;
    }
  };
  const checkSlot = (where: string, slot: number, filled?: boolean): void => {
    if (!Number.isInteger(slot) || slot < 0 || slot >= batch.slots)
      throw new GureumError("usage", { where, what: "slot", expected: `a whole number from 0 to ${batch.slots - 1}`, got: `${slot}` });
    const holds = batch.ids(slot).length > 0;
    if (filled === false && holds) throw usage(where, `slot ${slot} holds a sequence`, "clear it first");
    if (filled === true && !holds) throw usage(where, `slot ${slot} holds no sequence`, "call prefill first");
  };
  const guarded: Batch = {
    model: batch.model,
    slots: batch.slots,
    maxContext: batch.maxContext,
    ids(slot) {
      checkSlot("ids", slot);
      return batch.ids(slot);
    },
    prefill: (slot, ids, maxContext = batch.maxContext, onProgress) =>
      alone("prefill", async () => {
        checkSlot("prefill", slot, false);
        if (checkPositions("prefill", "maxContext", maxContext, 1) > batch.maxContext)
          throw new GureumError("usage", {
            where: "prefill",
            what: "maxContext",
            expected: `at most ${batch.maxContext}, the batch's`,
            got: `${maxContext}`,
          });
        return batch.prefill(slot, ids, maxContext, onProgress);
      }),
    decode: (work, count) =>
      alone("decode", async () => {
        checkPositions("decode", "count", count, 0);
        for (const [i, { slot, sampling }] of work.entries()) {
          checkSlot("decode", slot, true);
          checkSampling(sampling);
          if (work.findIndex((other) => other.slot === slot) !== i) throw usage("decode", `slot ${slot} is asked for twice`);
        }
        return batch.decode(work, count);
      }),
    clear(slot) {
      enter("clear");
      checkSlot("clear", slot);
      batch.clear(slot);
    },
    dispose() {
      if (disposed) return;
      disposed = true;
      batch.dispose();
      open.delete(guarded);
    },
  };
  open.add(guarded);
  return guarded;
}
