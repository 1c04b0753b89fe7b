/**
 * Values of an int4 linear W [K, N] of random words that keeps activations near unit size: standard deviation about
 * 1/√K, mean 0.
 */
import { f16Bits } from "../dtype.ts";

/** Standard deviation of q − z for q uniform in 0..15 and z 7 or 8 at even odds: sqrt(255/12 + 1/4). */
const nibbleDeviation = Math.sqrt(21.5);

/** Eight zero points 7 or 8 from a random word: then q − z has mean 0 and the linear no offset. */
export const middleZeros = (random: number): number => 0x77777777 + (random & 0x11111111);

/**
 * f16 bits of 256 scales in even steps, from 0.75 to 1.25 of the one that gives W [K, N] a standard deviation of 1/√K.
 */
export function scaleTable(K: number): Uint16Array {
  const middle = 1 / (nibbleDeviation * Math.sqrt(K));
  return Uint16Array.from({ length: 256 }, (_, i) => f16Bits(middle * (0.75 + (0.5 * (i + 0.5)) / 256)));
}
