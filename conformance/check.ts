/**
 * Runs kits against subjects: boundary cases first, then cases drawn from the kit's arbitrary with a fixed seed; a violation is
 * shrunk and gets a line that replays it. vitest and `gureum conformance` both come through here.
 */
import fc from "fast-check";
import { GureumError } from "../core/errors.ts";
import type { Expected } from "./accuracy.ts";
import { compare, describeWorst, makeOutput, sameBits, strayWrite, type Worst } from "./compare.ts";
import type { AnyKit, AnySubject, Bench } from "./kit.ts";

/** A law of a kit by name: its own, or one of those that all kits have. */
export const BOUND_LAW = "stays within its bound, writes every output and nothing else, leaves its inputs alone";
export const REFUSAL_LAW = "refuses bad input by its code and takes the good one";
export const ORDER_LAW = "gives the same bits again, whichever invocation does which share";
export const HEADROOM_LAW = "has a tight bound: the median headroom lies between 0.001 and 1";

export const subjectName = (s: AnySubject): string => `${s.backend}/${s.variant}`;

/** What was measured of one case under the bound law. */
export interface Point {
  readonly error: number;
  readonly bound: number;
}

export interface Failure {
  readonly law: string;
  readonly message: string;
  /** Runs the shrunk case alone: `gureum conformance --replay "<line>"`. */
  readonly replay: string;
}

/** Measurements of a subject, one line of the certificate. */
export interface Row {
  readonly op: string;
  readonly backend: string;
  readonly variant: string;
  readonly arithmetic: string;
  /** Cases run, over all laws. */
  readonly cases: number;
  /** The element that came nearest to its bound. */
  readonly worst: Worst | null;
  /** Largest absolute error seen. */
  readonly worstError: number;
  readonly worstUlp: number;
  /** Median over random cases of each case's largest error ÷ bound; null where no case had a positive bound. */
  readonly medianHeadroom: number | null;
  readonly failures: readonly Failure[];
  /** At most 200 of the cases, for the plot. */
  readonly points: readonly Point[];
}

export interface CheckOptions {
  /** Random cases a law. */
  readonly runs: number;
  readonly seed: number;
  /** Stop drawing after this many milliseconds, per law. */
  readonly timeMs?: number;
  /** Only these laws. */
  readonly laws?: readonly string[];
  /** Stop at the first violation, without shrinking it. */
  readonly bail?: boolean;
  /** Called before each case. */
  readonly onCase?: () => void;
}

/** The names of the laws a subject is held to. */
export function lawNames(kit: AnyKit, subject: AnySubject): string[] {
  return [
    BOUND_LAW,
    ...kit.laws.map((law) => law.name),
    ...(subject.rerun ? [ORDER_LAW] : []),
    ...(subject.refuses && kit.refusals.length ? [REFUSAL_LAW] : []),
    ...(kit.dotLike && subject.arithmetic !== "f64" ? [HEADROOM_LAW] : []),
  ];
}

export const replayLine = (kit: AnyKit, subject: AnySubject, law: string, spec: unknown): string =>
  JSON.stringify([kit.name, subjectName(subject), law, spec]);

class Measured {
  cases = 0;
  worst: Worst | null = null;
  worstError = 0;
  worstUlp = 0;
  readonly headrooms: number[] = [];
  readonly points: Point[] = [];
}

const bytesOf = (c: unknown): string => {
  // A cheap fingerprint of every array in a case.
  let hash = 0;
  const visit = (value: unknown): void => {
    if (ArrayBuffer.isView(value)) {
      const bytes = new Uint8Array(value.buffer, value.byteOffset, value.byteLength);
      for (let i = 0; i < bytes.length; i++) hash = (Math.imul(hash, 31) + bytes[i]!) | 0;
    } else if (value !== null && typeof value === "object") for (const part of Object.values(value)) visit(part);
  };
  visit(c);
  return `${hash}`;
};

async function runOnce(kit: AnyKit, subject: AnySubject, c: unknown): Promise<Float32Array> {
  const out = makeOutput(kit.length(c));
  await subject.run(c, out);
  return out;
}

