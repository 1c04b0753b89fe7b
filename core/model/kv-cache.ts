/**
 * Keys and values of the positions seen so far: f32, one pair of arrays per layer, position-major, grown by doubling.
 */
import type { LlamaConfig } from "../config.ts";

export interface KvCache {
  /** Positions filled. */
  length: number;
  /** Positions the arrays hold. */
  capacity: number;
  readonly maxContext: number;
  /** Per layer [capacity, G, Hd]; keys after RoPE. */
  readonly keys: Float32Array[];
  readonly values: Float32Array[];
}

export function makeKvCache(config: LlamaConfig, maxContext: number): KvCache {
  const empty = (): Float32Array[] => Array.from({ length: config.numHiddenLayers }, () => new Float32Array(0));
  return { length: 0, capacity: 0, maxContext, keys: empty(), values: empty() };
}

/** Makes room for `positions` in all; what is there stays. */
export function reserve(cache: KvCache, config: LlamaConfig, positions: number): void {
  if (positions <= cache.capacity) return;
  const capacity = Math.min(cache.maxContext, Math.max(positions, 2 * cache.capacity, 64));
  const width = config.numKeyValueHeads * config.headDim;
  const grow = (old: Float32Array): Float32Array => {
    const grown = new Float32Array(capacity * width);
    grown.set(old.subarray(0, cache.length * width));
    return grown;
  };
  for (let i = 0; i < cache.keys.length; i++) {
    cache.keys[i] = grow(cache.keys[i]!);
    cache.values[i] = grow(cache.values[i]!);
  }
  cache.capacity = capacity;
}
