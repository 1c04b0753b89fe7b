/**
 * The package's interpreter with Python's values and jinja2's scopes, and a budget. The package parses, walks programs, conditions
 * and choices; loops, macros, assignments and everything that makes a value are here.
 * Source: jinja2 3.1 `compiler.py`, `runtime.py`.
 */
import { Interpreter } from "@huggingface/jinja";
import { item, keyOf, slice } from "./access.ts";
import { exceed, fail, refuse } from "./errors.ts";
import { applyFilter } from "./filters.ts";
import { scopeName } from "./lexer.ts";
import { method } from "./methods.ts";
import { binary, checkLength, compareBy } from "./operators.ts";
import { breakSignal, child, continueSignal, lookUp, loopAttributes, type Scope, Signal, signalled } from "./scope.ts";
import { mentioned, type Node, nameOf } from "./tree.ts";
import { type Callable, isNamespace, iterate, kindOf, type Namespace, numeric, plain, sequence, str, truth, type Value } from "./values.ts";

export interface Progress {
  steps: number;
  line: number;
  depth: number;
}

const maxSteps = 2_000_000;
const maxDepth = 250;

/** What the package's methods read of a value. */
interface Box {
  readonly type: string;
  readonly value: Value;
  __bool__(): { value: boolean };
}
class Boxed implements Box {
  readonly type = "Boxed";
  readonly value: Value;
  constructor(value: Value) {
    this.value = value;
  }
  __bool__(): { value: boolean } {
    return { value: truth(this.value) };
  }
}

/** The package's declarations do not resolve under `moduleResolution: nodenext`. */
interface Evaluator {
  evaluate(node: Node | undefined, scope: Scope): Box;
  evaluateBlock(nodes: readonly Node[], scope: Scope): Box;
}
const PackageInterpreter = Interpreter as unknown as new () => Evaluator;

class PythonInterpreter extends PackageInterpreter {
  readonly progress: Progress;
  constructor(progress: Progress) {
    super();
    this.progress = progress;
  }

  /** Counts work: a step, or what a text or list of this size costs. */
  private spend(steps: number): void {
    this.progress.steps += steps;
    if (this.progress.steps > maxSteps) exceed(`a rendering of more than ${maxSteps} steps`);
  }
  private sized(given: Value): Value {
    const value = plain(given);
    if (typeof value === "string") {
      checkLength(value.length);
      if (value.length > 64) this.spend(value.length / 64);
    } else if (Array.isArray(value)) this.spend(value.length / 8);
    return given;
  }

  override evaluateBlock(nodes: readonly Node[], scope: Scope): Box {
    return new Boxed(this.block(nodes, scope));
  }

  override evaluate(node: Node | undefined, scope: Scope): Box {
    this.spend(1);
    const own = node && (this.expression(node, scope) ?? this.statement(node, scope));
    return own ?? (node ? super.evaluate(node, scope) : new Boxed(undefined));
  }

  private value(node: unknown, scope: Scope): Value {
    return this.evaluate(node as Node | undefined, scope).value;
  }

  private block(nodes: readonly Node[], scope: Scope): string {
    let text = "";
    for (const node of nodes) {
      if (node.type === "StringLiteral") text += node.value as string;
      else text += signalled(() => str(this.evaluate(node, scope).value), text);
      checkLength(text.length);
    }
    return text;
  }

  private expression(node: Node, scope: Scope): Box | undefined {
    const value = (child: unknown): Value => this.value(child, scope);
    switch (node.type) {
      case "StringLiteral":
      case "FloatLiteral":
      case "Constant":
        return new Boxed(node.value as Value);
      case "IntegerLiteral":
        return new Boxed(BigInt(node.value as number));
      case "Identifier":
        return new Boxed(lookUp(scope, node.value as string));
      case "Output":
        return new Boxed(this.sized(str(value(node.expression))));
      case "ArrayLiteral":
        return new Boxed((node.value as Node[]).map(value));
      case "TupleLiteral":
        return new Boxed(sequence("tuple", (node.value as Node[]).map(value)));
      case "ObjectLiteral":
        return new Boxed(new Map([...(node.value as Map<Node, Node>)].map(([key, content]) => [keyOf(value(key)), value(content)])));
      case "Compare":
        return new Boxed(this.comparison(node, scope));
      case "BinaryExpression": {
        const operator = (node.operator as { value: string }).value;
        if (operator === "and" || operator === "or") return undefined;
        return new Boxed(this.sized(binary(operator, this.sized(value(node.left)), this.sized(value(node.right)))));
      }
      case "UnaryExpression": {
        const operator = (node.operator as { value: string }).value;
        const operand = value(node.argument);
        if (operator === "not") return new Boxed(!truth(operand));
        const number = numeric(operand) ?? fail(`'${operator}' of ${kindOf(operand)}`);
        return new Boxed(operator === "-" ? -number : number);
      }
      case "FilterExpression":
        return new Boxed(this.filter(value(node.operand), node.filter as Node, scope));
      case "MemberExpression":
        return new Boxed(this.member(node, scope));
      case "CallExpression":
        return new Boxed(this.sized(this.call(value(node.callee), node.args as Node[], scope)));
      default:
        return undefined;
    }
  }

