/** What callers give to public functions, looked at before it is used: JavaScript has no types to do it. */
import { GureumError } from "./errors.ts";

/** A value in a message: its kind, and what it is where that is short. */
export function shown(value: unknown): string {
  if (value === null || value === undefined || typeof value === "number" || typeof value === "boolean") return `${value as null}`;
  if (value instanceof Promise) {
    value.catch(() => {}); // refused as it is, whatever becomes of it
    return "a promise";
  }
  if (typeof value === "string") return JSON.stringify(value.slice(0, 40));
  return Array.isArray(value) ? "an array" : typeof value === "object" ? "an object" : `a ${typeof value}`;
}

export const wrongType = (where: string, what: string, expected: string, value: unknown): GureumError =>
  new GureumError("usage", { where, what: `${what} has the wrong type`, expected, got: shown(value) });

/** @throws GureumError "usage" */
export function checkText(where: string, what: string, value: unknown): asserts value is string {
  if (typeof value !== "string") throw wrongType(where, what, "a string", value);
}

/** Every option of a type by its name: what a caller may give. */
export type OptionNames<T> = Readonly<Record<keyof T, true>>;

/**
 * Options, or none. An option of another name is an error: a misspelt one would be silently without effect.
 * @throws GureumError "usage"
 */
export function checkOptionsObject(where: string, value: unknown, names?: Readonly<Record<string, true>>): void {
  if (value === undefined) return;
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw wrongType(where, "options", "an object", value);
  if (names) checkOptionNames(where, value, names);
}

/** @throws GureumError "usage" for an option that is given and of none of the names */
export function checkOptionNames(where: string, value: object, names: Readonly<Record<string, true>>): void {
  for (const [name, given] of Object.entries(value))
    if (given !== undefined && !Object.hasOwn(names, name))
      throw new GureumError("usage", {
        where,
        what: "no such option",
        expected: `one of ${Object.keys(names).join(", ")}`,
        got: shown(name),
      });
}

/** A function, or none. @throws GureumError "usage" */
export function checkCallback(where: string, what: string, value: unknown): void {
  if (value !== undefined && typeof value !== "function") throw wrongType(where, what, "a function", value);
}

/** Something with a length and numbers; what they may be is the receiver's to say. @throws GureumError "usage" */
export function checkIdList(where: string, what: string, value: unknown): void {
  const isList = Array.isArray(value) || (ArrayBuffer.isView(value) && !(value instanceof DataView));
  if (!isList) throw wrongType(where, what, "an array of ids", value);
}

/** Options whose callbacks are listened to, and how a call that is given them ends. */
export interface Heard<T> {
  readonly heard: T;
  /** What `work` gives, or the error of a callback, which `undo` is told of. */
  end<R>(work: Promise<R>, undo?: (result: R) => void): Promise<R>;
}

/**
 * Listens to callbacks of these names that are called and not waited for. One may fail, at once or, where it gives a promise, later: the next
 * call of any throws its error then, and so does the end.
 */
export function hear<T extends object>(options: T, names: readonly (keyof T)[]): Heard<T> {
  let failed: { readonly error: unknown } | undefined;
  const open = new Set<Promise<void>>();
  const check = (): void => {
    if (failed) throw failed.error;
  };
  const fail = (error: unknown): void => {
    failed ??= { error };
  };
  const heard = { ...options };
  for (const name of names) {
    const callback: unknown = options[name];
    if (typeof callback !== "function") continue;
    const call = (...args: unknown[]): void => {
      check();
      let given: unknown;
      try {
        given = callback(...args);
      } catch (error) {
        fail(error);
        throw error;
      }
      if (typeof (given as PromiseLike<unknown> | undefined)?.then !== "function") return;
      const settled = Promise.resolve(given)
        .then(() => {}, fail)
        .then(() => void open.delete(settled));
      open.add(settled);
    };
    heard[name] = call as T[keyof T];
  }
  return {
    heard,
    async end(work, undo = () => {}) {
      const result = await work.catch((error: unknown) => {
        check(); // what it ends in may be what came of the callback's error
        throw error;
      });
      try {
        await Promise.all(open);
        check();
      } catch (error) {
        undo(result);
        throw error;
      }
      return result;
    },
  };
}

/** Runs `body` on options whose callbacks of these names are listened to, as `hear` says. */
export async function listening<T extends object, R>(
  options: T,
  names: readonly (keyof T)[],
  body: (options: T) => Promise<R>,
  undo?: (result: R) => void,
): Promise<R> {
  const { heard, end } = hear(options, names);
  return end(body(heard), undo);
}
