/**
 * Jinja in transformers' environment, by @huggingface/jinja's parser and interpreter with Python's meaning where the package has
 * JavaScript's. What of Jinja is missing is refused by name (docs/decisions/002-chat-templates.md).
 */
import { parse } from "@huggingface/jinja";
import { GureumError } from "../core/errors.ts";
import { asText, bind } from "./jinja/arguments.ts";
import { fail, refuse } from "./jinja/errors.ts";
import { interpret, type Progress } from "./jinja/interpreter.ts";
import { type Token, tokenize } from "./jinja/lexer.ts";
import { strftime } from "./jinja/time.ts";
import { type Node, rewrite } from "./jinja/tree.ts";
import { beginWalks, type Callable, iterate, kindOf, sequence, str, toValue, type Value } from "./jinja/values.ts";
import { pythonRange } from "./python-builtins.ts";

const integer = (value: Value): number =>
  typeof value === "bigint" || typeof value === "boolean" ? Number(value) : fail(`range takes ints, got ${kindOf(value)}`);

const dict: Callable = (args, keywords) => {
  const [first] = args;
  if (args.length > 1) return fail("dict takes at most one argument");
  const entries = first instanceof Map ? [...first] : iterate(first).map((pair) => iterate(pair) as [Value, Value]);
  if (entries.some((entry) => entry.length !== 2)) return fail("dict takes pairs");
  return new Map([...entries, ...keywords]);
};

const globals: Readonly<Record<string, Callable>> = {
  range: (args) => {
    if (args.length < 1 || args.length > 3) return fail("range takes 1 to 3 arguments");
    const [first, stop, step] = args.map(integer) as [number, number?, number?];
    const bounds = stop === undefined ? [0, first] : [first, stop];
    return sequence(
      `range(${[...bounds, ...(step === undefined || step === 1 ? [] : [step])].join(", ")})`,
      pythonRange(first, stop, step).map(BigInt),
    );
  },
  dict,
  namespace: (args, keywords) => ({ attributes: dict(args, keywords) as Map<string, Value> }),
  raise_exception: (args) =>
    fail(str(args.length === 1 ? args[0] : fail("raise_exception takes one argument")) || "the template raised an error"),
  strftime_now: (args, keywords) => strftime(new Date(), asText("strftime_now", bind("strftime_now", ["format"], args, keywords, 1)[0])),
  self: () => refuse("self"),
  lipsum: () => refuse("lipsum"),
  cycler: () => refuse("cycler"),
  joiner: () => refuse("joiner"),
};

function located(error: unknown, line: number): GureumError {
  const where = `chat template, line ${line}`;
  if (error instanceof GureumError) return new GureumError(error.code, { ...error.details, where }, error.cause);
  const message = error instanceof Error ? error.message : String(error);
  const what = /string length|memory|allocation/i.test(message)
    ? "a string is too long"
    : error instanceof RangeError
      ? "the template is nested too deeply"
      : message;
  return new GureumError("template", { where, what }, error);
}

/** A token whose reading by the parser says where that is. */
const watched = (token: Token, progress: { line: number }): Token => ({
  ...token,
  get type() {
    progress.line = token.line;
    return token.type;
  },
});

/** The parser's own message in plain words. It reads past its tokens where the text ends too early. */
function parserMessage(error: unknown): string {
  if (error instanceof TypeError || !(error instanceof Error)) return "a statement or expression does not end";
  if (/^Unexpected token/.test(error.message)) return "expected an expression";
  const [, expected] = /^(?:Parser Error: )?Expected (.*?)(?: token)?(?:\. .*|, got .*)?$/.exec(error.message) ?? [];
  return expected === undefined ? error.message : `expected ${expected}`;
}

function parseSource(source: string, progress: { line: number }): Node {
  const tokens = tokenize(source, progress).map((token) => watched(token, progress));
  try {
    const program = parse(tokens as never) as unknown as Node;
    return rewrite(program) as Node;
  } catch (error) {
    if (error instanceof GureumError || error instanceof RangeError) throw error;
    return fail(parserMessage(error));
  }
}

/**
 * A template that renders with the variables given.
 * @throws GureumError "template" with the line: here where the text is no template, from rendering where a step of it fails, is not
 * supported, or exceeds the budget of steps and characters.
 */
export function parseJinja(source: string): (variables: Readonly<Record<string, unknown>>) => string {
  const at = { line: 1 };
  let program: Node;
  try {
    program = parseSource(source, at);
  } catch (error) {
    throw located(error, at.line);
  }
  return (given) => {
    const progress: Progress = { steps: 0, line: 1, depth: 0 };
    beginWalks();
    try {
      const variables = new Map<string, Value>(Object.entries(globals));
      for (const [name, value] of Object.entries(given)) if (value !== undefined) variables.set(name, toValue(value));
      return interpret(program, variables, progress);
    } catch (error) {
      throw located(error, progress.line);
    }
  };
}
