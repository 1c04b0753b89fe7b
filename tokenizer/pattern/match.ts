/**
 * Matches a program by backtracking, first alternative first, in time that cannot explode. Whether the rest of a program matches from
 * a place depends on the two alone (there are no captures), so what failed once is not tried again: splits remember their places once a
 * search has become long, and runs remember how far they reach and which of their ends failed. Sub-programs (look-around, atomic
 * groups) may be run again; a budget of steps per text bounds all of it.
 */
import { GureumError } from "../../core/errors.ts";
import type { Anchor } from "./ast.ts";
import { charSet, escapeClasses } from "./char-set.ts";
import type { Instruction, Program } from "./compile.ts";

/** Steps that a text of n code points may take. Expressions of published tokenizers take about 20 per code point. */
const budgetOf = (program: Program, n: number): number => (n + 1) * Math.min(200 + 4 * program.code.length, 300);
/** Steps after which splits begin to remember. */
const patienceOf = (n: number): number => 32 * n + 1000;
const maxMemoBits = 2 ** 30;

/** What one text's searches share. */
interface Search {
  readonly program: Program;
  /** Code points. */
  readonly text: Int32Array;
  readonly budget: number;
  steps: number;
  /** Alternatives still open, three numbers each: where to go on (~pc: a run gives back), the place, the lowest place. */
  readonly stack: number[];
  /** Places a split was tried from and did not match, a bit each: place · splits + slot. */
  memo: Uint32Array | null;
  /** For each run: the stretch of its set seen last, and a stretch of ends from which the rest failed. */
  readonly runStart: Int32Array;
  readonly runEnd: Int32Array;
  readonly failLow: Int32Array;
  readonly failHigh: Int32Array;
}

function createSearch(program: Program, text: Int32Array): Search {
  const none = (): Int32Array => new Int32Array(program.runs).fill(-1);
  return {
    program,
    text,
    budget: budgetOf(program, text.length),
    steps: 0,
    stack: [],
    memo: null,
    runStart: none(),
    runEnd: none(),
    failLow: none().fill(1),
    failHigh: none().fill(0),
  };
}

/** Whether this split was tried from this place before; it counts as tried from now on. */
function triedBefore(search: Search, slot: number, at: number): boolean {
  const { program, text } = search;
  if (search.memo === null) {
    if (search.steps < patienceOf(text.length)) return false;
    const bits = (text.length + 1) * program.splits;
    if (bits > maxMemoBits)
      throw new GureumError("limit", {
        what: "a text is too long for a regular expression of this size",
        expected: `at most ${Math.floor(maxMemoBits / program.splits) - 1} characters`,
        got: `${text.length}`,
        remedy: "split the text",
      });
    search.memo = new Uint32Array((bits >> 5) + 1);
  }
  const bit = at * program.splits + slot;
  const tried = (search.memo[bit >> 5]! >>> (bit & 31)) & 1;
  search.memo[bit >> 5]! |= 1 << (bit & 31);
  return tried === 1;
}

/** The place a match reached is not one that failed: a later search may start there. */
function forget(search: Search, at: number): void {
  const { memo, program } = search;
  if (memo !== null) for (let bit = at * program.splits; bit < (at + 1) * program.splits; bit++) memo[bit >> 5]! &= ~(1 << (bit & 31));
}

/** How far a run of a set goes from `at`. The stretch is remembered, so that places inside it are not scanned again. */
function reach(search: Search, run: Run, at: number): number {
  const { text } = search;
  const { slot } = run;
  if (at < search.runStart[slot]! || at > search.runEnd[slot]!) {
    let end = at;
    while (end < text.length && end !== search.runStart[slot]! && run.set.has(text[end]!)) end++;
    search.steps += end - at;
    if (end === search.runStart[slot]!) end = search.runEnd[slot]!;
    search.runStart[slot] = at;
    search.runEnd[slot] = end;
  }
  return Math.min(search.runEnd[slot]!, at + run.max);
}

/** The highest end of a run, at most `at`, that is not known to fail. */
function belowFailed(search: Search, slot: number, at: number): number {
  return at >= search.failLow[slot]! && at <= search.failHigh[slot]! ? search.failLow[slot]! - 1 : at;
}

/** Remembers that what follows a run fails from `at`: one stretch, which grows where it is touched. */
function noteFailed(search: Search, slot: number, at: number): void {
  const touches = at >= search.failLow[slot]! - 1 && at <= search.failHigh[slot]! + 1 && search.failLow[slot]! <= search.failHigh[slot]!;
  search.failLow[slot] = touches ? Math.min(search.failLow[slot]!, at) : at;
  search.failHigh[slot] = touches ? Math.max(search.failHigh[slot]!, at) : at;
}

