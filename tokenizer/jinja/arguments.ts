/** Arguments of functions, methods and filters. */
import { fail } from "./errors.ts";
import { type Keywords, kindOf, plain, type Value } from "./values.ts";

/** Values by the parameters' names in order; undefined where none is given. @throws GureumError "template" for one too many. */
export function bind(what: string, names: readonly string[], args: readonly Value[], keywords: Keywords, required = 0): Value[] {
  if (args.length > names.length) return fail(`${what} takes at most ${names.length} arguments, got ${args.length}`);
  for (const name of keywords.keys()) if (names.indexOf(name) < args.length) fail(`${what} takes no argument ${JSON.stringify(name)} here`);
  const bound = names.map((name, i) => (i < args.length ? args[i] : keywords.get(name)));
  for (let i = 0; i < required; i++)
    if (i >= args.length && !keywords.has(names[i]!)) fail(`${what} lacks its argument ${JSON.stringify(names[i])}`);
  return bound;
}

export const asText = (what: string, value: Value): string => {
  const text = plain(value);
  return typeof text === "string" ? text : fail(`${what} needs a string, got ${kindOf(value)}`);
};

export const asInt = (what: string, value: Value): number =>
  typeof value === "bigint" || typeof value === "boolean" ? Number(value) : fail(`${what} needs an int, got ${kindOf(value)}`);
