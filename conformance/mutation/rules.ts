/**
 * Mutants that compute the same as their kernel, by rule. "The same": every output within what the order of summation
 * may change, for every input of the op. Where an index leaves an array of the workgroup, Dawn and wgpu clamp it to the
 * last element; memory of a workgroup starts as zero. The rules of a kernel, with their proofs, are in proofs/ under
 * its name.
 */
import { modulesIn } from "../host/tree.ts";

export interface Rule {
  /** A part of the line, and what stands there instead. */
  readonly from: string;
  readonly to: readonly string[];
  /** Only lines that hold this. */
  readonly on?: string;
  /** `from` is the whole line. */
  readonly whole?: true;
  /** Of equal lines only these, counted from 0. */
  readonly nth?: readonly number[];
  readonly proof: string;
}

/** What of a mutant a rule looks at. */
export interface ChangedLine {
  readonly before: string;
  readonly after: string;
  /** How many mutants of the kernel before it change an equal line in the same way. */
  readonly nth: number;
}

/** Whether a changed line is what a rule describes. */
export const matches = ({ from, to, on, whole, nth }: Rule, { before, after, nth: which }: ChangedLine): boolean =>
  (nth === undefined || nth.includes(which)) &&
  (whole ? before === from : before.includes(on ?? from)) &&
  before.split(from).some((_, i, parts) => {
    const [head, tail] = [parts.slice(0, i + 1).join(from), parts.slice(i + 1).join(from)];
    return i + 1 < parts.length && to.some((other) => head + other + tail === after);
  });

/** The rules of each kernel that has some, found in proofs/. */
export async function allRules(): Promise<ReadonlyMap<string, readonly Rule[]>> {
  const found = new Map<string, readonly Rule[]>();
  for (const [name, module] of await modulesIn(new URL("proofs/", import.meta.url))) found.set(name, module.rules as readonly Rule[]);
  return found;
}

/** The proof that a mutant computes the same as its kernel, if there is one among the kernel's rules. */
export const proofOf = (rules: readonly Rule[] | undefined, line: ChangedLine): string | undefined =>
  rules?.find((rule) => matches(rule, line))?.proof;
