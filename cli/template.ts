/** Options of the commands that render a chat template. */
import type { ChatOptions } from "../index.ts";
import { parseJson, readText } from "./terminal.ts";
import { usage, type WordOptions, type Words } from "./words.ts";

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

/** @throws GureumError "usage", "not-found", "format" */
export async function templateFromWords(command: string, words: Words): Promise<ChatOptions> {
  const list = async (name: string): Promise<unknown[] | undefined> => {
    const path = words.text(name);
    if (path === undefined) return undefined;
    const value = parseJson(path, await readText(path));
    if (!Array.isArray(value)) throw usage(command, `--${name} takes a file with a JSON array`);
    return value;
  };
  const variables: Record<string, unknown> = {};
  for (const word of words.list("var")) {
    const [, name, json] = /^([^=\s]+)=(.*)$/s.exec(word) ?? [];
    if (name === undefined || json === undefined) throw usage(command, `--var takes NAME=JSON, got ${JSON.stringify(word)}`);
    variables[name] = parseJson(`--var ${name}`, json);
  }
  const [template, tools, documents] = [words.text("template"), await list("tools"), await list("documents")];
  return {
    ...(template === undefined ? {} : { template }),
    ...(tools ? { tools } : {}),
    ...(documents ? { documents } : {}),
    variables,
  };
}
