/**
 * AutoAWQ's words in f64 lanes. A pair is two neighbouring words of a row of qweight or qzeros: columns 16p … 16p + 15 of pair p. Nibble i
 * of both gives the vector (column 16p + c, column 16p + 8 + c), c = columnOfNibble[i]: eight vectors a pair, in nibble order.
 */

import { columnOfNibble } from "../../core/quant/awq-format.ts";
import type { Body } from "../assembler/function.ts";
import { f64x2, i32, i64x2, v128 } from "../assembler/instructions.ts";
import type { Local, Value } from "../assembler/value.ts";
import { halvesToSingles, interleave16High, interleave16Low, promoteHigh, zero } from "./halves.ts";

type V = Value<"v128">;
type L = Local<"i32">;

/** Bits of 2^52: an integer below 2^32 in the fraction's low bits makes the f64 2^52 + integer. */
const two52 = i64x2.const(0x4330000000000000n, 0x4330000000000000n);
/** Keeps sign, exponent and nibble i. */
export const nibbleMask = (i: number): V =>
  i64x2.const(0xfff0000000000000n | (15n << BigInt(4 * i)), 0xfff0000000000000n | (15n << BigInt(4 * i)));

/** The pair at `address` as f64 2^52 + word. */
export const loadPair = (address: Value<"i32">, offset = 0): V => v128.or(v128.load32x2_u(address, offset), two52);

/**
 * Nibble i of a pair less its zero point: (q − z) · 16^i, exact, as the difference of 2^52 + q · 16^i and 2^52 + z · 16^i (which is
 * `masked` of the qzeros). The factor 16^i stays, a power of two that changes no rounding, and leaves with the scale.
 */
export const masked = (pair: V, mask: V): V => v128.and(pair, mask);

/**
 * Sets scale[i] = (s[c], s[8 + c]) · 16^−i for the eight nibbles, from the pair's 16 scales (f16) at `address`.
 */
export function loadScales(f: Body, address: Value<"i32">, scale: readonly Local<"v128">[], temp: readonly Local<"v128">[]): void {
  const [first, second, ...singles] = temp as [Local<"v128">, Local<"v128">, ...Local<"v128">[]];
  f.set(first, v128.load(address));
  f.set(second, v128.load(address, 16));
  // [s0 s8 s1 s9], [s2 s10 s3 s11], …
  const [low, high] = [interleave16Low(first, second), interleave16High(first, second)];
  const quads = [interleave16Low(zero, low), interleave16High(zero, low), interleave16Low(zero, high), interleave16High(zero, high)];
  for (const [j, quad] of quads.entries()) f.set(singles[j]!, halvesToSingles(quad));
  columnOfNibble.forEach((column, i) => {
    const single = singles[column >> 1]!;
    const wide = column % 2 === 0 ? f64x2.promote_low_f32x4(single) : promoteHigh(single);
    f.set(scale[i]!, i === 0 ? wide : f64x2.mul(wide, f64x2.const(16 ** -i, 16 ** -i)));
  });
}

/** Pairs that go through a group together: two cache lines of a row of qweight; and the bytes of these. */
export const PAIRS = 16;
export const LINE: number = 8 * PAIRS;

/**
 * Copies `line` bytes of rows `rowBytes` apart from `from` on side by side to `target`, `bytes` in all; sets `toEnd` to where they end.
 * Rows a power of two apart would evict one another from the first cache, and each lies in a page of its own.
 */
export function copyWords(f: Body, target: L, from: L, bytes: Value<"i32">, line: number, rowBytes: L, to: L, toEnd: L): void {
  f.set(toEnd, i32.add(target, bytes));
  f.for(to, target, toEnd, i32.const(line), () => {
    for (let i = 0; i < line; i += 16) f.do(v128.store(to, v128.load(from, i), i));
    f.set(from, i32.add(from, rowBytes));
  });
}

/** A group's rows from its row k on, at most `most`: sets `row`, the first of them, and `rows`, and copies LINE bytes of each, `left` on, to scratch. */
export function copyChunk(
  f: Body,
  p: Readonly<Record<"scratch" | "qweight" | "groupSize", L>>,
  v: Readonly<Record<"g" | "k" | "rows" | "row" | "from" | "to" | "toEnd" | "rowBytes", L>>,
  most: number,
  left: Value<"i32">,
): void {
  f.set(v.rows, i32.sub(p.groupSize, v.k));
  f.if(i32.gt_u(v.rows, i32.const(most)), () => f.set(v.rows, i32.const(most)));
  f.set(v.row, i32.add(i32.mul(v.g, p.groupSize), v.k));
  f.set(v.from, i32.add(p.qweight, i32.add(i32.mul(v.row, v.rowBytes), left)));
  copyWords(f, p.scratch, v.from, i32.mul(v.rows, i32.const(LINE)), LINE, v.rowBytes, v.to, v.toEnd);
}
