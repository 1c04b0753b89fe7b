/**
 * A hash table from pairs of whole numbers to a whole number, on typed arrays: what merges and trie edges are looked up
 * in. Open addressing with linear probing; it only grows. Keys are not negative.
 */
export interface PairMap {
  left: Int32Array;
  right: Int32Array;
  values: Int32Array;
  size: number;
}

/** An empty map with room for about `expected` pairs. */
export function createPairMap(expected: number): PairMap {
  let capacity = 16;
  while (capacity < expected * 2) capacity *= 2;
  return { left: new Int32Array(capacity).fill(-1), right: new Int32Array(capacity), values: new Int32Array(capacity), size: 0 };
}

/** Multiplicative hashing: both halves times odd constants, folded so that the low bits depend on the high ones. */
function slotOf(map: PairMap, left: number, right: number): number {
  const mask = map.left.length - 1;
  let hash = Math.imul(left, 0x9e3779b1) ^ Math.imul(right, 0x85ebca77);
  hash ^= hash >>> 15;
  hash = Math.imul(hash, 0xc2b2ae3d);
  let slot = (hash ^ (hash >>> 13)) & mask;
  while (map.left[slot] !== -1 && (map.left[slot] !== left || map.right[slot] !== right)) slot = (slot + 1) & mask;
  return slot;
}

/** The value of (left, right); -1 where there is none. */
export function getPair(map: PairMap, left: number, right: number): number {
  const slot = slotOf(map, left, right);
  return map.left[slot] === -1 ? -1 : map.values[slot]!;
}

/** Sets (left, right) to `value`, over any earlier one. */
export function setPair(map: PairMap, left: number, right: number, value: number): void {
  let slot = slotOf(map, left, right);
  if (map.left[slot] === -1) {
    if ((map.size + 1) * 2 > map.left.length) {
      const old = { ...map };
      Object.assign(map, createPairMap(old.left.length));
      for (let i = 0; i < old.left.length; i++) if (old.left[i] !== -1) setPair(map, old.left[i]!, old.right[i]!, old.values[i]!);
      slot = slotOf(map, left, right);
    }
    map.size++;
    map.left[slot] = left;
    map.right[slot] = right;
  }
  map.values[slot] = value;
}
