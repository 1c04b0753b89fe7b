/**
 * One law over many cases: those of real sizes where the law is the bound, the boundary cases, then cases drawn from the
 * kit's arbitrary with a fixed seed, within a time where one is given.
 */
import * as fc from "fast-check";
import { uniform } from "../arbitraries.ts";
import type { AnyKit, AnySubject } from "../kit.ts";
import { BOUND_LAW, HEADROOM_LAW, lawOn, type Measured, replayLine } from "./case.ts";
import { REFUSED } from "./replay.ts";
import type { Failure } from "./row.ts";

/** How many cases a law gets. */
export interface LawOptions {
  /** Random cases. */
  readonly runs: number;
  /** Of the cases. */
  readonly seed: number;
  /** When to stop, on the clock of `performance.now()`; a case that runs then is waited for. */
  readonly deadline?: number;
  /** Stop at the first violation, without shrinking it. */
  readonly bail?: boolean;
  /** Called before each case. */
  readonly onCase?: () => void;
}

export interface LawResult {
  readonly failure: Failure | null;
  /** Boundary cases that time did not allow. */
  readonly left: number;
  /** Whether a case was judged. */
  readonly judged: boolean;
}

/** Shares of a law's time after which cases of real sizes, and boundary cases, give way to the next, as long as there are some. */
const REACH_SHARE = 0.6;
const BOUNDARY_SHARE = 0.85;
/** Random cases that are tried after a listed case failed, for a smaller one that fails too. */
const RUNS_TO_SHRINK = 50;
/** A law with less time than this has none for cases of real sizes: one of them may take all of it, and that of the subjects behind it. */
const LEAST_REACH_MS = 500;
/** Random cases from which on a median says something. */
const FEWEST_HEADROOMS = 50;

export const median = (sorted: readonly number[]): number => sorted[Math.floor(sorted.length / 2)]!;

/** In an order that the seed gives, so that the first few stand for all. */
function shuffled<T>(list: readonly T[], seed: number): T[] {
  const order = [...list];
  const next = uniform(seed);
  for (let i = order.length - 1; i > 0; i--) {
    const j = Math.floor(next() * (i + 1));
    [order[i], order[j]] = [order[j]!, order[i]!];
  }
  return order;
}

/**
 * Holds a subject to one law. The headroom law judges what the bound law measured before.
 * @throws GureumError "device-lost"
 */
export async function checkLaw(kit: AnyKit, subject: AnySubject, law: string, m: Measured, options: LawOptions): Promise<LawResult> {
  const { runs, seed, deadline } = options;
  const fail = (message: string, spec: unknown): Failure => ({ law, message, replay: replayLine(kit, subject, law, spec) });
  if (law === HEADROOM_LAW) {
    let left = 0;
    if (m.headrooms.length === 0) ({ left } = await checkLaw(kit, subject, BOUND_LAW, m, options));
    return { failure: judgeHeadroom(m, fail), left, judged: m.headrooms.length >= FEWEST_HEADROOMS };
  }
  const began = performance.now();
  const before = { cases: m.cases, refused: m.refused };
  const done = (failure: Failure | null, left = 0): LawResult => ({ failure, left, judged: failure !== null || m.cases > before.cases });
  const inOrder = <S>(specs: readonly S[]): readonly S[] => (deadline === undefined ? specs : shuffled(specs, seed));
  const span = (share: number): number => (deadline === undefined ? Infinity : began + share * (deadline - began));
  const reach = law === BOUND_LAW ? (kit.reach ?? []) : [];
  const hasTime = deadline === undefined || deadline - began >= LEAST_REACH_MS;
  let left = hasTime ? 0 : reach.length;
  /** The case that was listed and fails: what is reported where no smaller one is found. */
  let listed: Failure | undefined;
  // Cases of real sizes first: they cost more than the others, which get what is left of the time.
  for (const [specs, until] of [
    [hasTime ? inOrder<unknown>(reach) : [], span(REACH_SHARE)],
    [inOrder<unknown>(kit.boundaries), span(runs > 0 ? BOUNDARY_SHARE : 1)],
  ] as const) {
    const from = performance.now();
    let tried = 0;
    for (const spec of listed ? [] : specs) {
      // As long as those before took on average, this one will take.
      const now = performance.now();
      if (now + (now - from) / Math.max(1, tried) > until && tried > 0) break;
      options.onCase?.();
      const wrong = await lawOn(kit, subject, law, spec, m, false);
      tried++;
      if (!wrong) continue;
      listed = fail(wrong, spec);
      if (options.bail || runs === 0) return done(listed);
      break;
    }
    left += specs.length - tried;
  }
  // fast-check gives up waiting when time is up; the case itself goes on, and nothing else may start on the device
  // before it ends.
  let running: Promise<unknown> = Promise.resolve();
  let lost: { readonly error: unknown } | undefined;
  const property = fc.asyncProperty(kit.spec, async (spec) => {
    // No case after the end of the device says anything, and there is nothing to shrink.
    if (lost) return;
    options.onCase?.();
    const verdict = lawOn(kit, subject, law, spec, m, true).catch((error: unknown) => {
      lost = { error };
      return null;
    });
    running = verdict;
    const wrong = await verdict;
    if (wrong) throw new Error(wrong);
  });
  const rest = deadline === undefined ? undefined : deadline - performance.now();
  if (rest !== undefined && rest <= 0 && m.cases + m.refused > before.cases + before.refused) return done(listed ?? null, left);
  const details = await fc.check(property, {
    numRuns: listed ? Math.min(runs, RUNS_TO_SHRINK) : runs,
    seed,
    endOnFailure: options.bail === true,
    ...(rest === undefined ? {} : { interruptAfterTimeLimit: Math.max(1, rest) }),
  });
  await running;
  if (lost) throw lost.error;
  if (details.failed && details.counterexample) {
    const [spec] = details.counterexample;
    const error = details.errorInstance;
    return done(fail(error instanceof Error ? error.message : String(error), spec), left);
  }
  if (listed) return done(listed, left);
  const refused = m.refused - before.refused;
  if (refused > 0 && m.cases === before.cases)
    return done(fail(`${REFUSED}, nor any other of the ${refused} tried: no case is left to test`, kit.boundaries[0] ?? null), left);
  return done(null, left);
}

function judgeHeadroom({ headrooms }: Measured, fail: (message: string, spec: unknown) => Failure): Failure | null {
  const n = headrooms.length;
  if (n < FEWEST_HEADROOMS) return null;
  const sorted = headrooms.toSorted((a, b) => a - b);
  // The order statistics 1.5 √n either side of the middle hold the median of all cases between them (3 σ of a fair coin
  // thrown n times).
  const above = sorted[Math.ceil(n / 2 + 1.5 * Math.sqrt(n))]!;
  const below = sorted[Math.floor(n / 2 - 1.5 * Math.sqrt(n))]!;
  return above >= 0.001 && below <= 1 ? null : fail(`the median headroom of ${n} cases is ${median(sorted)}`, null);
}
