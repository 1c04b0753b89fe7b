/** What logits say of the id that follows, alone and against other logits for the same place. Everything in f64. */
import { argmax } from "../sample/sampler.ts";

/** log Σ exp(logits), shifted by the largest so that nothing overflows. */
export function logSumExp(logits: Float32Array): number {
  const max = logits[argmax(logits)]!;
  let sum = 0;
  for (let i = 0; i < logits.length; i++) sum += Math.exp(logits[i]! - max);
  return max + Math.log(sum);
}

/** −log p[id] under softmax(logits), in nats. */
export const surprise = (logits: Float32Array, id: number): number => logSumExp(logits) - logits[id]!;

/** How a model's distribution q stands to a base's p where `id` follows. */
export interface Compared {
  /** −log p[id] and −log q[id] */
  readonly base: number;
  readonly model: number;
  /** KL(p ‖ q) = Σ p (log p − log q), nats; sums that rounding takes below 0 are 0. */
  readonly kl: number;
  /** q[id] − p[id] */
  readonly deltaP: number;
  /** Whether both have the same likeliest id. */
  readonly sameTop: boolean;
}

export function compareLogits(base: Float32Array, model: Float32Array, id: number): Compared {
  const baseSum = logSumExp(base);
  const modelSum = logSumExp(model);
  let kl = 0;
  for (let i = 0; i < base.length; i++) {
    const logP = base[i]! - baseSum;
    const p = Math.exp(logP);
    if (p > 0) kl += p * (logP - (model[i]! - modelSum));
  }
  return {
    base: baseSum - base[id]!,
    model: modelSum - model[id]!,
    kl: Math.max(0, kl),
    deltaP: Math.exp(model[id]! - modelSum) - Math.exp(base[id]! - baseSum),
    sameTop: argmax(base) === argmax(model),
  };
}
