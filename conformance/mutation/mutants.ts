/**
 * The suite's own test: faults are planted in the WGSL of each kernel, one at a time, and its laws must notice
 * (trial.ts). A mutant that does not compile does not count. Loops keep ending: their headers are changed only in ways
 * that do.
 */
import type { Kernel } from "../../gpu/pipeline/kernel.ts";

/** One fault. */
export interface Mutant {
  readonly kernel: string;
  /** Which kind of fault. */
  readonly operator: string;
  readonly line: number;
  readonly before: string;
  readonly after: string;
  /** How many mutants of the kernel before it change an equal line in the same way. */
  readonly nth: number;
  readonly wgsl: string;
}

/** A kind of fault: what it matches, and what stands there instead. */
interface Operator {
  readonly name: string;
  readonly match: RegExp;
  readonly to: string | ((...groups: string[]) => string);
  /** Where it applies: everywhere but in loop headers (the default), or only there. */
  readonly in?: "header";
}

const operators: readonly Operator[] = [
  { name: "adds for subtracts", match: / - /g, to: " + " },
  { name: "subtracts for adds", match: / \+ /g, to: " - " },
  { name: "accumulates with the wrong sign", match: / \+= /g, to: " -= " },
  { name: "overwrites for accumulates", match: / \+= /g, to: " = " },
  { name: "adds for multiplies", match: / \* /g, to: " + " },
  { name: "multiplies for divides", match: / \/ /g, to: " * " },
  { name: "divides for takes the remainder", match: / % /g, to: " / " },
  { name: "loses the scale of a running sum", match: / \*= ([^;]+);/g, to: " *= 1.0;" },
  { name: "off-by-one bound", match: / < /g, to: " <= " },
  { name: "off-by-one bound", match: / <= /g, to: " < " },
  { name: "off-by-one bound", match: / >= /g, to: " > " },
  { name: "off-by-one bound", match: / > /g, to: " >= " },
  { name: "or for and", match: / && /g, to: " || " },
  { name: "takes a branch always", match: /\bif \(((?:[^(){}]|\([^(){}]*\))+)\)/g, to: "if (true)" },
  { name: "takes a branch never", match: /\bif \(((?:[^(){}]|\([^(){}]*\))+)\)/g, to: "if (false)" },
  { name: "drops a barrier", match: /\b(?:workgroup|storage)Barrier\(\);/g, to: "" },
  { name: "min for max", match: /\bmax\(/g, to: "min(" },
  { name: "max for min", match: /\bmin\(/g, to: "max(" },
  { name: "wrong base of the exponential", match: /\bexp\(/g, to: "exp2(" },
  { name: "root for its inverse", match: /\binverseSqrt\(/g, to: "sqrt(" },
  { name: "loses a magnitude", match: /\babs\(/g, to: "(" },
  { name: "swaps the choices of select", match: /\bselect\(([^,()]+), ([^,()]+), /g, to: (_all, a, b) => `select(${b}, ${a}, ` },
  { name: "swaps halves", match: /\.x\b/g, to: ".y" },
  { name: "swaps halves", match: /\.y\b/g, to: ".x" },
  { name: "swaps nibble halves", match: /\blow\((?!word: )/g, to: "high(" },
  { name: "swaps nibble halves", match: /\bhigh\((?!word: )/g, to: "low(" },
  {
    name: "wrong nibble order",
    match: /vec4\((\d+)u, (\d+)u, (\d+)u, (\d+)u\)/g,
    to: (_all, a, b, c, d) => `vec4(${a}u, ${c}u, ${b}u, ${d}u)`,
  },
  { name: "wrong mask", match: /\b15u\b/g, to: "7u" },
  { name: "wrong constant", match: /(?<![\w.])([1-9]\d*)u\b/g, to: (_all, n) => `${Number(n) + 1}u` },
  { name: "wrong constant", match: /(?<![\w.])0u\b/g, to: "1u" },
  { name: "wrong constant", match: /(?<![\w.])0\.0\b/g, to: "1.0" },
  { name: "wrong constant", match: /(?<![\w.])1\.0\b/g, to: "2.0" },
  {
    name: "accumulates in f16",
    match: /(\w+(?:\[[^;=]*?\])*) \+= ([^;\n]+);/g,
    to: (_all, sum, term) => `${sum} = quantizeToF16(${sum} + (${term}));`,
  },
  { name: "forgets an operand", match: / \* [\w.]+(?=[;, )])/g, to: "" },
  { name: "forgets an operand", match: / [+-] [\w.]+(?=[;, )\]])/g, to: "" },
  { name: "reads a stale position", match: /step\.start \+ /g, to: "" },
  { name: "loops once too often", match: / < /g, to: " <= ", in: "header" },
  { name: "loops once too seldom", match: / <= /g, to: " < ", in: "header" },
  { name: "loops once too seldom", match: /; (\w+) < ([^;]+);/g, to: (_all, i, end) => `; ${i} + 1u < ${end};`, in: "header" },
  { name: "starts a loop late", match: /= 0u;/g, to: "= 1u;", in: "header" },
  { name: "wrong reduction width", match: / \/ 2u;/g, to: " / 4u;", in: "header" },
  { name: "skips half of a reduction", match: / \/= 2u/g, to: " /= 4u", in: "header" },
  { name: "steps too far", match: /\+\+(?=$|\))/g, to: " += 2u", in: "header" },
  { name: "steps too far", match: / \+= ([^;)]+)(?=$|\))/g, to: (_all, step) => ` += 2u * (${step})`, in: "header" },
];

/** Ranges of text that are loop headers, declarations and attributes, and comments blanked out. */
function layout(wgsl: string): { code: string; headers: [number, number][]; fixed: [number, number][] } {
  const code = wgsl.replace(/\/\/.*$/gm, (comment) => " ".repeat(comment.length));
  const ranges = (pattern: RegExp): [number, number][] => [...code.matchAll(pattern)].map((m) => [m.index, m.index + m[0].length]);
  return {
    code,
    headers: ranges(/\bfor \((?:[^(){}]|\([^(){}]*\))*\)/g),
    // Bindings, structs, attributes, sizes and types are the contract with the host, not the computation.
    fixed: [
      ...ranges(/^(?:@group|struct|const|override|var<|enable|diagnostic|alias)[^\n]*$/gm),
      ...ranges(/@\w+\([^)]*\)/g),
      ...ranges(/<[^<>;\n]*\w>/g),
    ],
  };
}

/** Whether a zero written out takes part: x ± 0, 0 · x and 0 % x are what they are in the faulty form as well. */
const isNeutral = (code: string, at: number, name: string): boolean =>
  /^ [+-] 0u\b/.test(code.slice(at)) ||
  (/[ (]0u$/.test(code.slice(0, at)) && (name === "forgets an operand" || name === "divides for takes the remainder"));

/** Every mutant of a kernel, in the order of its text. */
export function mutantsOf(kernel: Kernel): Mutant[] {
  const { code, headers, fixed } = layout(kernel.wgsl);
  const inside = (ranges: readonly [number, number][], at: number): boolean => ranges.some(([from, to]) => at >= from && at < to);
  const found = new Map<string, { at: number; mutant: Omit<Mutant, "nth"> }>();
  for (const { name, match, to, in: where } of operators) {
    for (const m of code.matchAll(match)) {
      const at = m.index;
      if (inside(fixed, at) || inside(headers, at) !== (where === "header") || isNeutral(code, at, name)) continue;
      const after = typeof to === "string" ? to : to(...(m as unknown as string[]));
      const wgsl = kernel.wgsl.slice(0, at) + after + kernel.wgsl.slice(at + m[0].length);
      const begin = kernel.wgsl.lastIndexOf("\n", at) + 1;
      const lineOf = (text: string): string =>
        text.slice(begin, text.indexOf("\n", begin) < 0 ? undefined : text.indexOf("\n", begin)).trim();
      if (wgsl === kernel.wgsl || found.has(wgsl)) continue;
      const line = kernel.wgsl.slice(0, at).split("\n").length;
      found.set(wgsl, {
        at,
        mutant: { kernel: kernel.name, operator: name, line, before: lineOf(kernel.wgsl), after: lineOf(wgsl), wgsl },
      });
    }
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

/**
 * The name under which a survivor's proof is kept: the kernel and the changed line, so that edits elsewhere do not lose
 * it.
 */
export const mutantName = (m: Omit<Mutant, "nth">): string => `${m.kernel}: ${m.before} → ${m.after}`;
