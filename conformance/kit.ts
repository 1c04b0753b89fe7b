/**
 * What a law kit is: one op's cases, expected values and laws, held against any subject that claims to compute the op.
 * Nothing here knows of a backend.
 */
import type { ErrorCode } from "../core/errors.ts";
import type { Expected } from "./accuracy.ts";

/**
 * The arithmetic a subject claims, which decides its bound:
 * `f64` sums in f64, one rounding to f32 (the CPU reference); `f32` WGSL's f32, zero point subtracted from the weight;
 * `f32-folded` the same with the zero point folded out of the sum; `f16-cache` f32 with keys and values kept as f16; `f16-running` f32 with
 * weights of attention rounded to f16 before they are divided by their sum.
 */
export type SubjectArithmetic = "f64" | "f32" | "f32-folded" | "f16-cache" | "f16-running";
export const subjectArithmetics: readonly SubjectArithmetic[] = ["f64", "f32", "f32-folded", "f16-cache", "f16-running"];

/** What draws specs: an arbitrary of fast-check. */
export type Arbitrary<S> = import("fast-check").Arbitrary<S>;

/** An implementation of one op: a CPU op, a kernel variant, anybody's function. */
export interface Subject<C> {
  /** Name of the kit, e.g. "rms-norm". */
  readonly op: string;
  /** Where it runs: "cpu", "webgpu", or a third party's word. */
  readonly backend: string;
  /** Its name among the op's subjects. */
  readonly variant: string;
  /** What it claims. */
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
  /** The subject's output of a case. */
  run(c: C): Promise<Float32Array>;
  /** The exact values of a case, and how far off they may be. */
  expected(c: C): Expected;
}

/** A metamorphic law: relates results to one another. `check` gives what is wrong, or null. */
export interface Law<C> {
  /** In plain words, in the present tense. */
  readonly name: string;
  /** What is wrong with a case under this law; null where nothing is. */
  check(c: C, bench: Bench<C>): Promise<string | null>;
}

/** A case made bad: the subject must throw `code`; the unspoilt case is the control. */
export interface Refusal<C> {
  /** What is bad about it. */
  readonly name: string;
  /** What the subject must throw. */
  readonly code: ErrorCode;
  /** The case, or its output, made bad. */
  spoil(c: C, out: Float32Array): { case: C; out: Float32Array };
}

/** S: the spec that is drawn and printed. C: the arrays made from it. */
export interface Kit<S, C> {
  /** The file name of the op in core/ops and of its law file. */
  readonly name: string;
  /** What the op computes. */
  readonly formula: string;
  /** Draws specs. */
  readonly spec: Arbitrary<S>;
  /** Specs that every run begins with: both sides of the edges. */
  readonly boundaries: readonly S[];
  /**
   * Specs as large as supported models make them, sparse or one row, so that they stay cheap: every run holds them to the
   * bound, before anything else, and to no other law.
   */
  readonly reach?: readonly S[];
  /** The arrays of a spec. */
  make(spec: S): C;
  /** The CPU's own op, where core has one: it is held to these laws as every other subject. */
  readonly reference?: Pick<Subject<C>, "arithmetic" | "run">;
  /** Elements of the output. */
  length(c: C): number;
  /** The exact values of a case, and the bound that the claimed arithmetic earns. */
  expected(c: C, arithmetic: SubjectArithmetic): Expected;
  /** Relations between results. */
  readonly laws: readonly Law<C>[];
  /** Bad input, and what it must end in. */
  readonly refusals: readonly Refusal<C>[];
  /** Whether the median headroom must lie between 0.001 and 1 in f32. */
  readonly dotLike: boolean;
}

/** A kit of any op. */
// biome-ignore lint/suspicious/noExplicitAny: a list of kits has no common spec and case type; each pairs its own.
export type AnyKit = Kit<any, any>;
/** A subject of any op. */
// biome-ignore lint/suspicious/noExplicitAny: as above.
export type AnySubject = Subject<any>;
