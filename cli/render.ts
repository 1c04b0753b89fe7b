/** `gureum render`: chat messages to the text, or the ids, that the model sees. */
import { checkMessages, openChat } from "../index.ts";
import { modelWord } from "./options.ts";
import { modelPlace } from "./place.ts";
import { readTemplateJson, templateFromWords, templateHelp, templateOptions } from "./template.ts";
import { inputName, print, printLine } from "./terminal.ts";
import { type Command, parseWords, usage } from "./words.ts";

export const render: Command = {
  help: `usage: gureum render FILE.json [options]

FILE.json holds an array of {"role": …, "content": …}; "-" reads it from stdin. The prompt ends with the header of the
answer, as \`gureum chat\` feeds it.

${modelWord}
  --no-generation-prompt      leave out the header of the answer
  --continue-final-message    end inside the last message, for the model to go on with it
${templateHelp}
  --ids                       print the ids of the text instead`,
  async run(args) {
    const words = parseWords(
      "render",
      args,
      {
        ...templateOptions,
        model: { type: "string" },
        "no-generation-prompt": { type: "boolean" },
        "continue-final-message": { type: "boolean" },
        ids: { type: "boolean" },
      },
      1,
    );
    const [path] = words.positionals;
    if (path === undefined) throw usage("render", "the file of messages is missing");
    const messages = checkMessages(inputName(path), await readTemplateJson(path));
    const options = {
      ...(await templateFromWords("render", words)),
      ...(words.flag("no-generation-prompt") ? { addGenerationPrompt: false } : {}),
      continueFinalMessage: words.flag("continue-final-message"),
    };
    const chat = await openChat(await modelPlace(words.text("model"), "text"));
    if (words.flag("ids")) await printLine(chat.encode(messages, options).join(","));
    else await print(chat.render(messages, options));
    return 0;
  },
};
