/** From words to options: one parser for all commands, so that wrong usage is always exit 2 with one line. */
import { type ParseArgsConfig, parseArgs } from "node:util";
import { GureumError } from "../core/errors.ts";

export interface Command {
  /** What `--help` prints. */
  readonly help: string;
  /** @returns the exit code */
  run(args: string[]): Promise<number>;
}

export interface Words {
  readonly positionals: readonly string[];
  readonly flag: (name: string) => boolean;
  readonly text: (name: string) => string | undefined;
  readonly list: (name: string) => readonly string[];
  /** The names of all options that were given. */
  readonly given: readonly string[];
  /** Whether it was given, as whatever. */
  readonly has: (name: string) => boolean;
  /** @throws GureumError "usage" where the word is no number */
  readonly number: (name: string) => number | undefined;
}

/** As node:util parseArgs takes them. */
export type WordOptions = NonNullable<ParseArgsConfig["options"]>;

/** `--temperature -1` as `--temperature=-1`: parseArgs would take the number for options. */
function joinNegative(args: readonly string[], options: WordOptions): string[] {
  const joined: string[] = [];
  for (const word of args) {
    const before = joined.at(-1);
    const takesValue = before?.startsWith("--") && options[before.slice(2)]?.type === "string";
    if (takesValue && /^-[\d.]/.test(word)) joined[joined.length - 1] = `${before}=${word}`;
    else joined.push(word);
  }
  return joined;
}

/** @throws GureumError "usage" */
export function parseWords(command: string, args: string[], options: WordOptions, maxPositionals: number): Words {
  let values: Record<string, unknown>;
  let positionals: string[];
  try {
    ({ values, positionals } = parseArgs({ args: joinNegative(args, options), options, allowPositionals: true, strict: true }));
  } catch (error) {
    const first = error instanceof Error ? error.message.split(/\.(\s|$)/)[0]! : String(error);
    throw usage(command, first);
  }
  if (positionals.length > maxPositionals)
    throw usage(
      command,
      `too many words: ${JSON.stringify(positionals[maxPositionals])}`,
      maxPositionals === 0 ? undefined : `put text that contains spaces between quotes; see gureum ${command} --help`,
    );
  return {
    positionals,
    given: Object.keys(values),
    flag: (name) => values[name] === true,
    text: (name) => values[name] as string | undefined,
    list: (name) => (values[name] as string[] | undefined) ?? [],
    has: (name) => values[name] !== undefined,
    number: (name) => {
      const word = values[name] as string | undefined;
      if (word === undefined) return undefined;
      const value = Number(word);
      if (word.trim() === "" || Number.isNaN(value)) throw usage(command, `--${name} takes a number, got ${JSON.stringify(word)}`);
      return value;
    },
  };
}

export const usage = (command: string, what: string, remedy: string = `see gureum ${command} --help`): GureumError =>
  new GureumError("usage", { where: command, what, remedy });

/** For options that could not act. @throws GureumError "usage" naming the first of them that is given, and why */
export function refuseIdle(command: string, words: Words, names: readonly string[], why: string): void {
  const idle = names.find((name) => words.has(name));
  if (idle !== undefined) throw usage(command, `--${idle} ${why}`);
}

/** For a way of running that takes these options alone. @throws GureumError "usage" naming the first other that is given, and why */
export function refuseOthers(command: string, words: Words, taken: readonly string[], why: string): void {
  const others = words.given.filter((name) => !taken.includes(name));
  refuseIdle(command, words, others, why);
}

/** What is wrong with a word is wrong usage, whatever `check` calls it. @throws GureumError "usage", with another remedy where one is given */
export function asUsage<T>(check: () => T, remedy?: string): T {
  try {
    return check();
  } catch (error) {
    throw error instanceof GureumError
      ? new GureumError("usage", { ...error.details, ...(remedy === undefined ? {} : { remedy }) })
      : error;
  }
}

/** --time as milliseconds: "90", "60s", "5m", "2h" or "50ms"; undefined without one. @throws GureumError "usage" */
export function parseTime(command: string, words: Words): number | undefined {
  const text = words.text("time");
  if (text === undefined) return undefined;
  const match = /^(\d+(?:\.\d+)?)(ms|s|m|h)?$/.exec(text);
  const units = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 };
  const ms = match ? Number(match[1]) * units[(match[2] ?? "s") as keyof typeof units] : 0;
  if (!(ms > 0)) throw usage(command, `--time takes a duration such as 60s, 5m or 2h, got ${JSON.stringify(text)}`);
  return ms;
}

/**
 * A list of token ids: "1,2,3" or "1 2 3"; "" is none.
 * @throws GureumError "usage", also for a place between commas that is empty
 */
export function parseIds(command: string, text: string): number[] {
  const list = text.trim();
  const words = list === "" ? [] : list.split(/\s*,\s*|\s+/);
  return words.map((word) => {
    if (!/^\d{1,10}$/.test(word)) throw usage(command, `--ids takes whole numbers, got ${JSON.stringify(word)}`);
    return Number(word);
  });
}
