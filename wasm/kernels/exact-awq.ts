/**
 * What the int4 kernels of `exact` share. Activations are integers v = 2^16 · h + l, l of 16 signed bits and h of at most as many; a unit of
 * work is four words, 32 columns (awq-units.ts).
 * Sums of h and of l, times (q − z), are integers of 32 bits over 128 rows; scaled by s, they are added up in f64 as two totals, each exact
 * (wasm/exact.ts says when), and rounded once.
 */
import type { Body } from "../assembler/function.ts";
import { f32, f64, f64x2, i32, shuffleLanes, v128 } from "../assembler/instructions.ts";
import type { Local, Value } from "../assembler/value.ts";
import { UNIT_COLUMNS, unitScales, unitZeros } from "./awq-units.ts";
import { nearest, type OddSum, oddSum, sumToOdd } from "./exact-round.ts";
import { halvesToSingles, promoteHigh } from "./halves.ts";
import type { Surroundings } from "./kernel.ts";

type L = Local<"i32">;
type V = Local<"v128">;

/** Units that share two cache lines of a row (awq.ts). */
export const UNITS = 8;
/** Rows of weights whose products with 16 bits an i32 holds, nibbles times 16: 2^15 · 240 · 128 < 2^30. */
export const CHUNK = 128;
/** Of a unit: scales [8 vectors, 4] f64, then zero points [8, 4] i32. */
export const SCALES = 256;
export const UNIT: number = SCALES + 128;
/** Totals of a unit and a row: of h [8, 4] f64, then of l. */
export const LOW = 256;
export const TOTALS = 512;
/** Bytes of two rows' digits: h of k and k + 1, then l of both, i16. */
export const PAIR = 8;

/** Writes a unit's scales and zero points to `at`, from the 32 scales (f16) at `scales` and the four words at `qzeros`. */
function loadGroup(f: Body, at: L, scales: L, qzeros: Value<"i32">, [a, c, both, single]: readonly [V, V, V, V]): void {
  unitScales(f, scales, [a, c, both], (quad, vector) => {
    f.set(single, halvesToSingles(quad));
    f.do(v128.store(at, f64x2.promote_low_f32x4(single), 32 * vector));
    f.do(v128.store(at, promoteHigh(single), 32 * vector + 16));
  });
  unitZeros(f, a, qzeros, at, SCALES);
}

/** `loadGroup` of group g for the units `first` to `end`, UNIT apart from `units` on. */
export function loadGroups(
  f: Body,
  p: Readonly<Record<"scales" | "qzeros" | "words", L>>,
  v: Readonly<Record<"g" | "first" | "end" | "unit" | "units" | "at" | "address" | "rowBytes", L>>,
  vectors: readonly [V, V, V, V],
): void {
  const n = i32.const;
  f.set(v.at, v.units);
  f.for(v.unit, v.first, v.end, n(1), () => {
    f.set(v.address, i32.add(i32.mul(v.g, i32.shl(p.words, n(3))), i32.mul(v.unit, n(UNIT_COLUMNS))));
    f.set(v.address, i32.add(p.scales, i32.shl(v.address, n(1))));
    loadGroup(f, v.at, v.address, i32.add(p.qzeros, i32.add(i32.mul(v.g, v.rowBytes), i32.shl(v.unit, n(4)))), vectors);
    f.set(v.at, i32.add(v.at, n(UNIT)));
  });
}

/** Adds four sums, times their scales, to four totals: integers of 32 bits times 11, exact. */
export function addScaled(f: Body, madd: Surroundings["madd"], sums: V, totals: L, totalsAt: number, scales: L, scalesAt: number): void {
  const high = f64x2.convert_low_i32x4_s(shuffleLanes(sums, sums, 8, [1, 1]));
  for (const [half, wide] of [f64x2.convert_low_i32x4_s(sums), high].entries()) {
    const offset = totalsAt + 16 * half;
    f.do(v128.store(totals, madd(v128.load(totals, offset), wide, v128.load(scales, scalesAt + 16 * half)), offset));
  }
}

/** Variables of `writeUnit`. */
export interface Output {
  readonly index: L;
  readonly end: L;
  readonly n: L;
  readonly high: Local<"f64">;
  readonly low: Local<"f64">;
  readonly single: Local<"f32">;
  readonly odd: OddSum;
}
export function output(f: Body): Output {
  const [index, end, n] = f.locals("i32", 3) as [L, L, L];
  return { index, end, n, high: f.local("f64"), low: f.local("f64"), single: f.local("f32"), odd: oddSum(f) };
}

/** out[n] = add(rn((2^16 · high + low) · power), bias[n]) for a unit's columns from its totals; what lies beyond `words` is left out. */
export function writeUnit(
  f: Body,
  { index, end, n, high, low, single, odd }: Output,
  totals: L,
  unit: L,
  power: Local<"f64">,
  { out, bias, words }: Readonly<Record<"out" | "bias" | "words", L>>,
): void {
  const k = i32.const;
  f.set(end, i32.add(totals, k(LOW)));
  f.set(index, k(0));
  f.for(totals, totals, end, k(8), () => {
    // Vector i = index / 4, lane j = index % 4: word 4 · unit + j, in it column 2 (i % 4) + i / 4.
    f.set(n, i32.add(i32.shl(unit, k(2)), i32.and(index, k(3))));
    f.if(i32.lt_u(n, words), () => {
      const column = i32.or(i32.and(i32.shr_u(index, k(1)), k(6)), i32.shr_u(index, k(4)));
      f.set(n, i32.shl(i32.add(i32.shl(n, k(3)), column), k(2)));
      f.set(high, f64.mul(f64.load(totals), f64.const(65536)));
      f.set(low, f64.load(totals, LOW));
      sumToOdd(f, odd, high, low);
      f.set(high, f64.mul(odd.sum, power));
      f.set(single, nearest(high));
      f.if(bias, () => {
        f.set(high, f64.add(f64.promote_f32(single), f64.promote_f32(f32.load(i32.add(bias, n)))));
        f.set(single, nearest(high));
      });
      f.do(f32.store(i32.add(out, n), single));
    });
    f.set(index, i32.add(index, k(1)));
  });
}
