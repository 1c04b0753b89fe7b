/**
 * Holds a subject to the laws of a kit: boundary cases first, then cases drawn with a fixed seed; a violation is shrunk
 * and gets a line that replays it. vitest and `gureum conformance` both come through here. What was not tested is
 * counted, and no case is a failure.
 */
import { checkOptionsObject } from "../core/arguments.ts";
import { GureumError } from "../core/errors.ts";
import { BOUND_LAW, lawNames, Measured } from "./check/case.ts";
import { checkLaw, type LawOptions, median } from "./check/law.ts";
import type { Failure, Row } from "./check/row.ts";
import { type Kit, type Subject, subjectArithmetics } from "./kit.ts";
import { laws } from "./laws.ts";

export { BOUND_LAW, lawNames, subjectName } from "./check/case.ts";
export { parseReplay, replay, replayCommand } from "./check/replay.ts";
export type { Failure, LeftOut, Point, Row } from "./check/row.ts";

/** How long and by which laws. */
export interface CheckOptions extends Omit<LawOptions, "deadline"> {
  /** Time for all laws together, milliseconds: boundary cases and random ones. A case that runs then is waited for. */
  readonly timeMs?: number;
  /** Only these laws. */
  readonly laws?: readonly string[];
}

const usage = (where: string, what: string, expected: string, got: unknown): GureumError =>
  new GureumError("usage", { where, what, expected, got: typeof got === "string" ? JSON.stringify(got) : String(got) });

/** @throws GureumError "usage" for what would test nothing, or something else than was meant */
function checkArguments<S, C>(kit: Kit<S, C>, subject: Subject<C>, options: CheckOptions): void {
  if (typeof kit?.name !== "string" || typeof kit.make !== "function")
    throw usage("checkKernel", "no kit", `laws["…"] of one of ${Object.keys(laws).join(", ")}`, kit);
  const { name } = kit;
  if (typeof subject?.run !== "function") throw usage(name, "no subject", "{ op, backend, variant, arithmetic, run }", subject);
  if (subject.op !== name) throw usage(name, "the subject's op", JSON.stringify(name), subject.op);
  for (const part of ["backend", "variant"] as const)
    if (typeof subject[part] !== "string") throw usage(name, `the subject's ${part}`, "a name", subject[part]);
  if (!subjectArithmetics.includes(subject.arithmetic))
    throw usage(name, "the subject's arithmetic", `one of ${subjectArithmetics.join(", ")}`, subject.arithmetic);
  checkOptionsObject(name, options ?? null);
  const { runs, seed, timeMs } = options;
  if (!(Number.isInteger(runs) && runs >= 0)) throw usage(name, "runs", "a whole number from 0 on", runs);
  if (!Number.isInteger(seed)) throw usage(name, "seed", "a whole number", seed);
  if (timeMs !== undefined && !(timeMs > 0)) throw usage(name, "timeMs", "milliseconds above 0", timeMs);
  const known = lawNames(kit, subject);
  if (options.laws?.length === 0) throw usage(name, "laws", `one or more of ${known.join("; ")}`, "none");
  for (const law of options.laws ?? []) if (!known.includes(law)) throw usage(name, "no such law of this subject", known.join("; "), law);
}

/**
 * Holds one subject to the laws of its kit. What the subject does is a failure in the row; only with its device the check ends.
 * @throws GureumError "usage" where kit, subject and options do not fit together; "device-lost", whose place is the line that replays the case
 */
export async function checkKernel<S, C>(kit: Kit<S, C>, subject: Subject<C>, options: CheckOptions): Promise<Row> {
  checkArguments(kit, subject, options);
  const m = new Measured();
  const failures: Failure[] = [];
  const unjudged: string[] = [];
  let boundaries = 0;
  const { timeMs, laws: only, ...lawOptions } = options;
  const wanted = lawNames(kit, subject).filter((law) => !only || only.includes(law));
  const end = timeMs === undefined ? undefined : performance.now() + timeMs;
  for (const [i, law] of wanted.entries()) {
    const now = performance.now();
    if (end !== undefined && now >= end && i > 0) {
      unjudged.push(law);
      continue;
    }
    // What is left is shared out evenly over the laws that are left; the bound gets half of it where it has cases of real sizes.
    const others = law === BOUND_LAW && kit.reach ? Math.min(2, wanted.length) : wanted.length - i;
    const share = end === undefined ? {} : { deadline: now + Math.max(0, end - now) / others };
    const { failure, left, judged } = await checkLaw(kit, subject, law, m, { ...lawOptions, ...share });
    boundaries += left;
    if (failure) failures.push(failure);
    else if (!judged) unjudged.push(law);
    if (failure && options.bail) break;
  }
  return {
    op: kit.name,
    backend: subject.backend,
    variant: subject.variant,
    arithmetic: subject.arithmetic,
    cases: m.cases,
    refused: m.refused,
    ...(boundaries > 0 || unjudged.length > 0 ? { leftOut: { boundaries, laws: unjudged } } : {}),
    worst: m.worst,
    worstError: m.worstError,
    worstUlp: m.worstUlp,
    medianHeadroom: m.headrooms.length ? median(m.headrooms.toSorted((a, b) => a - b)) : null,
    failures,
    points: m.points,
  };
}
