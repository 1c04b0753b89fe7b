/** Scopes as jinja2 has them, and how a loop's round ends. */
import { fail, refuse } from "./errors.ts";
import type { Value } from "./values.ts";

/** The variables of a block, and the blocks around it. */
export interface Scope {
  readonly variables: Map<string, Value>;
  readonly parent?: Scope;
}

export const breakSignal = { type: "break" };
export const continueSignal = { type: "continue" };

export const child = (parent: Scope): Scope => ({ variables: new Map(), parent });
export function lookUp(scope: Scope, name: string): Value {
  for (let at: Scope | undefined = scope; at; at = at.parent) if (at.variables.has(name)) return at.variables.get(name);
  return undefined;
}
/** What `loop` knows in round i. */
export function loopAttributes(items: readonly Value[], i: number): Map<string, Value> {
  const [index, length] = [BigInt(i), BigInt(items.length)];
  return new Map<string, Value>([
    ["index", index + 1n],
    ["index0", index],
    ["revindex", length - index],
    ["revindex0", length - index - 1n],
    ["first", i === 0],
    ["last", i === items.length - 1],
    ["length", length],
    ["previtem", items[i - 1]],
    ["nextitem", items[i + 1]],
    ["depth", 1n],
    ["depth0", 0n],
    ["cycle", (args) => (args.length > 0 ? args[i % args.length] : fail("no items for cycle"))],
    ["changed", () => refuse("loop.changed")],
  ]);
}

/** `break` or `continue`, with the text that the blocks it leaves had made. */
export class Signal {
  readonly type: string;
  readonly text: string;
  constructor(type: string, text: string) {
    this.type = type;
    this.text = text;
  }
}
export function signalled(run: () => string, before: string): string {
  try {
    return run();
  } catch (error) {
    if (error === breakSignal || error === continueSignal) throw new Signal((error as { type: string }).type, before);
    if (error instanceof Signal) throw new Signal(error.type, before + error.text);
    throw error;
  }
}
