/**
 * What a kernel is: a function over 32-bit addresses and counts, written with the assembler. All kernels share one module, one
 * imported memory and one convention: `scratch` is memory of the calling thread's own, `from` and `to` are the units of work that it
 * does, so that threads divide a kernel by calling it with other ranges. Which units there are, each kernel says.
 */
import type { Body, FunctionRef } from "../assembler/function.ts";
import type { Local, Value } from "../assembler/value.ts";

type I32Params = Readonly<Record<string, Local<"i32">>>;

/** What a kernel finds in its module. */
export interface Surroundings {
  /** Math.exp of the host, so that every bit is that of the JavaScript op. */
  readonly exp: FunctionRef<readonly ["f64"], "f64">;
  /** An earlier kernel of the module, to call. */
  kernel(name: string): FunctionRef;
  /**
   * acc + a · b in f64 lanes. Fused where the host has relaxed SIMD: each product here has at most 48 significant bits and is exact in
   * f64, so rounding it before the addition changes nothing, and fused and unfused agree bit for bit.
   */
  madd(acc: Value<"v128">, a: Value<"v128">, b: Value<"v128">): Value<"v128">;
}

export interface Kernel<P extends string = string> {
  readonly name: string;
  readonly params: readonly P[];
  write(f: Body, p: Readonly<Record<P, Local<"i32">>>, around: Surroundings): void;
}

/** A kernel's record, its parameters typed by their names. */
export const kernel = <const P extends string>(name: string, params: readonly P[], write: Kernel<P>["write"]): Kernel => ({
  name,
  params,
  write: (f, p: I32Params, around) => write(f, p as Readonly<Record<P, Local<"i32">>>, around),
});
