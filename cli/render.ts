/** `gureum render`: chat messages to the text, or the ids, that the model sees. */
import { checkMessages, embeddedModel, openChat } from "../index.ts";
import { parseJson, print, printLine, readText } from "./terminal.ts";
import { type Command, parseWords, usage } from "./words.ts";

export const render: Command = {
  help: `usage: gureum render FILE.json [options]

FILE.json holds an array of {"role": …, "content": …}; "-" reads it from stdin.

  --model DIR                 model folder whose template is used (default: the small model that comes with gureum)
  --ids                       print the ids of the text instead`,
  async run(args) {
    const words = parseWords("render", args, { model: { type: "string" }, ids: { type: "boolean" } }, 1);
    const [path] = words.positionals;
    if (path === undefined) throw usage("render", "the file of messages is missing");
    const messages = checkMessages(path, parseJson(path, await readText(path)));
    const chat = await openChat(words.text("model") ?? embeddedModel());
    if (words.flag("ids")) await printLine(chat.encode(messages).join(","));
    else await print(chat.render(messages));
    return 0;
  },
};