type Run = Extract<Instruction, { op: "run" }>;

const isWord = charSet(escapeClasses.w!);

function holds(anchor: Anchor, text: Int32Array, at: number): boolean {
  const end = text.length;
  switch (anchor) {
    case "textStart":
      return at === 0;
    case "textEnd":
      return at === end;
    case "textEndOrNewline":
      return at === end || (at === end - 1 && text[at] === 0x0a);
    case "lineStart":
      return at === 0 || (text[at - 1] === 0x0a && at < end);
    case "lineEnd":
      return at === end || text[at] === 0x0a;
    case "word":
    case "notWord": {
      const before = at > 0 && isWord.has(text[at - 1]!);
      const after = at < end && isWord.has(text[at]!);
      return (before !== after) === (anchor === "word");
    }
  }
}

/** Where the instructions from `start` on end when they match from `from`; -1: they do not. */
function execute(search: Search, start: number, from: number): number {
  const { program, text, stack } = search;
  const { code } = program;
  const end = text.length;
  const base = stack.length;
  const main = start === 0;
  let pc = start;
  let at = from;
  for (;;) {
    if (++search.steps > search.budget)
      throw new GureumError("limit", {
        what: "a regular expression takes too many steps on this text",
        expected: `at most ${search.budget} for ${end} characters`,
        remedy: "split the text, or use an expression with fewer ways to match the same characters",
      });
    let failed = false;
    const now = code[pc]!;
    switch (now.op) {
      case "set":
        failed = at >= end || !now.set.has(text[at]!);
        at++;
        pc++;
        break;
      case "split":
        failed = main && triedBefore(search, now.slot, at);
        if (!failed) stack.push(now.second, at, at);
        pc = now.first;
        break;
      case "jump":
        pc = now.to;
        break;
      case "run": {
        const low = at + now.min;
        const reached = now.possessive ? reach(search, now, at) : belowFailed(search, now.slot, reach(search, now, at));
        failed = reached < low;
        if (!failed && !now.possessive) stack.push(~pc, reached, low);
        at = reached;
        pc++;
        break;
      }
      case "anchor":
        failed = !holds(now.anchor, text, at);
        pc++;
        break;
      case "atomic":
        at = execute(search, pc + 1, at);
        failed = at < 0;
        pc = now.next;
        break;
      case "look": {
        const found = now.bodies.some(({ start: body, back }) => back <= at && execute(search, body, back < 0 ? at : at - back) >= 0);
        failed = found === now.negate;
        pc = now.next;
        break;
      }
      case "accept":
        stack.length = base;
        return at;
    }
    while (failed) {
      if (stack.length === base) return -1;
      const low = stack.pop()!;
      at = stack.pop()!;
      pc = stack.pop()!;
      if (pc >= 0) break;
      // A run gives one back: what follows it failed from `at`.
      pc = ~pc;
      const { slot } = code[pc] as Run;
      noteFailed(search, slot, at);
      at = belowFailed(search, slot, at);
      if (at < low) continue;
      stack.push(~pc, at, low);
      pc++;
      break;
    }
  }
}

/** Code points of a text, and where each begins in it. `starts` is null where every code point is one unit. */
function codePoints(text: string): { points: Int32Array; starts: Int32Array | null } {
  const points = new Int32Array(text.length);
  let starts: Int32Array | null = null;
  let count = 0;
  for (let at = 0; at < text.length; ) {
    const point = text.codePointAt(at)!;
    if (point > 0xffff && starts === null) {
      starts = new Int32Array(text.length + 1);
      for (let i = 0; i < count; i++) starts[i] = i;
    }
    if (starts !== null) starts[count] = at;
    points[count++] = point;
    at += point > 0xffff ? 2 : 1;
  }
  if (starts !== null) starts[count] = text.length;
  return { points: points.subarray(0, count), starts };
}

/**
 * All matches from left to right, [start, end] one after the other, in UTF-16 units. An empty match directly after the match before it
 * does not count, as in Oniguruma's iterator.
 * @throws GureumError "limit" where a text takes more steps than its length allows.
 */
export function findMatches(program: Program, text: string): number[] {
  const { points, starts } = codePoints(text);
  const search = createSearch(program, points);
  const unit = (at: number): number => (starts === null ? at : starts[at]!);
  const matches: number[] = [];
  let lastEnd = -1;
  for (let at = 0; at <= points.length; ) {
    const end = execute(search, 0, at);
    if (end < 0 || (end === at && end === lastEnd)) {
      if (end >= 0) forget(search, end);
      at++;
      continue;
    }
    matches.push(unit(at), unit(end));
    forget(search, end);
    lastEnd = end;
    at = end;
  }
  return matches;
}
