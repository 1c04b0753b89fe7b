/**
 * docs/sampling.md once more, written apart from core/sample: by ranks where that sorts ids, by integers of any length where
 * that has 32-bit words. What kits of sampling expect comes from here.
 * Source: docs/sampling.md; Salmon et al. 2011, table 1 (Threefry-2x32's rotations), equation 10 (its key schedule).
 */
import type { SamplingOptions } from "../../core/model/engine.ts";

/** Ids, ascending, that steps 3 to 6 leave, and their weights. */
export interface Left {
  /** Ascending. */
  readonly ids: readonly number[];
  /** Of each id. */
  readonly weights: readonly number[];
}

const bits = new Uint32Array(1);
const value = new Float32Array(bits.buffer);

/** A number that is smaller the larger z is; equal for equal z, whatever the sign of a zero. */
function descending(z: number): number {
  value[0] = z === 0 ? 0 : z;
  return bits[0]! >= 2 ** 31 ? bits[0]! : 2 ** 31 - 1 - bits[0]!;
}

/** Step 1: f32 products with f32 factors. */
export function penalized(logits: Float32Array, seen: readonly number[], r: number): Float32Array {
  if (r === 1) return logits;
  const occurs = new Uint8Array(logits.length);
  for (const id of seen) occurs[id] = 1;
  return logits.map((l, id) => (occurs[id] === 0 ? l : Math.fround(l * Math.fround(l > 0 ? 1 / r : r))));
}

/** Steps 3 to 6. Up to 2²⁰ ids. */
export function left(scores: Float32Array, { temperature, topK, topP, minP }: SamplingOptions): Left {
  const V = scores.length;
  const factor = Math.fround(1 / temperature);
  const z = Float32Array.from(scores, (l) => Math.fround(l * factor));
  // Places in the order of z, lower ids first among equals, by one sort of numbers that say both.
  const order = Float64Array.from(z, (x, id) => descending(x) * 2 ** 20 + id)
    .sort()
    .subarray(0, topK === 0 ? V : topK);
  const most = z[order[0]! % 2 ** 20]!;
  const ids: number[] = [];
  const weightOf = (id: number): number => Math.exp(z[id]! - most);
  let all = 0;
  for (const place of order) all += weightOf(place % 2 ** 20);
  let reached = 0;
  for (const place of order) {
    if (topP < 1 && reached >= topP * all) break;
    const id = place % 2 ** 20;
    reached += weightOf(id);
    if (weightOf(id) >= minP) ids.push(id);
  }
  const ascending = [...Float64Array.from(ids).sort()];
  return { ids: ascending, weights: ascending.map(weightOf) };
}

/** Step 7. */
export function chosen({ ids, weights }: Left, u: number): number {
  const whole = weights.reduce((sum, w) => sum + w, 0);
  let sum = 0;
  for (const [i, id] of ids.entries()) {
    sum += weights[i]!;
    if (sum > u * whole) return id;
  }
  return ids.at(-1)!;
}

/** The uniform number of a position: Threefry-2x32, twenty rounds. */
export function uniformOf(seed: bigint, position: number): number {
  const word = (x: bigint): bigint => x & 0xffffffffn;
  const turned = (x: bigint, by: bigint): bigint => word(x << by) | (x >> (32n - by));
  const keys = [word(seed), seed >> 32n];
  keys.push(0x1bd11bdan ^ keys[0]! ^ keys[1]!);
  let [a, b] = [word(BigInt(position) + keys[0]!), keys[1]!];
  for (let four = 1; four <= 5; four++) {
    for (const by of four % 2 ? [13n, 15n, 26n, 6n] : [17n, 29n, 16n, 24n]) {
      a = word(a + b);
      b = turned(b, by) ^ a;
    }
    a = word(a + keys[four % 3]!);
    b = word(b + keys[(four + 1) % 3]! + BigInt(four));
  }
  return Number(a >> 8n) / 2 ** 24;
}

/** The id of the largest score, the lowest of equals; 0 where there is no number. */
export function likeliest(scores: Float32Array): number {
  let best = -1;
  for (let id = scores.length - 1; id >= 0; id--) if (scores[id]! >= (best < 0 ? -Infinity : scores[best]!)) best = id;
  return Math.max(best, 0);
}

/** The token at `position`. */
export function drawnToken(logits: Float32Array, options: SamplingOptions, seen: readonly number[], position: number): number {
  const scores = penalized(logits, seen, options.repetitionPenalty);
  return options.temperature === 0 ? likeliest(scores) : chosen(left(scores, options), uniformOf(options.seed, position));
}

/** log softmax(logits)[id], the sum from the smallest term on. */
export function logShare(logits: Float32Array, id: number): number {
  const most = logits[likeliest(logits)]!;
  let sum = 0;
  for (const l of logits.slice().sort()) sum += Math.exp(l - most);
  return logits[id]! - most - Math.log(sum);
}
