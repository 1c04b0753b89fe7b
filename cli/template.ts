/** Options of the commands that render a chat template. */

import { within } from "../core/errors.ts";
import { encodeUtf8 } from "../core/utf8.ts";
import { type ChatOptions, parseTemplateJson } from "../index.ts";
import { inputName, readText } from "./terminal.ts";
import { asUsage, usage, type WordOptions, type Words } from "./words.ts";

export const templateOptions: WordOptions = {
  template: { type: "string" },
  tools: { type: "string" },
  documents: { type: "string" },
  var: { type: "string", multiple: true },
};

export const templateHelp = `  --template NAME             which of the model's chat templates (default: tool_use with --tools where there is one, else default)
  --tools FILE.json           functions that the model may call: an array of JSON schemas
  --documents FILE.json       documents for the template: an array of objects
  --var NAME=JSON             a variable of the template: --var enable_thinking=false; may be repeated`;

const parse = (where: string, text: string): unknown => within(where, () => parseTemplateJson(encodeUtf8(text)));

/** A file of JSON for a template, or standard input for "-". @throws GureumError "not-found", "io", "format" */
export const readTemplateJson = async (path: string): Promise<unknown> => parse(inputName(path), await readText(path));

/** @throws GureumError "usage", "not-found", "format" */
export async function templateFromWords(command: string, words: Words): Promise<ChatOptions> {
  const list = async (name: string): Promise<unknown[] | undefined> => {
    const path = words.text(name);
    if (path === undefined) return undefined;
    const value = await readTemplateJson(path);
    if (!Array.isArray(value)) throw usage(command, `--${name} takes a file with a JSON array`);
    return value;
  };
  const variables: Record<string, unknown> = {};
  for (const word of words.list("var")) {
    const [, name, json] = /^([^=\s]+)=(.*)$/s.exec(word) ?? [];
    if (name === undefined || json === undefined) throw usage(command, `--var takes NAME=JSON, got ${JSON.stringify(word)}`);
    // The shell may have eaten its quotes.
    variables[name] = asUsage(() => parse(`--var ${name}`, json), `a text is quoted: --var '${name}="…"'`);
  }
  const [template, tools, documents] = [words.text("template"), await list("tools"), await list("documents")];
  return {
    ...(template === undefined ? {} : { template }),
    ...(tools ? { tools } : {}),
    ...(documents ? { documents } : {}),
    variables,
  };
}
