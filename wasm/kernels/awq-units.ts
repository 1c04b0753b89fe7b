/**
 * AutoAWQ's words in i32 lanes. A unit is four neighbouring words of a row, 32 columns; nibble by nibble they are eight vectors: vector i, lane j
 * is column 8j + columnOfNibble[i] of the unit. So vectors 0 to 3 lie in the words' lower halves, the even columns, and 4 to 7 in the upper ones.
 */
import type { Body } from "../assembler/function.ts";
import { i16x8, i32x4, shuffleLanes, v128 } from "../assembler/instructions.ts";
import type { Local, Value } from "../assembler/value.ts";
import { interleave16High, interleave16Low, interleave32High, interleave32Low, zero } from "./halves.ts";

type L = Local<"i32">;
type V = Local<"v128">;

/** Columns of a unit. */
export const UNIT_COLUMNS = 32;

const nibbles = (mask: number): Value<"v128"> => i32x4.const(mask, mask, mask, mask);
export const lowNibbles: Value<"v128"> = nibbles(0x000f000f);
export const secondNibbles: Value<"v128"> = nibbles(0x00f000f0);

/** Rows k and k + 1 of one parity side by side as `i32x4.dot_i16x8_s` wants them. */
export const pairRows = (k: Value<"v128">, next: Value<"v128">, parity: number): Value<"v128"> => {
  const [lower, upper] = parity === 0 ? [k, i32x4.shl(next, 16)] : [i32x4.shr_u(k, 16), next];
  return shuffleLanes(lower, upper, 2, [0, 9, 2, 11, 4, 13, 6, 15]);
};

/** The four vectors of a parity; the second is times 16, which saves a shift. */
export const nibblesOf = (pairs: V, mask: V, mask4: V): readonly Value<"v128">[] => [
  v128.and(pairs, mask),
  v128.and(pairs, mask4),
  v128.and(i16x8.shr_u(pairs, 8), mask),
  i16x8.shr_u(pairs, 12),
];

/** Hands `put` the unit's 32 scales at `scales` vector by vector: four f16, each in the upper half of a lane. */
export function unitScales(f: Body, scales: L, [a, c, both]: readonly [V, V, V], put: (quad: Value<"v128">, vector: number) => void): void {
  for (const [half, interleave] of [interleave16Low, interleave16High].entries()) {
    f.set(a, interleave(v128.load(scales), v128.load(scales, 16)));
    f.set(c, interleave(v128.load(scales, 32), v128.load(scales, 48)));
    for (const [two, quads] of [interleave32Low(a, c), interleave32High(a, c)].entries()) {
      f.set(both, quads);
      for (const [parity, quad] of [interleave16Low(zero, both), interleave16High(zero, both)].entries())
        put(quad, 4 * parity + 2 * half + two);
    }
  }
}

/** Stores the unit's zero points, of the four words at `qzeros`, as eight vectors of i32 from `offset` of `at` on. */
export function unitZeros(f: Body, word: V, qzeros: Value<"i32">, at: L, offset: number): void {
  f.set(word, v128.load(qzeros));
  for (let i = 0; i < 8; i++) f.do(v128.store(at, v128.and(i32x4.shr_u(word, 4 * i), nibbles(15)), offset + 16 * i));
}
