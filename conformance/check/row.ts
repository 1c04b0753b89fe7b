/** What is measured of a subject. */
import type { Worst } from "../compare.ts";

/** What was measured of one case under the bound law. */
export interface Point {
  /** Absolute. */
  readonly error: number;
  /** What the error may be. */
  readonly bound: number;
}

/** A law that does not hold. */
export interface Failure {
  /** Its name. */
  readonly law: string;
  /** The case, and what is wrong with it. */
  readonly message: string;
  /** Runs the shrunk case alone: what `--replay` takes, and `replay`. */
  readonly replay: string;
}

/** What was not tested, so that nobody takes it for tested. */
export interface LeftOut {
  /** Boundary cases that time did not allow, over all laws. */
  readonly boundaries: number;
  /** Laws of which no case ran, for want of time, or of cases to judge by. */
  readonly laws: readonly string[];
}

/** Measurements of a subject, one line of the certificate. */
export interface Row {
  /** The kit's name. */
  readonly op: string;
  /** Where the subject runs. */
  readonly backend: string;
  /** The subject's. */
  readonly variant: string;
  /** What the subject claims. */
  readonly arithmetic: string;
  /** Cases run, over all laws. */
  readonly cases: number;
  /** Cases that the subject does not take (`accepts`), over all laws; absent in certificates of old. */
  readonly refused?: number;
  /** Absent where everything was tested. */
  readonly leftOut?: LeftOut;
  /** The element that came nearest to its bound. */
  readonly worst: Worst | null;
  /** Largest absolute error seen. */
  readonly worstError: number;
  /** Largest error in units of the last place of the expected value. */
  readonly worstUlp: number;
  /** Median over random cases of each case's largest error ÷ bound; null where no case had a positive bound. */
  readonly medianHeadroom: number | null;
  /** The laws that do not hold, each with its smallest case. */
  readonly failures: readonly Failure[];
  /** At most 200 of the cases, for the plot. */
  readonly points: readonly Point[];
}
