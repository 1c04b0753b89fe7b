/** `gureum generate`: raw continuation of a text. */
import { modelFromWords, modelHelp, modelOptions, runOptions, samplingHelp, samplingOptions } from "./options.ts";
import { runGeneration } from "./run.ts";
import { type Command, parseWords, usage } from "./words.ts";

export const generate: Command = {
  help: `usage: gureum generate TEXT [options]

  --no-bos                    do not put the beginning-of-text token first
${modelHelp}
${samplingHelp}`,
  async run(args) {
    const words = parseWords("generate", args, { ...modelOptions, ...samplingOptions, "no-bos": { type: "boolean" } }, 1);
    const options = runOptions("generate", words);
    const [text] = words.positionals;
    if (text === undefined) throw usage("generate", "the text to continue is missing");
    const model = await modelFromWords("generate", words);
    try {
      await runGeneration(model, { text, ...(words.flag("no-bos") ? { addBos: false } : {}) }, options);
      return 0;
    } finally {
      model.dispose();
    }
  },
};