async function checkBound(kit: AnyKit, subject: AnySubject, c: unknown, m: Measured, random: boolean): Promise<string | null> {
  const before = bytesOf(c);
  const out = await runOnce(kit, subject, c);
  const stray = strayWrite(out);
  if (stray) return stray;
  if (bytesOf(c) !== before) return "an input was changed";
  const worst = compare(out, kit.expected(c, subject.arithmetic));
  if (!worst) return null;
  m.worstError = Math.max(m.worstError, worst.error);
  m.worstUlp = Math.max(m.worstUlp, worst.ulp);
  if (!m.worst || worst.headroom > m.worst.headroom) m.worst = worst;
  if (random && worst.bound > 0) {
    m.headrooms.push(worst.headroom);
    if (m.points.length < 200) m.points.push({ error: worst.error, bound: worst.bound });
  }
  return worst.headroom > 1 ? describeWorst(worst) : null;
}

async function checkOrder(kit: AnyKit, subject: AnySubject, c: unknown): Promise<string | null> {
  const once = await runOnce(kit, subject, c);
  for (const backwards of [false, true]) {
    const again = makeOutput(kit.length(c));
    await subject.rerun!(c, again, backwards);
    const wrong = sameBits(once, again);
    if (wrong) return wrong;
  }
  return null;
}

async function checkRefusals(kit: AnyKit, subject: AnySubject, c: unknown): Promise<string | null> {
  await runOnce(kit, subject, c);
  for (const refusal of kit.refusals) {
    const { case: bad, out } = refusal.spoil(c, makeOutput(kit.length(c)));
    try {
      await subject.run(bad, out);
      return `${refusal.name}: expected error "${refusal.code}", got none`;
    } catch (error) {
      if (!(error instanceof GureumError)) return `${refusal.name}: expected a GureumError, got ${error}`;
      if (error.code !== refusal.code) return `${refusal.name}: expected error "${refusal.code}", got "${error.code}"`;
    }
  }
  return null;
}

/** What a law says of one case: null, or what is wrong. Anything thrown is wrong too. */
async function lawOn(kit: AnyKit, subject: AnySubject, law: string, spec: unknown, m: Measured, random: boolean): Promise<string | null> {
  const drawn = kit.make(spec);
  const c = subject.adapt ? subject.adapt(drawn) : drawn;
  if (subject.accepts && !subject.accepts(c)) return null;
  m.cases++;
  try {
    if (law === BOUND_LAW || law === HEADROOM_LAW) return await checkBound(kit, subject, c, m, random);
    if (law === ORDER_LAW) return await checkOrder(kit, subject, c);
    if (law === REFUSAL_LAW) return await checkRefusals(kit, subject, c);
    const bench: Bench<unknown> = {
      run: (other) => runOnce(kit, subject, other),
      expected: (other): Expected => kit.expected(other, subject.arithmetic),
    };
    const found = kit.laws.find(({ name }) => name === law);
    if (!found) throw new GureumError("usage", { where: kit.name, what: "no such law", got: law });
    return await found.check(c, bench);
  } catch (error) {
    return `threw ${error instanceof Error ? `${error.name}: ${error.message}` : error}`;
  }
}

const median = (sorted: readonly number[]): number => sorted[Math.floor(sorted.length / 2)]!;

