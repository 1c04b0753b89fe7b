/**
 * The suite's own test: faults are planted in the WGSL of each kernel, one at a time, and its laws must notice
 * (trial.ts). Here the edits that act at every size. A mutant that does not compile does not count. Loops keep ending:
 * their headers are changed only in ways that do.
 */
import type { Kernel } from "../../gpu/pipeline/kernel.ts";
import { fixedText, loopHeaders, type Mutant, type Place, placed, withoutComments } from "./text.ts";

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

/** Whether a zero written out takes part: x ± 0, 0 · x and 0 % x are what they are in the faulty form as well. */
const isNeutral = (code: string, at: number, name: string): boolean =>
  /^ [+-] 0u\b/.test(code.slice(at)) ||
  (/[ (]0u$/.test(code.slice(0, at)) && (name === "forgets an operand" || name === "divides for takes the remainder"));

/** Every edit of a kernel, in the order of its text. */
export function editsOf(kernel: Kernel): Mutant[] {
  const code = withoutComments(kernel.wgsl);
  const [headers, fixed] = [loopHeaders(code), fixedText(code)];
  const inside = (ranges: readonly [number, number][], at: number): boolean => ranges.some(([from, to]) => at >= from && at < to);
  const places: Place[] = [];
  for (const { name, match, to, in: where } of operators)
    for (const m of code.matchAll(match)) {
      const at = m.index;
      if (inside(fixed, at) || inside(headers, at) !== (where === "header") || isNeutral(code, at, name)) continue;
      places.push({ operator: name, at, length: m[0].length, after: typeof to === "string" ? to : to(...(m as unknown as string[])) });
    }
  return placed(kernel, "edits", places);
}
