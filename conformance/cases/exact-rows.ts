/** Rows that a norm of `exact` must get right for one reason each: a part of its root, a tie of its sum, an end of its range. */
import { besideTies } from "./exact.ts";

interface Row {
  readonly eps: number;
  readonly x: readonly number[];
  /** Ones where absent. */
  readonly weight?: readonly number[];
}

/** Means whose root shows that one part of it is wrong, each another (gpu/wgsl/exact.ts): found among all 2^24 significands and parities. */
const telling: Float32Array = new Float32Array(
  Uint32Array.of(
    ...[0x3f800000, 0x3f8000d0, 0x3f8007eb, 0x3f80149b, 0x3f801bb8, 0x3f82e422, 0x3f839d7e],
    ...[0x3f83bb4b, 0x3f96cf42, 0x3fa70290, 0x40352fc3],
  ).buffer,
);
const BELOW_ONE = 1 - 2 ** -24;
/** So small that its square adds nothing to 1. */
const TINY = 2 ** -60;
const padded = (x: readonly number[], D: number): number[] => [...x, ...new Array<number>(D - x.length).fill(0)];

/** So that one unit of a factor shows in one of four digits of a row. */
const shares = [1, 1.25, 1.5, 1.75];
/** The same where a number of 24 bits as digits loses its lowest: weights with each of its last two bits. */
const units = [0, 1, 2, 3].map((unit) => 1.75 + unit * 2 ** -23);
const many = Array.from({ length: 128 }, (_, i) => 1 + i / 128 + (i % 4) * 2 ** -23);

const rows: readonly Row[] = [
  ...[...telling].map((eps) => ({ eps, x: [TINY, TINY, TINY, TINY], weight: shares })),
  // A mean below the least value; a sum near the largest.
  { eps: 0, x: [2 ** -64, 2 ** -65, 0, 0] },
  { eps: 0, x: [1.5 * 2 ** 63, 2 ** 60, 1, 0] },
  // A sum of squares halfway between two values, and a unit above that.
  { eps: 0, x: [4095, 4092, 0, 0] },
  { eps: 0, x: [4095 * 2 ** 11, 4092 * 2 ** 11, 1.5, 0] },
  // A mean and eps whose sum lies halfway, and one that carries.
  { eps: 1, x: [2 ** -12, 2 ** -12, 2 ** -12, 2 ** -12], weight: shares },
  { eps: BELOW_ONE, x: [2 ** -12, 2 ** -12, 0, 0] },
  // The same in digits: halfway to an even value, and to an odd one.
  ...[1, 1 + 2 ** -23].map((eps) => ({ eps, x: [2 ** -12, 2 ** -12, 2 ** -12, 2 ** -12], weight: units })),
  ...[...telling].map((eps) => ({ eps, x: many.map(() => TINY), weight: many })),
  // Products with weights: beside a tie, rounded up to the least value, the largest power of two.
  {
    eps: 1,
    x: padded(
      besideTies.map(([a]) => a * 2 ** -70),
      128,
    ),
    weight: padded(
      besideTies.map(([, b]) => b),
      128,
    ),
  },
  { eps: 1, x: [11860629 * 2 ** -86, 0, 0, 0], weight: [11865938 * 2 ** -87, 1, 1, 1] },
  { eps: 0, x: [1, 0, 0, 0], weight: [1.25 * 2 ** 126, 1, 1, 1] },
  // At a tie, of 47 and of 48 bits, beside an even number and beside an odd one.
  { eps: 1, x: [0xc0000e, 0x80000f, 0xc00002, 0x800001].map((a) => a * 2 ** -90), weight: [1.5, 1.5, 1.5, 1.5] },
  // Products with the factor alone: rounded up to the least value.
  { eps: (2 ** 87 / 11865938) ** 2, x: padded([11860629 * 2 ** -86], 64), weight: new Array<number>(64).fill(2 ** 100) },
  // No weights: nothing is left of large numbers. And the least number beside weights far above its own.
  { eps: 0, x: new Array<number>(64).fill(1000), weight: new Array<number>(64).fill(0) },
  { eps: 0, x: padded([1000], 64), weight: new Array<number>(64).fill(0) },
  { eps: 0, x: padded([2 ** -126], 64), weight: Array.from({ length: 64 }, (_, i) => (i < 56 ? 1 : 2 ** 60)) },
  // The largest in the last lane.
  { eps: 0, x: [...new Array<number>(127).fill(1), 1000] },
  // And in the second half of 64 lanes, a number of lanes above those that look.
  { eps: 0, x: padded([...new Array<number>(130).fill(1), 1000], 256) },
];
export const ownRows: readonly number[] = rows.map((_, row) => row);

/** The norm of one of these rows. */
export function rowCase(row: number): { D: number; rows: 1; eps: number; x: Float32Array; weight: Float32Array } {
  const { eps, x, weight = x.map(() => 1) } = rows[row]!;
  return { D: x.length, rows: 1, eps, x: Float32Array.from(x), weight: Float32Array.from(weight) };
}
