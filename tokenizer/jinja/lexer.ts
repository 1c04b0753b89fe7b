/**
 * A template's text to the tokens that @huggingface/jinja parses, in linear time and with lines: the package's own lexer knows no
 * lines, no `raw`, no `+%}`, reads strings and numbers by JavaScript's rules, and is quadratic in runs of blanks.
 * What the package's grammar lacks becomes what it has: `x is test(y)` a filter, `with`, `block` and `generation` a call block.
 * Source: jinja2 `lexer.py` with trim_blocks and lstrip_blocks; `parser.py` for tests and tuples.
 */
import { isPythonSpace, trimUnits } from "../unicode.ts";
import { fail, refuse } from "./errors.ts";

export interface Token {
  type: string;
  value: string;
  readonly line: number;
  /** The bracket that the token stands in: `1 < 2 < 3` is a chain, `(1 < 2) < 3` is not. */
  group?: number;
}

/** Names that no template can spell: what is written for the parser alone. */
export const tupleEnd = "(end)";
export const scopeName = "(scope)";

const operators: Readonly<Record<string, string>> = {
  "(": "OpenParen",
  ")": "CloseParen",
  "[": "OpenSquareBracket",
  "]": "CloseSquareBracket",
  "{": "OpenCurlyBracket",
  "}": "CloseCurlyBracket",
  ",": "Comma",
  ".": "Dot",
  ":": "Colon",
  "|": "Pipe",
  "=": "Equals",
  "**": "ExponentiationBinaryOperator",
};
const typeOf = (text: string): string =>
  operators[text] ??
  (/^[+~-]$/.test(text) ? "AdditiveBinaryOperator" : /^[*/%]/.test(text) ? "MultiplicativeBinaryOperator" : "ComparisonBinaryOperator");

const closers: Readonly<Record<string, string>> = { "(": ")", "[": "]", "{": "}" };
const word = /[\p{ID_Start}_]\p{ID_Continue}*/uy;
const number =
  /0[xX](?:_?[\da-fA-F])+|0[oO](?:_?[0-7])+|0[bB](?:_?[01])+|\d(?:_?\d)*(?:\.\d(?:_?\d)*)?[eE][+-]?\d(?:_?\d)*|\d(?:_?\d)*\.\d(?:_?\d)*|\d(?:_?\d)*/y;