  private comparison(node: Node, scope: Scope): Value {
    let left = this.sized(this.value(node.first, scope));
    for (const { operator, operand } of node.rest as { operator: string; operand: Node }[]) {
      const right = this.sized(this.value(operand, scope));
      if (!compareBy(operator, left, right)) return false;
      left = right;
    }
    return true;
  }

  private arguments(nodes: readonly Node[], scope: Scope): { args: Value[]; keywords: Map<string, Value> } {
    const args: Value[] = [];
    const keywords = new Map<string, Value>();
    for (const node of nodes)
      if (node.type === "KeywordArgumentExpression") keywords.set(nameOf(node.key as Node), this.value(node.value, scope));
      else if (node.type === "SpreadExpression") for (const one of iterate(this.value(node.argument, scope))) args.push(one);
      else if (node.type === "KeywordSpreadExpression") {
        const given = this.value(node.argument, scope);
        if (!(given instanceof Map)) return fail("** takes a dict");
        for (const [key, content] of given) keywords.set(String(key), content);
      } else args.push(this.value(node, scope));
    return { args, keywords };
  }

  private call(callee: Value, nodes: readonly Node[], scope: Scope, caller?: Callable): Value {
    if (typeof callee !== "function")
      return fail(callee === undefined ? "a call of an undefined value" : `'${kindOf(callee)}' cannot be called`);
    const { args, keywords } = this.arguments(nodes, scope);
    if (caller) keywords.set("caller", caller);
    const { line } = this.progress;
    const result = callee(args, keywords);
    this.progress.line = line;
    return result;
  }

  private filter(operand: Value, node: Node, scope: Scope): Value {
    const isCall = node.type === "CallExpression";
    const name = nameOf((isCall ? node.callee : node) as Node);
    const { args, keywords } = this.arguments(isCall ? (node.args as Node[]) : [], scope);
    return this.sized(applyFilter(name, this.sized(operand), args, keywords));
  }

  private member(node: Node, scope: Scope): Value {
    const object = this.sized(this.value(node.object, scope));
    if (typeof object === "string") this.spend(object.length / 16);
    const property = node.property as Node;
    if (property.type === "SliceExpression")
      return slice(
        object,
        [property.start, property.stop, property.step].map((bound) => (bound ? this.value(bound, scope) : undefined)),
      );
    const isName = !node.computed && property.type === "Identifier";
    const key = isName ? (property.value as string) : plain(this.value(property, scope));
    if (object === undefined || typeof key !== "string") return item(object, key);
    if (/^__/.test(key) && !(object instanceof Map && object.has(key))) return refuse(`the attribute ${key}`);
    // `x.name` is the attribute first, `x["name"]` the element.
    const own = isName ? method(object, key) : undefined;
    const found = own ?? item(object, key);
    return found === undefined && !isName && !(object instanceof Map && object.has(key)) ? method(object, key) : found;
  }

  private statement(node: Node, scope: Scope): Box | undefined {
    switch (node.type) {
      case "Comment":
        this.progress.line = Number(node.value);
        return new Boxed(undefined);
      case "Break":
        throw breakSignal;
      case "Continue":
        throw continueSignal;
      case "For":
        return new Boxed(this.loop(node, scope));
      case "Set": {
        const body = node.value ? undefined : this.block(node.body as Node[], child(scope));
        this.assign(node.assignee as Node, body === undefined ? this.value(node.value, scope) : body, scope, body !== undefined);
        return new Boxed(undefined);
      }
      case "Macro":
        scope.variables.set(
          nameOf(node.name as Node),
          this.macro(nameOf(node.name as Node), node.args as Node[], node.body as Node[], scope),
        );
        return new Boxed(undefined);
      case "CallStatement":
        return new Boxed(this.callBlock(node, scope));
      case "FilterStatement":
        return new Boxed(this.filter(this.block(node.body as Node[], child(scope)), node.filter as Node, scope));
      default:
        return undefined;
    }
  }

