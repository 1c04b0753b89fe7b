/** What most kits use: arithmetics by name, refusals of short buffers. */
import { type Arithmetic, f64, wgsl } from "../accuracy.ts";
import type { Refusal, SubjectArithmetic } from "../kit.ts";

export const arithmeticOf = (name: SubjectArithmetic): Arithmetic => (name === "f64" ? f64 : wgsl);

/** An input or the output one element too short: "shape". */
export const refuseShort = <C>(what: string, spoil: (c: C) => C, shortenOut = false): Refusal<C> => ({
  name: `a short ${what}`,
  code: "shape",
  spoil: (c, out) => ({ case: spoil(c), out: shortenOut ? out.subarray(1) : out }),
});
