/** Jinja, by @huggingface/jinja with Python's meaning where the package has JavaScript's. */
import { Environment, Interpreter, parse, tokenize } from "@huggingface/jinja";
import { GureumError } from "../core/errors.ts";
import { pythonEqual, pythonRange, pythonStrip, strftimeNow } from "./python-builtins.ts";

interface Node {
  type: string;
  [field: string]: unknown;
}

/** Names no template can spell, for what the rewritten tree calls. */
const stripName = "str.strip";
const equalName = "operator.eq";

const call = (name: string, args: unknown[]): Node => ({ type: "CallExpression", callee: { type: "Identifier", value: name }, args });
const stringNode = (value: string): Node => ({ type: "StringLiteral", value });

/** `x.strip(…)`, `x | trim`, `a == b` and `a != b` become calls of Python's versions; everything else stays. */
function rewrite(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(rewrite);
  if (typeof value !== "object" || value === null) return value;
  const node = value as Node;
  for (const [name, child] of Object.entries(node)) node[name] = rewrite(child);
  if (node.type === "CallExpression") {
    const callee = node.callee as Node;
    const property = callee.property as Node | undefined;
    if (callee.type === "MemberExpression" && callee.computed === false && /^[lr]?strip$/.test(String(property?.value)))
      return call(stripName, [stringNode(String(property?.value)), callee.object, ...(node.args as unknown[])]);
  }
  if (node.type === "FilterExpression") {
    const filter = node.filter as Node;
    if (filter.type === "Identifier" && filter.value === "trim") return call(stripName, [stringNode("trim"), node.operand]);
  }
  if (node.type === "BinaryExpression") {
    const operator = (node.operator as Node).value;
    const equal = call(equalName, [node.left, node.right]);
    if (operator === "==") return equal;
    if (operator === "!=") return { type: "UnaryExpression", operator: { type: "UnaryOperator", value: "not" }, argument: equal };
  }
  return node;
}

/** What of the package's classes is used; its own declarations do not resolve under `moduleResolution: nodenext`. */
interface RuntimeValue {
  readonly type: string;
  readonly value: unknown;
}
interface Scope {
  set(name: string, value: unknown): unknown;
}
interface Evaluator {
  run(program: unknown): RuntimeValue;
  evaluate(node: Node | undefined, scope: Scope): RuntimeValue;
}
const JinjaScope: new () => Scope = Environment;
const JinjaInterpreter: new (scope: Scope) => Evaluator = Interpreter as unknown as new (scope: Scope) => Evaluator;

/** Jinja's rule that an undefined value has no elements; in the package they are undefined again. */
class StrictInterpreter extends JinjaInterpreter {
  override evaluate(node: Node | undefined, scope: Scope): RuntimeValue {
    if (node?.type === "Evaluated") return node.value as RuntimeValue;
    if (node?.type !== "MemberExpression") return super.evaluate(node, scope);
    const object = this.evaluate(node.object as Node, scope);
    if (object.type === "UndefinedValue") {
      const property = node.property as Node;
      throw new Error(`undefined has no element ${JSON.stringify(property.value) ?? "of that name"}`);
    }
    return super.evaluate({ ...node, object: { type: "Evaluated", value: object } }, scope);
  }
}

function templateError(error: unknown): GureumError {
  if (error instanceof GureumError) return error;
  const what = error instanceof RangeError ? "the template is nested too deeply" : error instanceof Error ? error.message : String(error);
  return new GureumError("template", { where: "chat template", what: what === "" ? "the template raised an error" : what }, error);
}

/** A template that renders with the variables given. @throws GureumError "template" */
export function parseJinja(source: string): (variables: Readonly<Record<string, unknown>>) => string {
  let program: unknown;
  try {
    program = rewrite(parse(tokenize(source, { lstrip_blocks: true, trim_blocks: true })));
  } catch (error) {
    throw templateError(error);
  }
  return (given) => {
    const variables: Record<string, unknown> = {
      true: true,
      false: false,
      none: null,
      True: true,
      False: false,
      None: null,
      range: pythonRange,
      strftime_now: strftimeNow,
      raise_exception: (message: unknown) => {
        throw new GureumError("template", { where: "chat template", what: String(message) });
      },
      [stripName]: pythonStrip,
      [equalName]: pythonEqual,
      ...given,
    };
    try {
      const scope = new JinjaScope();
      for (const [name, value] of Object.entries(variables)) scope.set(name, value);
      return String(new StrictInterpreter(scope).run(program).value);
    } catch (error) {
      throw templateError(error);
    }
  };
}
