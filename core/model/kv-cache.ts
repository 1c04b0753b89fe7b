/**
 * Keys and values of the positions seen so far: f32, one pair of arrays per layer, position-major, grown by doubling.
 */
import type { LlamaConfig } from "../config.ts";
import type { CacheArrays, CpuOps } from "./ops.ts";

export interface KvCache {
  /** Positions filled. */
  length: number;
  /** Positions the arrays hold. */
  capacity: number;
  readonly maxContext: number;
  /** Per layer [capacity, G, Hd]; keys after RoPE. */
  arrays: CacheArrays;
}

export function makeKvCache(maxContext: number): KvCache {
  return { length: 0, capacity: 0, maxContext, arrays: { keys: [], values: [] } };
}

/** Makes room for `positions` in all; what is there stays. */
export function reserve(cache: KvCache, ops: CpuOps, config: LlamaConfig, positions: number): void {
  if (positions <= cache.capacity) return;
  const capacity = Math.min(cache.maxContext, Math.max(positions, 2 * cache.capacity, 64));
  const filled = cache.length * config.numKeyValueHeads * config.headDim;
  const old = cache.arrays;
  const grown = ops.makeCache(config, capacity);
  for (let i = 0; i < old.keys.length; i++) {
    grown.keys[i]!.set(old.keys[i]!.subarray(0, filled));
    grown.values[i]!.set(old.values[i]!.subarray(0, filled));
  }
  if (cache.capacity > 0) ops.dropCache(old);
  cache.arrays = grown;
  cache.capacity = capacity;
}

/** Another cache with the same positions. */
export function copyOf(cache: KvCache, ops: CpuOps, config: LlamaConfig): KvCache {
  const copy = makeKvCache(cache.maxContext);
  if (cache.length === 0) return copy;
  reserve(copy, ops, config, cache.length);
  const filled = cache.length * config.numKeyValueHeads * config.headDim;
  for (let i = 0; i < cache.arrays.keys.length; i++) {
    copy.arrays.keys[i]!.set(cache.arrays.keys[i]!.subarray(0, filled));
    copy.arrays.values[i]!.set(cache.arrays.values[i]!.subarray(0, filled));
  }
  copy.length = cache.length;
  return copy;
}

/** Forgets everything and gives the arrays back. */
export function drop(cache: KvCache, ops: CpuOps): void {
  if (cache.capacity > 0) ops.dropCache(cache.arrays);
  cache.arrays = { keys: [], values: [] };
  cache.capacity = 0;
  cache.length = 0;
}
