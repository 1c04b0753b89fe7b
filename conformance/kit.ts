/**
 * What a law kit is: one op's cases, expected values and laws, held against any subject that claims to compute the op.
 * Nothing here knows of a backend.
 */
import type fc from "fast-check";
import type { ErrorCode } from "../core/errors.ts";
import type { Expected } from "./accuracy.ts";

/**
 * The arithmetic a subject claims, which decides its bound:
 * `f64` sums in f64, one rounding to f32 (the CPU reference); `f32` WGSL's f32, zero point subtracted from the weight;
 * `f32-folded` the same with the zero point folded out of the sum; `f16-cache` f32 with keys and values kept as f16.
 */
export const subjectArithmetics = ["f64", "f32", "f32-folded", "f16-cache"] as const;
export type SubjectArithmetic = (typeof subjectArithmetics)[number];

/** An implementation of one op: a CPU op, a kernel variant, anybody's function. */
export interface Subject<C> {
  /** Name of the kit, e.g. "rms-norm". */
  readonly op: string;
  /** Where it runs: "cpu", "webgpu", or a third party's word. */
  readonly backend: string;
  readonly variant: string;
  readonly arithmetic: SubjectArithmetic;
  /** The kernels of gpu/kernels that it runs. */
  readonly kernels?: readonly string[];
  /** Whether it takes a case: a kernel may want a multiple of 8. All cases where absent. */
  accepts?(c: C): boolean;
  /** The case it computes instead of a drawn one, where its storage cannot hold every value. */
  adapt?(c: C): C;
  /** Whether bad input must end in the kit's error codes. */
  readonly refuses?: boolean;
  /** Whether it must give the bits of the kit's `reference`. */
  readonly sameBits?: boolean;
  /**
   * Computes the case into `out`, which comes filled with poison. `out` is a view with a guard band of 64 elements on either side,
   * a GPU subject uploads and reads back the whole of `out.buffer`.
   */
  run(c: C, out: Float32Array): void | Promise<void>;
  /** The same computation with its parallel parts in another order, or in the reverse of that: the bits must not change. */
  rerun?(c: C, out: Float32Array, backwards: boolean): void | Promise<void>;
}

/** What a law may use. */
export interface Bench<C> {
  run(c: C): Promise<Float32Array>;
  expected(c: C): Expected;
}

/** A metamorphic law: relates results to one another. `check` gives what is wrong, or null. */
export interface Law<C> {
  readonly name: string;
  check(c: C, bench: Bench<C>): Promise<string | null>;
}

/** A case made bad: the subject must throw `code`; the unspoilt case is the control. */
export interface Refusal<C> {
  readonly name: string;
  readonly code: ErrorCode;
  spoil(c: C, out: Float32Array): { case: C; out: Float32Array };
}

/** S: the spec that is drawn and printed. C: the arrays made from it. */
export interface Kit<S, C> {
  /** The file name of the op in core/ops and of its law file. */
  readonly name: string;
  readonly formula: string;
  readonly spec: fc.Arbitrary<S>;
  /** Specs that every run begins with: both sides of the edges. */
  readonly boundaries: readonly S[];
  make(spec: S): C;
  /** The CPU's own op, where core has one: it is held to these laws as every other subject. */
  readonly reference?: Pick<Subject<C>, "arithmetic" | "run">;
  /** Elements of the output. */
  length(c: C): number;
  expected(c: C, arithmetic: SubjectArithmetic): Expected;
  readonly laws: readonly Law<C>[];
  readonly refusals: readonly Refusal<C>[];
  /** Whether the median headroom must lie between 0.001 and 1 in f32. */
  readonly dotLike: boolean;
}

// biome-ignore lint/suspicious/noExplicitAny: a list of kits has no common spec and case type; each pairs its own.
export type AnyKit = Kit<any, any>;
// biome-ignore lint/suspicious/noExplicitAny: as above.
export type AnySubject = Subject<any>;
