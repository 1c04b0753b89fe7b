/** One token drawn on the host from logits that came to it: a hook first, then the steps of docs/sampling.md. */
import { shown } from "../arguments.ts";
import { GureumError } from "../errors.ts";
import type { Choose, Model, Sampler, SamplingOptions } from "../model/engine.ts";
import { floatSampler } from "../sample/sampler.ts";

/**
 * Sees the logits [V] that follow `ids` (the prompt and all that was generated) before anything is drawn; may change them in place, or give
 * others. −Infinity takes an id out.
 */
export type LogitsProcessor = (ids: readonly number[], logits: Float32Array) => Float32Array | undefined;

/** How tokens are drawn on the host. */
export interface Choosing {
  readonly sampling: SamplingOptions;
  /** Number of likeliest alternatives to report with each token; 0 for none. */
  readonly topLogprobs: number;
  readonly processLogits?: LogitsProcessor;
}

/**
 * @returns a function that throws "usage" for a result of the hook that is no Float32Array of V numbers, "non-finite" for a NaN or +Infinity in
 * it, "range" where it leaves no id, and what the hook throws
 */
export function makeChoose(model: Pick<Model, "sampler">, { sampling, topLogprobs, processLogits }: Choosing): Choose {
  const sampler = model.sampler ?? floatSampler;
  const { sample, logProbability, topLogProbabilities } = sampler;
  return (logits, ids) => {
    const scores = processLogits ? processed(processLogits, logits, ids, sampler) : logits;
    const id = sample(scores, sampling, ids, ids.length);
    const logprob = logProbability(logits, id);
    return topLogprobs > 0 ? { id, logprob, top: topLogProbabilities(logits, topLogprobs) } : { id, logprob };
  };
}

function processed(process: LogitsProcessor, logits: Float32Array, ids: readonly number[], { admit }: Sampler): Float32Array {
  const own = logits.slice();
  const result: unknown = process(ids.slice(), own) ?? own;
  const V = logits.length;
  const got = result instanceof Float32Array ? `${result.length}` : shown(result);
  if (!(result instanceof Float32Array) || result.length !== V)
    throw new GureumError("usage", {
      where: "processLogits",
      what: "result",
      expected: `nothing, or a Float32Array of ${V} logits`,
      got,
    });
  let most = -Infinity;
  for (let id = 0; id < V; id++) {
    const value = result[id]!;
    if (Number.isNaN(value) || value === Infinity)
      throw new GureumError("non-finite", {
        where: "processLogits",
        what: `logit of id ${id} after position ${ids.length - 1}`,
        expected: "a number, or -Infinity to take the id out",
        got: `${value}`,
      });
    if (value > most) most = value;
  }
  if (most === -Infinity)
    throw new GureumError("range", {
      where: "processLogits",
      what: `logits after position ${ids.length - 1}`,
      expected: "one id or more that is left",
      got: "-Infinity for each",
    });
  return admit ? admit(result) : result;
}
