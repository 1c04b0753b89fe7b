/**
 * A regular expression in Oniguruma's syntax (what Hugging Face's tokenizers are written in) to a tree. What this engine does not do
 * is refused by name: back-references, captures that are called, conditions, absent functions, look-behind of varying length,
 * grapheme clusters, and ignored case where one character would match several.
 * Source: kkos/oniguruma `doc/RE`, ONIG_SYNTAX_ONIGURUMA, UTF-8.
 */
import { GureumError } from "../../core/errors.ts";
import { type Anchor, type Node, widthOf } from "./ast.ts";
import { charSet, escapeClasses } from "./char-set.ts";
import { type Decide, foldsTogether, ignoringCase, parseClass, parseEscapedCharacter, parseProperty } from "./parse-class.ts";
import { createReader, type Reader } from "./reader.ts";

/** Options in force: ignore case, dot takes newlines, extended form. */
interface Flags {
  readonly i: boolean;
  readonly m: boolean;
  readonly x: boolean;
}

const maxDepth = 100;
const maxRepeat = 100_000;
/** Characters of an expression; the longest published one has about 700. */
const maxLength = 5_000;
const lookBehindWidths = "a fixed number of characters in each alternative";

/** A literal whose case is ignored: the parser looks at its neighbours, which together may equal one character (`ss` and U+00DF). */
interface Parsed {
  readonly node: Node;
  readonly folded: string;
}

const plain = (node: Node): Parsed => ({ node, folded: "" });
const setOf = (decide: Decide): Parsed => plain({ type: "set", set: charSet(decide) });
const anchor = (name: Anchor): Parsed => plain({ type: "anchor", anchor: name });

const anchors: Readonly<Record<string, Anchor>> = { A: "textStart", z: "textEnd", Z: "textEndOrNewline", b: "word", B: "notWord" };

/** @throws GureumError "format" for a broken expression, "unsupported" (by name) for what is not done here. */
export function parsePattern(source: string): Node {
  const reader = createReader(source);
  if (source.length > maxLength) throw reader.refused(`an expression of ${source.length} characters`, `at most ${maxLength}`);
  const node = parseChoice(reader, { i: false, m: false, x: false }, 0);
  if (reader.more()) throw reader.broken("a ) without its (");
  return node;
}

/** Alternatives up to a `)` or the end. */
function parseChoice(reader: Reader, flags: Flags, depth: number): Node {
  if (depth > maxDepth)
    throw new GureumError("unsupported", { what: "groups are nested too deeply", expected: `at most ${maxDepth} levels` });
  const alternatives: Node[] = [];
  do alternatives.push(parseSequence(reader, flags, depth));
  while (reader.take("|"));
  return alternatives.length === 1 ? alternatives[0]! : { type: "choice", nodes: alternatives };
}

function parseSequence(reader: Reader, flags: Flags, depth: number): Node {
  const nodes: Node[] = [];
  let before = "";
  while (reader.more() && !reader.sees("|") && !reader.sees(")")) {
    if (flags.x && skipExtended(reader)) continue;
    const parsed = parseAtom(reader, flags, depth);
    if (parsed === null) continue;
    if (foldsTogether(before + parsed.folded))
      throw reader.refused(`${JSON.stringify(before + parsed.folded)} without regard to case, which a ligature would match`);
    const node = parseQuantifiers(reader, parsed);
    nodes.push(node);
    before = node === parsed.node ? parsed.folded : "";
  }
  return nodes.length === 1 ? nodes[0]! : { type: "sequence", nodes };
}

/** In extended form: white space and comments. */
function skipExtended(reader: Reader): boolean {
  if (reader.sees("#")) {
    while (reader.more() && reader.next() !== "\n");
    return true;
  }
  return [" ", "\t", "\n", "\r", "\f", "\v"].some((space) => reader.take(space));
}

/** One thing a quantifier may follow; null for a comment. */
function parseAtom(reader: Reader, flags: Flags, depth: number): Parsed | null {
  const character = reader.next();
  switch (character) {
    case "(":
      return parseGroup(reader, flags, depth);
    case "[":
      return setOf(parseClass(reader, flags.i, 0));
    case ".":
      return setOf(flags.m ? () => true : (point) => point !== 0x0a);
    case "^":
      return anchor("lineStart");
    case "$":
      return anchor("lineEnd");
    case "*":
    case "+":
    case "?":
      throw reader.broken(`a ${character} that follows nothing`);
    case "\\":
      return parseEscape(reader, flags);
    default:
      return literal(reader, character, flags);
  }
}

function literal(reader: Reader, character: string, flags: Flags): Parsed {
  const point = character.codePointAt(0)!;
  const same: Decide = (other) => other === point;
  const decide = flags.i ? ignoringCase(reader, same, [character]) : same;
  const set = flags.i ? charSet(decide) : { has: decide };
  return { node: { type: "set", set }, folded: flags.i ? character.toLowerCase() : "" };
}