async function checkLaw(kit: AnyKit, subject: AnySubject, law: string, m: Measured, options: CheckOptions): Promise<Failure | null> {
  const fail = (message: string, spec: unknown): Failure => ({ law, message, replay: replayLine(kit, subject, law, spec) });
  if (law === HEADROOM_LAW) {
    // Measured by the bound law; run here where that was not asked for.
    if (m.headrooms.length === 0) await checkLaw(kit, subject, BOUND_LAW, m, options);
    const n = m.headrooms.length;
    if (n < 50) return null;
    const sorted = m.headrooms.toSorted((a, b) => a - b);
    // The order statistics 1.5 √n either side of the middle hold the median of all cases between them (3 σ of a fair coin thrown n times).
    const above = sorted[Math.ceil(n / 2 + 1.5 * Math.sqrt(n))]!;
    const below = sorted[Math.floor(n / 2 - 1.5 * Math.sqrt(n))]!;
    return above >= 0.001 && below <= 1 ? null : fail(`the median headroom of ${n} cases is ${median(sorted)}`, null);
  }
  for (const spec of kit.boundaries) {
    options.onCase?.();
    const wrong = await lawOn(kit, subject, law, spec, m, false);
    if (wrong) return fail(wrong, spec);
  }
  const property = fc.asyncProperty(kit.spec, async (spec) => {
    options.onCase?.();
    const wrong = await lawOn(kit, subject, law, spec, m, true);
    if (wrong) throw new Error(wrong);
  });
  const details = await fc.check(property, {
    numRuns: options.runs,
    seed: options.seed,
    endOnFailure: options.bail === true,
    ...(options.timeMs === undefined ? {} : { interruptAfterTimeLimit: options.timeMs }),
  });
  if (!details.failed || !details.counterexample) return null;
  const [spec] = details.counterexample;
  const error = details.errorInstance;
  return fail(error instanceof Error ? error.message : String(error), spec);
}

/** Holds one subject to the laws of its kit. Never throws for what the subject does: that is a failure in the row. */
export async function checkKernel(kit: AnyKit, subject: AnySubject, options: CheckOptions): Promise<Row> {
  const m = new Measured();
  const failures: Failure[] = [];
  for (const law of lawNames(kit, subject)) {
    if (options.laws && !options.laws.includes(law)) continue;
    const failure = await checkLaw(kit, subject, law, m, options);
    if (failure) failures.push(failure);
    if (failure && options.bail) break;
  }
  return {
    op: kit.name,
    backend: subject.backend,
    variant: subject.variant,
    arithmetic: subject.arithmetic,
    cases: m.cases,
    worst: m.worst,
    worstError: m.worstError,
    worstUlp: m.worstUlp,
    medianHeadroom: m.headrooms.length ? median(m.headrooms.toSorted((a, b) => a - b)) : null,
    failures,
    points: m.points,
  };
}

const badLine = (got: string): GureumError =>
  new GureumError("usage", {
    where: "--replay",
    what: "line",
    expected: 'one that a failure printed: ["op","backend/variant","law",{…}]',
    got,
  });

/** The parts of a replay line. @throws GureumError "usage" */
export function parseReplay(line: string): [op: string, subject: string, law: string, spec: unknown] {
  let parts: unknown;
  try {
    parts = JSON.parse(line);
  } catch {
    throw badLine(line.slice(0, 80));
  }
  const isLine = Array.isArray(parts) && parts.length === 4 && parts.slice(0, 3).every((part) => typeof part === "string");
  if (!isLine || (parts as unknown[])[3] === null || typeof (parts as unknown[])[3] !== "object") throw badLine(line.slice(0, 80));
  return parts as [string, string, string, unknown];
}

/**
 * Runs the case of a replay line alone.
 * @throws GureumError "usage" for a line that is none, or names what is not there
 */
export async function replay(
  line: string,
  kits: Readonly<Record<string, AnyKit>>,
  subjects: readonly AnySubject[],
): Promise<Failure | null> {
  const [op, name, law, spec] = parseReplay(line);
  const kit = Object.hasOwn(kits, op) ? kits[op] : undefined;
  const subject = subjects.find((s) => s.op === op && subjectName(s) === name);
  if (!kit || !subject) throw badLine(`${op} on ${name}, which is not here`);
  if (!lawNames(kit, subject).includes(law)) throw badLine(`law ${JSON.stringify(law)}, which ${op} does not have`);
  try {
    kit.length(kit.make(spec));
  } catch (cause) {
    throw badLine(`a case that ${op} does not have (${cause instanceof Error ? cause.message : cause})`);
  }
  const message = await lawOn(kit, subject, law, spec, new Measured(), false);
  return message === null ? null : { law, message, replay: line };
}
