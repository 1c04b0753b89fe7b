/**
 * The random stream of sampling: a counter-based generator, so that the draw for a position depends on nothing but the
 * seed and the position, on every backend and however tokens are batched.
 * Source: Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3" (Threefry-2x32, 20 rounds); Random123 1.14.
 */

const ROTATIONS = [13, 15, 26, 6, 17, 29, 16, 24];

/** Threefry-2x32-20 of a counter (c0, c1) under a key (k0, k1); u32 all. */
export function threefry(k0: number, k1: number, c0: number, c1: number): [number, number] {
  const key = [k0 | 0, k1 | 0, 0x1bd11bda ^ k0 ^ k1];
  let x0 = (c0 + key[0]!) | 0;
  let x1 = (c1 + key[1]!) | 0;
  for (let round = 0; round < 20; round++) {
    const r = ROTATIONS[round % 8]!;
    x0 = (x0 + x1) | 0;
    x1 = ((x1 << r) | (x1 >>> (32 - r))) ^ x0;
    if (round % 4 === 3) {
      const s = (round + 1) / 4;
      x0 = (x0 + key[s % 3]!) | 0;
      x1 = (x1 + key[(s + 1) % 3]! + s) | 0;
    }
  }
  return [x0 >>> 0, x1 >>> 0];
}

/**
 * The uniform number in [0, 1) that decides the token at `position` (its index in the sequence): the upper 24 bits of
 * the first word of threefry(key = seed, counter = (position, 0)), times 2⁻²⁴. Exact in f32.
 */
export function uniformAt(seed: bigint, position: number): number {
  const [word] = threefry(Number(seed & 0xffffffffn), Number((seed >> 32n) & 0xffffffffn), position, 0);
  return (word >>> 8) * 2 ** -24;
}