function parseEscape(reader: Reader, flags: Flags): Parsed {
  const letter = reader.peek();
  if (Object.hasOwn(anchors, letter)) {
    reader.next();
    return anchor(anchors[letter]!);
  }
  const small = letter.toLowerCase();
  if (Object.hasOwn(escapeClasses, small)) {
    reader.next();
    const decide = escapeClasses[small]!;
    return setOf(letter === small ? decide : (point) => !decide(point));
  }
  if (small === "p") {
    reader.next();
    return setOf(parseProperty(reader, letter === "P", flags.i));
  }
  if (letter === "N" || letter === "O") {
    reader.next();
    return setOf(letter === "O" ? () => true : (point) => point !== 0x0a);
  }
  if (letter === "R") {
    reader.next();
    const newline = setOf((point) => (point >= 0x0a && point <= 0x0d) || point === 0x85 || point === 0x2028 || point === 0x2029).node;
    const pair = ["\r", "\n"].map((one): Node => setOf((point) => point === one.charCodeAt(0)).node);
    return plain({ type: "atomic", node: { type: "choice", nodes: [{ type: "sequence", nodes: pair }, newline] } });
  }
  return literal(reader, parseEscapedCharacter(reader), flags);
}

function parseGroup(reader: Reader, flags: Flags, depth: number): Parsed | null {
  const close = (node: Node): Parsed => {
    if (!reader.take(")")) throw reader.broken("a ( without its )");
    return plain(node);
  };
  const body = (): Node => parseChoice(reader, flags, depth + 1);
  if (reader.sees("*")) throw reader.refused("a callout (*");
  if (!reader.take("?")) return close(body());
  if (reader.take("#")) {
    while (!reader.take(")")) {
      if (!reader.more()) throw reader.broken("a (?# without its )");
      if (reader.next() === "\\" && reader.more()) reader.next();
    }
    return null;
  }
  if (reader.take(":")) return close(body());
  if (reader.take(">")) return close({ type: "atomic", node: body() });
  for (const [sign, ahead, negate] of [
    ["=", true, false],
    ["!", true, true],
    ["<=", false, false],
    ["<!", false, true],
  ] as const)
    if (reader.take(sign)) {
      const node = body();
      if (!ahead) checkLookBehind(reader, node);
      return close({ type: "look", node, ahead, negate });
    }
  const name = reader.match(/^(?:<[\p{L}_][\w\p{L}]*>|'[\p{L}_][\w\p{L}]*')/u);
  if (name) return close(body());
  const options = reader.match(/^[imx]*(?:-[imx]*)?(?=[:)])/u);
  if (options === null) throw reader.refused(`a group (?${reader.peek()}`);
  let changed = flags;
  const [on = "", off = ""] = options.split("-");
  for (const [letters, value] of [
    [on, true],
    [off, false],
  ] as const)
    for (const letter of letters) changed = { ...changed, [letter]: value };
  // An option alone holds to the end of its group, alternatives included: a(?i)b|c is a(?i:b|c).
  if (reader.take(")")) return plain(parseChoice(reader, changed, depth + 1));
  reader.next();
  return close(parseChoice(reader, changed, depth + 1));
}

function checkLookBehind(reader: Reader, node: Node): void {
  for (const one of node.type === "choice" ? node.nodes : [node]) {
    const [least, most] = widthOf(one);
    if (least !== most) throw reader.refused("a look-behind of varying length", lookBehindWidths);
  }
}

/** Quantifiers after an atom, as many as there are: `a{2}{3}`, and `a{2}+` is `(?:a{2})+`. */
function parseQuantifiers(reader: Reader, parsed: Parsed): Node {
  let node = parsed.node;
  for (;;) {
    const interval = reader.match(/^\{(?:\d+(?:,\d*)?|,\d+)\}/u);
    let min: number;
    let max: number;
    let kind: "greedy" | "lazy" | "possessive" = "greedy";
    if (interval !== null) {
      const [low = "", high = low] = interval.slice(1, -1).split(",");
      min = low === "" ? 0 : Number(low);
      max = high === "" ? Number.POSITIVE_INFINITY : Number(high);
      if (min > max) throw reader.refused(`a possessive interval ${interval}`);
      if (min > maxRepeat || (max !== Number.POSITIVE_INFINITY && max > maxRepeat)) throw reader.broken(`${interval} repeats too often`);
      if (interval.includes(",") && reader.take("?")) kind = "lazy";
    } else if (reader.take("*")) [min, max] = [0, Number.POSITIVE_INFINITY];
    else if (reader.take("+")) [min, max] = [1, Number.POSITIVE_INFINITY];
    else if (reader.take("?")) [min, max] = [0, 1];
    else return node;
    if (interval === null) kind = reader.take("?") ? "lazy" : reader.take("+") ? "possessive" : "greedy";
    if (node.type === "look") throw reader.refused("a repetition of a look-around");
    if (widthOf(node)[0] === 0 && max > 1) throw reader.refused("a repetition of what may be empty");
    if (foldsTogether(parsed.folded.repeat(2)) && max > 1) throw reader.refused(`${parsed.folded} repeated without regard to case`);
    node = { type: "repeat", node, min, max, kind };
  }
}
