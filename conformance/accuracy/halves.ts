/**
 * 16-bit floats widened apart from core/dtype.ts, so that what is expected does not come from what is tested: the bits of a
 * binary16 moved to those of a binary32 and scaled by 2^112, which is exact, subnormals included.
 * Source: IEEE 754-2019, 3.4 (binary16: bias 15, 10 bits of fraction; binary32: bias 127, 23 bits).
 */
const word = new Uint32Array(1);
const number = new Float32Array(word.buffer);
const asF32 = (bits: number): number => {
  word[0] = bits;
  return number[0]!;
};

let table: Float32Array | undefined;

/** The value of each of the 65,536 patterns of a binary16. */
export function halfNumbers(): Float32Array {
  table ??= Float32Array.from({ length: 65536 }, (_, bits) => {
    const sign = (bits >>> 15) << 31;
    // Exponent 31: infinity, or NaN.
    if ((bits & 0x7c00) === 0x7c00) return asF32(sign | 0x7f800000 | ((bits & 1023) << 13));
    return asF32(sign | ((bits & 0x7fff) << 13)) * 2 ** 112;
  });
  return table;
}

/** The value of a bfloat16: the upper half of a binary32. */
export const bfloatNumber = (bits: number): number => asF32(bits << 16);

/**
 * Bits of the binary16 nearest to x, ties to even; what rounds to 65536 is infinite. A binary32 by integers: the fraction
 * rounds where 13 bits are cut off, and carries into the exponent. Any other number by a search for its neighbours.
 */
export function nearestHalf(x: number): number {
  if (Number.isNaN(x)) return 0x7e00;
  const sign = x < 0 || Object.is(x, -0) ? 0x8000 : 0;
  const m = Math.abs(x);
  if (m >= 65536) return sign | 0x7c00;
  number[0] = m;
  if (number[0] !== m || m < 2 ** -14) return sign | searched(m);
  const bits = word[0]! - (112 << 23);
  return sign | ((bits + 0xfff + ((bits >>> 13) & 1)) >>> 13);
}

/** The pattern whose value is nearest to m, 0 ≤ m < 65536: finite magnitudes ascend with their patterns. */
function searched(m: number): number {
  const known = halfNumbers();
  let [low, high] = [0, 0x7bff];
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (known[middle]! <= m) low = middle;
    else high = middle - 1;
  }
  const below = m - known[low]!;
  const above = (low === 0x7bff ? 65536 : known[low + 1]!) - m;
  return below < above || (below === above && low % 2 === 0) ? low : low + 1;
}