  private assign(target: Node, value: Value, scope: Scope, isBlock = false): void {
    if (target.type === "Identifier") scope.variables.set(target.value as string, value);
    else if (target.type === "TupleLiteral") {
      const names = target.value as Node[];
      const parts = value === undefined ? fail("an undefined value cannot be unpacked") : iterate(value);
      if (parts.length !== names.length) fail(`${parts.length} values for ${names.length} names`);
      for (const [i, name] of names.entries()) this.assign(name, parts[i], scope);
    } else if (target.type === "FilterExpression" && isBlock) {
      // {% set x | upper %}: the operand is the target.
      const inner = target.operand as Node;
      const chain: Node[] = [target.filter as Node];
      let at = inner;
      for (; at.type === "FilterExpression"; at = at.operand as Node) chain.unshift(at.filter as Node);
      this.assign(
        at,
        chain.reduce((text, filter) => this.filter(text, filter, scope), value),
        scope,
      );
    } else if (target.type === "MemberExpression" && !target.computed) {
      const object = this.value(target.object, scope);
      if (!isNamespace(object)) fail("only a namespace's attributes can be set");
      else object.attributes.set(nameOf(target.property as Node), value);
    } else fail("this cannot be assigned to");
  }

  private loop(node: Node, outer: Scope): string {
    const select = (node.iterable as Node).type === "SelectExpression" ? (node.iterable as Node) : undefined;
    const target = node.loopvar as Node;
    let items = iterate(this.value(select ? select.lhs : node.iterable, outer));
    this.spend(items.length / 8);
    if (select)
      items = items.filter((one) => {
        const scope = child(outer);
        this.assign(target, one, scope);
        return truth(this.value(select.test, scope));
      });
    let text = "";
    let isCompleted = false;
    for (const [i, one] of items.entries()) {
      this.spend(4);
      const scope = child(outer);
      let attributes: Map<string, Value> | undefined;
      const loop: Namespace = {
        get attributes() {
          attributes ??= loopAttributes(items, i);
          return attributes;
        },
      };
      scope.variables.set("loop", loop);
      this.assign(target, one, scope);
      try {
        text += this.block(node.body as Node[], scope);
        isCompleted = true;
      } catch (signal) {
        if (!(signal instanceof Signal)) throw signal;
        text += signal.text;
        checkLength(text.length);
        if (signal.type === "break") break;
      }
      checkLength(text.length);
    }
    // Jinja's `else` is for a loop of which no round came to its end.
    return isCompleted ? text : text + this.block(node.defaultBlock as Node[], child(outer));
  }

  private macro(name: string, parameters: readonly Node[], body: readonly Node[], defined: Scope): Callable {
    const names = parameters.map((node) => nameOf((node.type === "Identifier" ? node : node.key) as Node));
    const uses = mentioned(body);
    return (given, keywords) => {
      const scope = child(defined);
      const rest = new Map(keywords);
      const caller = rest.get("caller");
      if (!names.includes("caller") && uses.has("caller")) {
        rest.delete("caller");
        scope.variables.set("caller", caller);
      }
      for (const [i, parameter] of names.entries()) {
        if (i < given.length && rest.has(parameter)) fail(`macro ${name} got ${parameter} twice`);
        const isGiven = i < given.length || rest.has(parameter);
        const node = parameters[i]!;
        scope.variables.set(parameter, undefined);
        const value = i < given.length ? given[i] : rest.get(parameter);
        const isDefault = !isGiven && node.type !== "Identifier";
        scope.variables.set(parameter, isDefault ? this.value(node.value, scope) : value);
        rest.delete(parameter);
      }
      if (uses.has("varargs")) scope.variables.set("varargs", sequence("tuple", given.slice(names.length)));
      else if (given.length > names.length) fail(`macro ${name} takes ${names.length} arguments, got ${given.length}`);
      if (uses.has("kwargs")) scope.variables.set("kwargs", new Map(rest));
      else if (rest.size > 0) fail(`macro ${name} takes no argument ${JSON.stringify([...rest.keys()][0])}`);
      if (++this.progress.depth > maxDepth) exceed(`macros call each other deeper than ${maxDepth} levels`);
      const text = this.block(body, scope);
      this.progress.depth--;
      return text;
    };
  }

  private callBlock(node: Node, scope: Scope): Value {
    const { callee, args } = node.call as { callee: Node; args: Node[] };
    const parameters = (node.callerArgs as Node[] | null) ?? [];
    const body = node.body as Node[];
    if (callee.value !== scopeName) return this.call(this.value(callee, scope), args, scope, this.macro("caller", parameters, body, scope));
    const inner = child(scope);
    for (const parameter of parameters)
      if (parameter.type === "KeywordArgumentExpression")
        inner.variables.set(nameOf(parameter.key as Node), this.value(parameter.value, scope));
      else fail("{% with %} takes names and values");
    return this.block(body, inner);
  }
}

/** A parsed and rewritten template's text. @throws GureumError "template" */
export function interpret(program: Node, variables: Map<string, Value>, progress: Progress): string {
  try {
    return str(new PythonInterpreter(progress).evaluate(program, { variables }).value);
  } catch (error) {
    throw error instanceof Signal ? fail(`'${error.type}' outside a loop`) : error;
  }
}
