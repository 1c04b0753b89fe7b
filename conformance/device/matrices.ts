/**
 * Subgroup matrices of 16 rows and 16 columns in plain WGSL. Of the sums invocation l of a subgroup has rows 2 ⌊l / 4⌋ and the next,
 * columns 4 (l mod 4) and three more. An operand is where it lies, and is read where it is multiplied: it must lie there until then.
 */
import { each } from "../../gpu/wgsl/repeat.ts";

type Component = "f16" | "i8" | "f32" | "i32";
export type Side = "left" | "right" | "result";
export interface Matrix {
  readonly name: string;
  readonly side: Side;
  readonly component: Component;
}
/** A variable at module scope, array<type>, as a kernel loads matrices from it. */
export interface Source {
  readonly variable: string;
  readonly type: string;
  readonly major: string;
}

/** A matrix in an invocation: of an operand its place, its stride, and which source; of a result two rows of four columns. */
export const typeOf = ({ side, component }: Matrix): string => (side === "result" ? `array<vec4<${component}>, 2>` : "vec3<u32>");

/** The first row and column of an invocation's sums. */
const [ROW, COLUMN] = ["emulated_lane / 4u * 2u", "emulated_lane % 4u * 4u"];

/** The lines `alias NAME = subgroup_matrix_SIDE<T, columns, rows>;`. */
export function matricesOf(code: string): Matrix[] {
  const found = code.matchAll(/^alias (\w+) = subgroup_matrix_(left|right|result)<(\w+), \d+, \d+>;$/gm);
  return [...found].map(([, name, side, component]) => ({ name: name!, side: side as Side, component: component as Component }));
}

/**
 * Word `word` of row `line` of a left matrix or column `line` of a right one: two elements of f16, four of i8.
 * @throws Error for a layout that no kernel has
 */
function wordOf({ side, component }: Matrix, { variable, type, major }: Source): string {
  const inWord = component === "f16" ? 2 : 4;
  if (type === component && component === "f16") {
    if (side !== "left" || major !== "row_major") throw new Error(`${variable}: only rows of the left matrix are read from array<f16>`);
    return `bitcast<u32>(vec2<f16>(${variable}[m.x + line * m.y + 2u * word], ${variable}[m.x + line * m.y + 2u * word + 1u]))`;
  }
  if (type !== "vec4<u32>") throw new Error(`${variable}: ${component} is not read from array<${type}>`);
  // Lines whole in memory.
  if ((side === "left") === (major === "row_major")) return `${variable}[m.x + line * m.y + word / 4u][word % 4u]`;
  // A column whose elements lie a stride apart.
  const bits = 32 / inWord;
  const part = (i: number): string =>
    `(extractBits(${variable}[m.x + (${inWord}u * word + ${i}u) * m.y + line / ${4 * inWord}u][line / ${inWord}u % 4u], line % ${inWord}u * ${bits}u, ${bits}u) << ${bits * i}u)`;
  return each(inWord, part, " | ");
}

/** The function that reads an operand's words, from each of its sources. */
export function reading(called: string, matrix: Matrix, sources: readonly Source[]): string {
  const cases = sources.map((source, i) => `${i === sources.length - 1 ? "default" : `case ${i}u`}: { return ${wordOf(matrix, source)}; }`);
  return `fn ${called}(m: ${matrix.name}, line: u32, word: u32) -> u32 { switch m.z { ${cases.join(" ")} } }`;
}

/** Products of two words' elements, and their sum. */
const DOTS: Readonly<Record<string, string>> = {
  f16: "fn emulated_dot(a: u32, b: u32) -> f32 { return dot(unpack2x16float(a), unpack2x16float(b)); }",
  i8: "fn emulated_dot(a: u32, b: u32) -> i32 { return dot4I8Packed(a, b); }",
};

/** left · right + c, a word of the rows and columns at a time, in a loop that compilers leave one since its end is no constant. */
export function multiplying(called: string, left: Matrix, right: Matrix, sum: Matrix): string {
  const row = (i: number): string => `s[${i}] += vec4<${sum.component}>(${each(4, (j) => `emulated_dot(a${i}, b${j})`, ", ")});`;
  return `${DOTS[left.component]}
fn ${called}(a: ${left.name}, b: ${right.name}, c: ${sum.name}) -> ${sum.name} {
  var s = c;
  for (var word = 0u; word < 8u + emulated_nothing; word++) {
    ${each(2, (i) => `let a${i} = emulated_left(a, ${ROW} + ${i}u, word);`)}
    ${each(4, (j) => `let b${j} = emulated_right(b, ${COLUMN} + ${j}u, word);`)}
    ${each(2, row)}
  }
  return s;
}`;
}

/** Where an invocation's sums of a row lie: a vec4, or four elements. */
const sumsAt = ({ type, major, variable }: Source, i: number): string => {
  if (major !== "row_major") throw new Error(`${variable}: sums lie in rows`);
  return `at + (${ROW} + ${i}u) * stride + ${type.startsWith("vec4") ? "emulated_lane % 4u" : COLUMN}`;
};

export function loading(called: string, { name, component }: Matrix, source: Source): string {
  const { variable, type } = source;
  const row = (i: number): string =>
    type === component
      ? `vec4<${component}>(${each(4, (j) => `${variable}[${sumsAt(source, i)} + ${j}u]`, ", ")})`
      : `bitcast<vec4<${component}>>(${variable}[${sumsAt(source, i)}])`;
  return `fn ${called}(at: u32, stride: u32) -> ${name} { return ${name}(${each(2, row, ", ")}); }`;
}

export function storing(called: string, { name, component }: Matrix, source: Source): string {
  const { variable, type } = source;
  const row = (i: number): string =>
    type === component
      ? each(4, (j) => `${variable}[${sumsAt(source, i)} + ${j}u] = m[${i}][${j}];`)
      : `${variable}[${sumsAt(source, i)}] = bitcast<${type}>(m[${i}]);`;
  return `fn ${called}(at: u32, m: ${name}, stride: u32) { ${each(2, row)} }`;
}
