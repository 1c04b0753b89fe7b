/** A batch behind the checks that every backend's shares: one call at a time, none after `dispose`, slots that there are. */
import { checkCallback, checkIdList, shown, wrongType } from "../arguments.ts";
import { GureumError } from "../errors.ts";
import { checkSampling } from "../sample/sampler.ts";
import type { Batch, SlotWork, Token } from "./engine.ts";
import { makeGuard } from "./guard.ts";
import { checkPositions } from "./session.ts";

/** @throws GureumError "usage" for a number of slots or positions that is none */
export function checkBatchSize(slots: number, maxContext: number): void {
  checkPositions("batch", "slots", slots, 1);
  checkPositions("batch", "maxContext", maxContext, 1);
}

/** The same work, its choices looked at before they are taken. */
function withCheckedChoice(work: SlotWork): SlotWork {
  const { choose } = work;
  if (!choose) return work;
  return {
    ...work,
    choose(logits, ids) {
      const token: unknown = choose(logits, ids);
      const { id, logprob } = (token ?? {}) as Partial<Token>;
      if (!Number.isInteger(id) || id! < 0 || id! >= logits.length || typeof logprob !== "number")
        throw new GureumError("usage", {
          where: "choose",
          what: "result",
          expected: `an id from 0 to ${logits.length - 1} and its logprob`,
          got:
            typeof token === "object" && token !== null && !(token instanceof Promise)
              ? `id ${shown(id)}, logprob ${shown(logprob)}`
              : shown(token),
        });
      return token as Token;
    },
  };
}

/** @param open what is not disposed of yet */
export function guardBatch(batch: Batch, open: Set<{ dispose(): void }> = new Set()): Batch {
  const { enter, alone, dispose } = makeGuard(
    "batch",
    () => open.delete(guarded),
    () => batch.dispose(),
  );
  const usage = (where: string, what: string, remedy?: string): GureumError =>
    new GureumError("usage", { where, what, ...(remedy ? { remedy } : {}) });
  const checkSlot = (where: string, slot: number, filled?: boolean): void => {
    if (!Number.isInteger(slot) || slot < 0 || slot >= batch.slots)
      throw new GureumError("usage", { where, what: "slot", expected: `a whole number from 0 to ${batch.slots - 1}`, got: shown(slot) });
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
        checkIdList("prefill", "ids", ids);
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
        if (!Array.isArray(work)) throw wrongType("decode", "work", "an array", work);
        for (const [i, one] of work.entries()) {
          if (typeof one !== "object" || one === null) throw wrongType("decode", `work[${i}]`, "an object", one);
          const { slot, sampling, choose } = one as SlotWork;
          checkSlot("decode", slot, true);
          checkSampling(sampling);
          checkCallback("decode", `choose of work[${i}]`, choose);
          if (work.findIndex((other) => other.slot === slot) !== i) throw usage("decode", `slot ${slot} is asked for twice`);
        }
        return batch.decode((work as readonly SlotWork[]).map(withCheckedChoice), count);
      }),
    clear(slot) {
      enter("clear");
      checkSlot("clear", slot);
      batch.clear(slot);
    },
    dispose,
  };
  open.add(guarded);
  return guarded;
}
