/** What a command prints its table as. */
import { usage, type Words } from "./words.ts";

const formats = ["table", "markdown", "csv", "json"] as const;
type Format = (typeof formats)[number];

/** What `--format` says, a table where it is absent. @throws GureumError "usage" */
export function formatOf(command: string, words: Words): Format {
  const word = words.text("format") ?? "table";
  const format = formats.find((name) => name === word);
  if (!format) throw usage(command, `--format is one of ${formats.join(", ")}, got ${JSON.stringify(word)}`);
  return format;
}
