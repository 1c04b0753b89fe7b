/** One case under one law. */
import { GureumError, within } from "../../core/errors.ts";
import type { Expected } from "../accuracy.ts";
import { compare, describeWorst, makeOutput, sameBits, strayWrite, type Worst } from "../compare.ts";
import type { AnyKit, AnySubject, Bench } from "../kit.ts";
import { NotTaken } from "./not-taken.ts";
import type { Point } from "./row.ts";

/** A law of a kit by name: its own, or one of those that all kits have. */
export const BOUND_LAW = "stays within its bound, writes every output and nothing else, leaves its inputs alone";
export const REFUSAL_LAW = "refuses bad input by its code and takes the good one";
export const ORDER_LAW = "gives the same bits again, whichever invocation does which share";
export const BITS_LAW = "gives the bits of the reference, the signs of zeros included";
export const HEADROOM_LAW = "has a tight bound: the median headroom lies between 0.001 and 1";

export const subjectName = (s: AnySubject): string => `${s.backend}/${s.variant}`;

/** The names of the laws a subject is held to. */
export function lawNames(kit: AnyKit, subject: AnySubject): string[] {
  return [
    BOUND_LAW,
    ...kit.laws.map((law) => law.name),
    ...(subject.rerun ? [ORDER_LAW] : []),
    ...(subject.sameBits && kit.reference ? [BITS_LAW] : []),
    ...(subject.refuses && kit.refusals.length ? [REFUSAL_LAW] : []),
    ...(kit.dotLike && subject.arithmetic !== "f64" ? [HEADROOM_LAW] : []),
  ];
}

export const replayLine = (kit: AnyKit, subject: AnySubject, law: string, spec: unknown): string =>
  JSON.stringify([kit.name, subjectName(subject), law, spec]);

/** Sums over the cases of a subject. */
export class Measured {
  cases = 0;
  refused = 0;
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
      // Words where they lie on borders of words, bytes elsewhere.
      const words = value.byteOffset % 4 === 0 ? new Uint32Array(value.buffer, value.byteOffset, value.byteLength >> 2) : [];
      for (let i = 0; i < words.length; i++) hash = (Math.imul(hash, 31) + words[i]!) | 0;
      const bytes = new Uint8Array(value.buffer, value.byteOffset, value.byteLength);
      for (let i = 4 * words.length; i < bytes.length; i++) hash = (Math.imul(hash, 31) + bytes[i]!) | 0;
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
  if (random && worst.bound > 0) m.headrooms.push(worst.headroom);
  // A violation is always among the points.
  if (worst.bound > 0 && (m.points.length < 200 || worst.headroom > 1)) {
    if (m.points.length >= 200) m.points.pop();
    m.points.push({ error: worst.error, bound: worst.bound });
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

async function checkBits(kit: AnyKit, subject: AnySubject, c: unknown): Promise<string | null> {
  const expected = makeOutput(kit.length(c));
  await kit.reference!.run(c, expected);
  const out = await runOnce(kit, subject, c);
  const i = out.findIndex((y, at) => !Object.is(y, expected[at]));
  return i < 0 ? null : `element ${i}: the reference gives ${expected[i]}, this ${out[i]}`;
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

/** Whether an error is the end of the device rather than something that a subject did to its case. */
export const isLost = (error: unknown): boolean => error instanceof GureumError && error.code === "device-lost";

/**
 * What a law says of one case: null, or what is wrong. Anything thrown is wrong too, but for the end of the device: nothing that comes after it can be judged.
 * @throws GureumError "device-lost", with the line that replays the case
 */
export async function lawOn(
  kit: AnyKit,
  subject: AnySubject,
  law: string,
  spec: unknown,
  m: Measured,
  random: boolean,
): Promise<string | null> {
  const drawn = kit.make(spec);
  try {
    const c = subject.adapt ? subject.adapt(drawn) : drawn;
    if (subject.accepts && !subject.accepts(c)) {
      m.refused++;
      return null;
    }
    m.cases++;
    if (law === BOUND_LAW || law === HEADROOM_LAW) return await checkBound(kit, subject, c, m, random);
    if (law === ORDER_LAW) return await checkOrder(kit, subject, c);
    if (law === BITS_LAW) return await checkBits(kit, subject, c);
    if (law === REFUSAL_LAW) return await checkRefusals(kit, subject, c);
    const bench: Bench<unknown> = {
      run: (other) => runOnce(kit, subject, other),
      expected: (other): Expected => kit.expected(other, subject.arithmetic),
    };
    const found = kit.laws.find(({ name }) => name === law);
    if (!found) throw new GureumError("usage", { where: kit.name, what: "no such law", got: law });
    return await found.check(c, bench);
  } catch (error) {
    if (error instanceof NotTaken) {
      m.cases--;
      m.refused++;
      return null;
    }
    if (isLost(error))
      within(replayLine(kit, subject, law, spec), () => {
        throw error;
      });
    return `threw ${error instanceof Error ? `${error.name}: ${error.message}` : error}`;
  }
}
