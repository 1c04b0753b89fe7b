/** The text that a command is given: a word, a file, or what is piped into it. */
import process from "node:process";
import { readText } from "./terminal.ts";
import { usage, type WordOptions, type Words } from "./words.ts";

export const textOptions: WordOptions = { file: { type: "string" } };

export const textHelp = `  --file FILE                 read the text from a file, or, as "-", from standard input; one line end at its end is left out.
                              Without any text, what is piped into the command is read`;

const withoutLastLineEnd = (text: string): string => text.replace(/\r?\n$/, "");

/**
 * The text, from where the words say.
 * @param word the text as a word, where there is one
 * @param others whether the words give something else to work on, so that standard input is not to be read
 * @returns undefined where there is none
 * @throws GureumError "usage" for two texts, "not-found", "io"
 */
export async function textFromWords(command: string, words: Words, word: string | undefined, others: boolean): Promise<string | undefined> {
  const file = words.text("file");
  if (file !== undefined) {
    if (word !== undefined || others) throw usage(command, "--file is the text: give nothing else to work on");
    return withoutLastLineEnd(await readText(file));
  }
  if (word !== undefined || others || process.stdin.isTTY) return word;
  return withoutLastLineEnd(await readText("-")) || undefined;
}
