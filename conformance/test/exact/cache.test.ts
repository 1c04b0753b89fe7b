/** The cache of `exact` on the CPU: what is held at any position stays as it was when the arrays grow, and in a copy. About 1 s. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { copyOfExact, type ExactCache, makeExactCache, reserve } from "../../../core/exact/forward.ts";
import { referenceExactOps } from "../../../core/exact/ops.ts";
import { arbitraryLongConfig, LONGEST } from "../fixtures/long-model.ts";

const arrays = ["keys", "values", "keyExponents", "valueExponents"] as const;

/** A number for every place, so that one which comes from another place, or not at all, shows. */
const numberAt = (layer: number, array: number, i: number): number => ((i * 7919 + array * 13 + layer * 31) % 32_000) + 1;

function fill(cache: ExactCache, from: number, to: number): void {
  for (const [l, layer] of cache.layers.entries())
    for (const [a, name] of arrays.entries()) {
      const width = layer[name].length / cache.capacity;
      for (let i = from * width; i < to * width; i++) layer[name][i] = numberAt(l, a, i);
    }
  cache.length = to;
}

function firstWrong(cache: ExactCache): string | null {
  for (const [l, layer] of cache.layers.entries())
    for (const [a, name] of arrays.entries()) {
      const end = (layer[name].length / cache.capacity) * cache.length;
      for (let i = 0; i < end; i++) if (layer[name][i] !== numberAt(l, a, i)) return `layer ${l}, ${name}[${i}] of ${end}`;
    }
  return null;
}

describe("the cache of exact", () => {
  it("keeps every position when it grows and when it is copied, up to the longest context", () => {
    const [given] = fc.sample(arbitraryLongConfig, { numRuns: 1, seed: 1 });
    const config = { ...given!, numKeyValueHeads: 3, headDim: 2, numHiddenLayers: 2 };
    const cache = makeExactCache();
    for (const positions of [1, 63, 64, 65, 700, 1025, 4097, 40_000, 65_537, LONGEST]) {
      reserve(cache, referenceExactOps, config, positions);
      expect(firstWrong(cache), `grown to ${positions}`).toBeNull();
      fill(cache, cache.length, positions);
      const copy = copyOfExact(cache, referenceExactOps, config);
      expect(copy.length).toBe(positions);
      expect(firstWrong(copy), `a copy of ${positions}`).toBeNull();
    }
  });
});
