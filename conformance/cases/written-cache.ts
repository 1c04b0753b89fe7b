/**
 * What is compared of a cache that began as zeros: T rows from `start` on, and how many elements elsewhere are no zeros any
 * more, so that a cache of any length costs as much as what is written.
 */

/** [rows T · width, elements elsewhere that are not zero] */
export const cacheLength = (T: number, width: number): number => T * width + 1;

/** Where element i of row t lies in it. */
export const cacheSlot = (t: number, width: number, i: number): number => t * width + i;

/** The part that is compared, of a cache as it is afterwards. */
export function writtenCache(cache: Float32Array, start: number, T: number, width: number): Float32Array {
  const out = new Float32Array(cacheLength(T, width));
  const from = start * width;
  const to = from + T * width;
  out.set(cache.subarray(from, to));
  let strays = 0;
  for (let i = 0; i < cache.length; i++) if ((i < from || i >= to) && cache[i] !== 0) strays++;
  out[T * width] = strays;
  return out;
}