const string = /'(?:[^'\\]|\\[\s\S])*'|"(?:[^"\\]|\\[\s\S])*"/y;
const operator = /\*\*|\/\/|[!=<>]=|[-+*/%~<>=.:|,()[\]{}]/y;
const escapes = /\\(?:\n|[\\'"abfnrtv]|[0-7]{1,3}|x[\da-fA-F]{2}|u[\da-fA-F]{4}|U[\da-fA-F]{8}|[xuUN])/g;
const escaped: Readonly<Record<string, string>> = { a: "\x07", b: "\b", f: "\f", n: "\n", r: "\r", t: "\t", v: "\v", "\n": "" };

/** Python's escapes; one that it does not know stays as it is. */
const unescaped = (text: string): string =>
  text.replace(escapes, (all) => {
    const code = all.slice(1);
    if (code === "N") return refuse("\\N{…} in a string");
    if (/^[xuU]$/.test(code)) return fail(`a broken escape \\${code} in a string`);
    if (/^[0-7]/.test(code)) return String.fromCharCode(Number.parseInt(code, 8));
    if (/^[xuU]/.test(code)) return String.fromCodePoint(Number.parseInt(code.slice(1), 16));
    return escaped[code] ?? code;
  });

/** A number as the package's parser tells ints from floats: by the point. */
function numeral(text: string): string {
  const plain = text.replaceAll("_", "");
  if (/^0[xob]/i.test(plain) || !/[.e]/i.test(plain)) {
    if (!Number.isSafeInteger(Number(plain))) return refuse("an integer literal beyond 2^53");
    if (/^0\d*[1-9]/.test(plain) && !/^0[xob]/i.test(plain)) return fail(`a number with leading zeros: ${plain}`);
    return String(Number(plain));
  }
  return plain.includes(".") ? plain : plain.replace(/e/i, ".0e");
}

const keywords = new Set("if elif else and or not in is recursive".split(" "));
const endsOperand = (token: Token): boolean =>
  /Literal$|^Close(Paren|Square|Curly)/.test(token.type) || (token.type === "Identifier" && !keywords.has(token.value));
const startsOperand = (token: Token): boolean =>
  /Literal$|^OpenCurly/.test(token.type) || (token.type === "Identifier" && !keywords.has(token.value));

/** Each bracket's partner, both ways. */
function partners(tokens: readonly Token[]): Map<number, number> {
  const pairs = new Map<number, number>();
  const open: number[] = [];
  for (const [i, { type }] of tokens.entries())
    if (/^Open/.test(type)) open.push(i);
    else if (/^Close/.test(type)) pairs.set(i, open.at(-1)!).set(open.pop()!, i);
  return pairs;
}

/** Where the operand that starts here ends: a literal, a name or brackets, and what is called, indexed or read of it. */
function operandEnd(tokens: readonly Token[], start: number, pairs: ReadonlyMap<number, number>): number {
  let i = pairs.get(start) ?? start;
  do i++;
  while (tokens[i - 1]?.type === "StringLiteral" && tokens[i]?.type === "StringLiteral");
  for (;;) {
    const type = tokens[i]?.type;
    if (type === "Dot") i += 2;
    else if (type === "OpenParen" || type === "OpenSquareBracket") i = pairs.get(i)! + 1;
    else return i;
  }
}

/** Tests with arguments, `not in`, and tuples of one or none, in a tag's tokens. */
function rewriteTag(tokens: readonly Token[]): Token[] {
  const out: Token[] = [];
  const pairs = partners(tokens);
  const isTuple = (open: number): boolean => open === 0 || !endsOperand(tokens[open - 1]!);
  // How many arguments of tests end before a token.
  const ends = new Map<number, number>();
  for (let i = 0; i <= tokens.length; i++) {
    for (let n = ends.get(i) ?? 0; n > 0; n--) out.push({ ...tokens[i - 1]!, type: "CloseParen", value: ")" });
    const token = tokens[i];
    if (token === undefined) break;
    const next = tokens[i + 1];
    const is = (name: string): boolean => token.type === "Identifier" && token.value === name && tokens[i - 1]?.type !== "Dot";
    const make = (type: string, value: string): void => void out.push({ ...token, type, value });
    if (is("not") && next?.value === "in" && next.type === "Identifier") {
      make("ComparisonBinaryOperator", "not in");
      i++;
    } else if (is("is") && i > 0 && endsOperand(tokens[i - 1]!)) {
      const negated = next?.type === "Identifier" && next.value === "not";
      const at = i + (negated ? 2 : 1);
      const name = tokens[at];
      if (name?.type !== "Identifier") return fail("the name of a test is missing after `is`");
      make("Pipe", "|");
      make("Identifier", `${negated ? "is not" : "is"} ${name.value}`);
      i = at;
      const argument = tokens[at + 1];
      if (argument === undefined || argument.type === "OpenParen") continue;
      if (argument.type === "Identifier" && argument.value === "is") return fail("a test of a test needs parentheses");
      const isOperand = /Literal$|^Open(Square|Curly)/.test(argument.type);
      if (!isOperand && !(argument.type === "Identifier" && !keywords.has(argument.value))) continue;
      const end = operandEnd(tokens, at + 1, pairs);
      make("OpenParen", "(");
      ends.set(end, (ends.get(end) ?? 0) + 1);
    } else if (token.type === "OpenParen" && next?.type === "CloseParen" && isTuple(i)) {
      out.push(token);
      for (const type of ["Identifier", "Comma", "Identifier"]) make(type, tupleEnd);
    } else if (token.type === "Comma" && next?.type === "CloseParen" && isTuple(pairs.get(i + 1)!)) {
      out.push(token);
      make("Identifier", tupleEnd);
    } else out.push(token);
  }
  return out;
}

const needLoader = new Set(["extends", "include", "import", "from"]);
const scopes = new Set(["generation", "block", "autoescape"]);

/** Statements that the parser does not have, as such that it has. */
function rewriteStatement(tokens: Token[]): Token[] {
  const [first] = tokens;
  if (first?.type !== "Identifier") return tokens;
  const make = (type: string, value: string): Token => ({ ...first, type, value });
  const scope = [make("Identifier", scopeName), make("OpenParen", "("), make("CloseParen", ")")];
  const { value } = first;
  if (tokens.at(-1)?.type === "Colon") tokens.pop();
  const outer = (name: string): number =>
    tokens.findIndex((one, i) => i > 0 && one.group === first.group && one.value === name && one.type !== "StringLiteral");
  if (value === "for") {
    const isTernary = outer("else") > 0;
    if (isTernary || tokens[1]?.value === "loop")
      return fail(isTernary ? "a choice in {% for %} needs parentheses" : "a loop's variable cannot be called loop");
    const start = outer("in") + 1;
    const end = outer("if") > 0 ? outer("if") : tokens.length;
    if (tokens.slice(start, end).some((one) => one.type === "Comma" && one.group === first.group))
      return [
        ...tokens.slice(0, start),
        make("OpenParen", "("),
        ...tokens.slice(start, end),
        make("CloseParen", ")"),
        ...tokens.slice(end),
      ];
  }
  if (value === "filter" && outer("|") > 0) return refuse("{% filter %} with several filters");
  if (needLoader.has(value)) return refuse(`{% ${value} %}, which needs other templates,`);
  if (value === "print") return refuse("{% print %}");
  if (value === "autoescape" && tokens[1]?.value !== "false") return refuse("{% autoescape true %}");
  if (value === "for" && tokens.at(-1)?.value === "recursive") return refuse("a recursive loop");
  if (value === "block" && tokens[1]?.type !== "Identifier") return fail("{% block %} without a name");
  if (scopes.has(value)) return [make("Identifier", "call"), ...scope];
  if (value === "with") return [make("Identifier", "call"), make("OpenParen", "("), ...tokens.slice(1), make("CloseParen", ")"), ...scope];
  if (/^end(with|generation|block|autoescape)$/.test(value)) return [make("Identifier", "endcall")];
  return tokens;
}

const maxBlocks = 1000;

/** `break` and `continue` belong to the loop around them, not to one beyond a macro; blocks nest so deep that a stack holds them. */
function checkBlocks(around: string[], name: string | undefined): void {
  if (name === "break" || name === "continue") {
    if (around.findLast((one) => /^(for|macro|call|generation)$/.test(one)) !== "for") fail(`'${name}' outside a loop`);
  } else if (/^(if|for|macro|call|generation|filter|with|block)$/.test(name ?? "")) around.push(name!);
  else if (/^end(if|for|macro|call|generation|filter|with|block)$/.test(name ?? "")) around.pop();
  if (around.length > maxBlocks) fail("the template is nested too deeply");
}

/** @throws GureumError "template"; `progress.line` is the line that was read last. */
export function tokenize(text: string, progress: { line: number }): Token[] {
  const source = text.replace(/\r\n?/g, "\n").replace(/\n$/, "");
  const tokens: Token[] = [];
  let at = 0;
  let line = 1;
  let groups = 0;
  let lineStarts = true;
  const around: string[] = [];
  const advance = (to: number): void => {
    for (let i = at; i < to; i++) if (source.charCodeAt(i) === 10) line++;
    at = to;
    progress.line = line;
  };
  const push = (type: string, value: string, group = 0): void => void tokens.push({ type, value, line, group });
  const pushText = (value: string): void => {
    if (value !== "") push("Text", value);
  };
  const match = (pattern: RegExp): string | undefined => {
    pattern.lastIndex = at;
    return pattern.exec(source)?.[0];
  };
  /** Text before a tag, less what the tag's sign and lstrip_blocks take off. */
  const before = (value: string, sign: string, isBlock: boolean): string => {
    if (sign === "-") return trimUnits(value, isPythonSpace, false, true);
    const lineAt = value.lastIndexOf("\n") + 1;
    if (!isBlock || sign === "+" || (lineAt === 0 && !lineStarts)) return value;
    return trimUnits(value.slice(lineAt), isPythonSpace, true, true) === "" ? value.slice(0, lineAt) : value;
  };
  /** Passes the end of a tag, and the blanks that go with it. */
  const closeTag = (sign: string, width: number, trims: boolean): void => {
    let end = at + sign.length + width;
    if (sign === "-") while (end < source.length && isPythonSpace(source.charCodeAt(end))) end++;
    else if (sign === "" && trims && source[end] === "\n") end++;
    lineStarts = source[end - 1] === "\n";
    advance(end);
  };
  const signAt = (i: number): string => (source[i] === "-" || source[i] === "+" ? source[i]! : "");

  const open = /\{[{%#]/g;
  const rawBegin = /\{%[-+]?\s*raw\s*(-?)%\}/y;
  for (;;) {
    open.lastIndex = at;
    const found = open.exec(source);
    if (!found) {
      pushText(source.slice(at));
      return tokens;
    }
    const start = found.index;
    const kind = found[0];
    const sign = signAt(start + 2);
    pushText(before(source.slice(at, start), sign, kind !== "{{"));
    advance(start);
    if (kind === "{#") {
      const end = source.indexOf("#}", at + 2 + sign.length);
      if (end < 0) return fail("a comment does not end");
      const endSign = end > at + 2 + sign.length ? signAt(end - 1) : "";
      advance(end - endSign.length);
      closeTag(endSign, 2, true);
      continue;
    }
    rawBegin.lastIndex = at;
    const raw = rawBegin.exec(source);
    if (raw) {
      advance(at + raw[0].length);
      if (raw[1] === "-") while (isPythonSpace(source.charCodeAt(at))) advance(at + 1);
      lineStarts = source[at - 1] === "\n";
      const endraw = /\{%([-+]?)\s*endraw\s*([-+]?)%\}/g;
      endraw.lastIndex = at;
      const end = endraw.exec(source);
      if (!end) return fail("{% raw %} does not end");
      pushText(before(source.slice(at, end.index), end[1]!, true));
      advance(end.index + end[0].length - 2 - end[2]!.length);
      closeTag(end[2]!, 2, true);
      continue;
    }
    // The line reaches the interpreter as a comment in the statement's body.
    push("Comment", String(line));
    const isBlock = kind === "{%";
    push(isBlock ? "OpenStatement" : "OpenExpression", kind);
    advance(at + 2 + sign.length);
    const tag: Token[] = [];
    let end: Token;
    const brackets: { text: string; group: number }[] = [];
    const tagGroup = ++groups;
    const close = isBlock ? "%}" : "}}";
    for (;;) {
      const blanks = match(/\s+/y);
      if (blanks) advance(at + blanks.length);
      if (at >= source.length) return fail(`${isBlock ? "a statement" : "an expression"} does not end`);
      const endSign = source[at] === "-" || (isBlock && source[at] === "+") ? source[at]! : "";
      if (brackets.length === 0 && source.startsWith(close, at + endSign.length)) {
        end = { type: isBlock ? "CloseStatement" : "CloseExpression", value: close, line };
        closeTag(endSign, 2, isBlock);
        break;
      }
      const group = brackets.at(-1)?.group ?? tagGroup;
      const add = (type: string, value: string, length: number): void => {
        const token = { type, value, line, group };
        const last = tag.at(-1);
        const isFirst = isBlock && (tag.length === 1 || /^(call|block|endblock)$/.test(tag[0]?.value ?? ""));
        const isTest = tag.at(-2)?.value === "is" || (tag.at(-2)?.value === "not" && tag.at(-3)?.value === "is");
        if (last && endsOperand(last) && startsOperand(token) && !isFirst && !isTest)
          if (!(last.type === "StringLiteral" && type === "StringLiteral"))
            fail(`unexpected ${JSON.stringify(source.slice(at, at + length))}`);
        tag.push(token);
        advance(at + length);
      };
      const literal = match(string);
      const numeric = match(number);
      const name = match(word);
      const sign2 = match(operator);
      if (literal !== undefined) add("StringLiteral", unescaped(literal.slice(1, -1)), literal.length);
      else if (numeric !== undefined) {
        const whole = tag.at(-1)?.type === "Dot" ? /^\d+/.exec(numeric)![0] : numeric;
        add("NumericLiteral", numeral(whole), whole.length);
      } else if (name !== undefined) add("Identifier", name, name.length);
      else if (sign2 !== undefined) {
        if (closers[sign2]) brackets.push({ text: closers[sign2]!, group: ++groups });
        else if (/[)\]}]/.test(sign2) && brackets.pop()?.text !== sign2) fail(`unexpected ${JSON.stringify(sign2)}`);
        add(typeOf(sign2), sign2, sign2.length);
      } else fail(`unexpected ${JSON.stringify(String.fromCodePoint(source.codePointAt(at)!))}`);
    }
    if (isBlock) checkBlocks(around, tag[0]?.value);
    if (!isBlock && tag.some((one) => one.type === "Comma" && one.group === tagGroup)) {
      tag.unshift({ ...tag[0]!, type: "OpenParen", value: "(" });
      tag.push({ ...tag[0]!, type: "CloseParen", value: ")" });
    }
    for (const token of isBlock ? rewriteStatement(rewriteTag(tag)) : rewriteTag(tag)) tokens.push(token);
    tokens.push(end);
  }
}
