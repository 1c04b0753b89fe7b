/** The package's tree, and what is rewritten in it before it runs. */
import { fail } from "./errors.ts";
import { type Token, tupleEnd } from "./lexer.ts";
import type { Value } from "./values.ts";

export interface Node {
  type: string;
  [field: string]: unknown;
}

/** @throws GureumError "template" for what is no name. */
export const nameOf = (node: Node): string => (node.type === "Identifier" ? String(node.value) : fail("a name is expected"));

const constants: Readonly<Record<string, Value>> = { true: true, True: true, false: false, False: false, none: null, None: null };
const statements = new Set("Set If For Macro CallStatement FilterStatement Break Continue Comment StringLiteral Output".split(" "));
const comparisons = new Set(["==", "!=", "<", ">", "<=", ">=", "in", "not in"]);

/** Bodies write their expressions by `str`; comparisons chain; tuples lose their end mark; None, True and False are no variables. */
export function rewrite(value: unknown, isText = false): unknown {
  if (value instanceof Map) return new Map([...value].map(([key, content]) => [rewrite(key), rewrite(content)]));
  if (typeof value !== "object" || value === null) return value;
  const node = value as Node;
  if (Array.isArray(value)) return value.map((one) => rewrite(one));
  if (node.type === "Identifier" && !isText && Object.hasOwn(constants, String(node.value)))
    return { type: "Constant", value: constants[String(node.value)] };
  for (const [name, child] of Object.entries(node)) {
    const isName =
      (name === "property" && !node.computed) ||
      name === "key" ||
      (name === "filter" && (child as Node).type === "Identifier") ||
      name === "assignee" ||
      name === "name";
    if (name === "body" || name === "alternate" || name === "defaultBlock") node[name] = (child as Node[]).map(output);
    else if (name !== "operator") node[name] = rewrite(child, isName && (name !== "assignee" || (child as Node).type !== "Identifier"));
  }
  if (node.type === "Set" && (node.assignee as Node).type === "Constant") fail("a constant cannot be assigned to");
  if (node.type === "TupleLiteral")
    node.value = (node.value as Node[]).filter((one) => one.value !== tupleEnd || one.type !== "Identifier");
  if (node.type !== "BinaryExpression") return node;
  const operator = node.operator as Token;
  if (operator.value === "~") return concatenate(node);
  if (!comparisons.has(operator.value)) return node;
  const left = node.left as Node;
  const step = { operator: operator.value, operand: node.right };
  if (left.type === "Compare" && left.group === operator.group) return { ...left, rest: [...(left.rest as unknown[]), step] };
  return { type: "Compare", group: operator.group, first: left, rest: [step] };
}
/** `a + b ~ c` is a + (b ~ c): in Jinja `~` binds more closely than `+`, in the package as closely. */
function concatenate(node: Node): Node {
  const left = node.left as Node;
  const above = left.operator as Token | undefined;
  const isSum = left.type === "BinaryExpression" && above?.group === (node.operator as Token).group && /^[-+]$/.test(above!.value);
  return isSum ? { ...left, right: concatenate({ ...node, left: left.right }) } : node;
}
/** A text stays, what is written by `{{ }}` becomes text. */
const output = (node: Node): Node => {
  if (node.type === "StringLiteral") return node;
  return statements.has(node.type) ? (rewrite(node) as Node) : { type: "Output", expression: rewrite(node) };
};

/** Which of a macro's own names its body reads. */
export function mentioned(body: readonly Node[]): Set<string> {
  const found = new Set<string>();
  const visit = (value: unknown): void => {
    if (Array.isArray(value)) for (const one of value) visit(one);
    else if (value instanceof Map) for (const pair of value) visit(pair);
    else if (typeof value === "object" && value !== null) {
      const node = value as Node;
      if (node.type === "Identifier" && /^(caller|varargs|kwargs)$/.test(String(node.value))) found.add(String(node.value));
      else for (const one of Object.values(node)) visit(one);
    }
  };
  visit(body);
  return found;
}
