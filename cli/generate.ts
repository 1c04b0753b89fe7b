/** `gureum generate`: raw continuation of a text. */
import { modelFromWords, modelHelp, modelOptions, runOptions, samplingHelp, samplingOptions, textInput } from "./options.ts";
import { runGeneration } from "./run.ts";
import { type Command, parseWords, usage } from "./words.ts";

export const generate: Command = {
  help: `usage: gureum generate TEXT [options]

  --special-tokens            read special tokens in TEXT as such ("<s>" is one token); without it they are plain text
  --no-bos                    do not put the beginning-of-text token first
${modelHelp}
${samplingHelp}`,
  async run(args) {
    const words = parseWords(
      "generate",
      args,
      { ...modelOptions, ...samplingOptions, "no-bos": { type: "boolean" }, "special-tokens": { type: "boolean" } },
      1,
    );
    const options = runOptions("generate", words);
    const [text] = words.positionals;
    if (text === undefined) throw usage("generate", "the text to continue is missing");
    const model = await modelFromWords("generate", words, "text");
    try {
      await runGeneration(model, textInput(text, words), options);
      return 0;
    } finally {
      model.dispose();
    }
  },
};
