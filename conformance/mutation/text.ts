/** Mutants as changes of a kernel's text: where they may be made, what they are called, how each is told from the others. */
import type { Kernel } from "../../gpu/pipeline/kernel.ts";

/**
 * edits: one thing changed at every size (edits.ts). from n on: a fault that acts only from a size, a position, a
 * head or a group on (from-on.ts). published: faults that others defined (published.ts).
 */
export const families = ["edits", "from n on", "published"] as const;
export type Family = (typeof families)[number];

/** One fault. */
export interface Mutant {
  readonly kernel: string;
  readonly family: Family;
  /** Which kind of fault. */
  readonly operator: string;
  readonly line: number;
  readonly before: string;
  readonly after: string;
  /** How many mutants of the kernel before it change an equal line in the same way. */
  readonly nth: number;
  readonly wgsl: string;
}

/** A change of text: `after` for `length` characters from `at` on. */
export interface Place {
  readonly operator: string;
  readonly at: number;
  readonly length: number;
  readonly after: string;
}

/** Comments blanked out, each character in its place. */
export const withoutComments = (wgsl: string): string => wgsl.replace(/\/\/.*$/gm, (comment) => " ".repeat(comment.length));

type Range = [from: number, to: number];

const ranges = (code: string, pattern: RegExp): Range[] => [...code.matchAll(pattern)].map((m) => [m.index, m.index + m[0].length]);

export const loopHeaders = (code: string): Range[] => ranges(code, /\bfor \((?:[^(){}]|\([^(){}]*\))*\)/g);

/** Functions that `main` never comes to: they compute nothing. */
function uncalled(code: string): Range[] {
  const functions = [...code.matchAll(/\bfn (\w+)\(/g)].map((m, i, all) => ({
    name: m[1]!,
    range: [m.index, all[i + 1]?.index ?? code.length] as Range,
  }));
  const called = new Set(["main"]);
  // The set grows while it is walked.
  for (const name of called) {
    const text = functions.filter((f) => f.name === name).map((f) => code.slice(...f.range));
    for (const other of functions) if (text.some((body) => new RegExp(`\\b${other.name}\\(`).test(body))) called.add(other.name);
  }
  return functions.filter(({ name }) => !called.has(name)).map(({ range }) => range);
}

/** Bindings, structs, attributes, sizes and types: the contract with the host, not the computation; and what is never called. */
export const fixedText = (code: string): Range[] => [
  ...uncalled(code),
  ...ranges(code, /^(?:@group|struct|const|override|var<|enable|diagnostic|alias)[^\n]*$/gm),
  ...ranges(code, /@\w+\([^)]*\)/g),
  ...ranges(code, /<[^<>;\n]*\w>/g),
];

/**
 * The name under which a survivor's proof is kept: the kernel and the changed line, so that edits elsewhere do not lose
 * it.
 */
export const mutantName = (m: Omit<Mutant, "nth">): string => `${m.kernel}: ${m.before} → ${m.after}`;

/** The mutants that changes of a kernel's text are, in the order of the text; one for changes that come to the same. */
export function placed(kernel: Kernel, family: Family, places: readonly Place[]): Mutant[] {
  const found = new Map<string, { at: number; mutant: Omit<Mutant, "nth"> }>();
  for (const { operator, at, length, after } of places) {
    const wgsl = kernel.wgsl.slice(0, at) + after + kernel.wgsl.slice(at + length);
    if (wgsl === kernel.wgsl || found.has(wgsl)) continue;
    const begin = kernel.wgsl.lastIndexOf("\n", at) + 1;
    /** The lines that change. */
    const linesOf = (text: string, end: number): string => {
      const stop = text.indexOf("\n", end);
      const lines = text.slice(begin, stop < 0 ? undefined : stop);
      return lines.replace(/\s*\n\s*/g, " ").trim();
    };
    const line = kernel.wgsl.slice(0, at).split("\n").length;
    const [before, now] = [linesOf(kernel.wgsl, at + length), linesOf(wgsl, at + after.length)];
    found.set(wgsl, { at, mutant: { kernel: kernel.name, family, operator, line, before, after: now, wgsl } });
  }
  const seen = new Map<string, number>();
  return [...found.values()]
    .sort((a, b) => a.at - b.at)
    .map(({ mutant }) => {
      const nth = seen.get(mutantName(mutant)) ?? 0;
      seen.set(mutantName(mutant), nth + 1);
      return { ...mutant, nth };
    });
}
