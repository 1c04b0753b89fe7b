/** `gureum generate`: raw continuation of a text. */
import { modelFromWords, modelHelp, modelOptions, noteSampling, runOptions, samplingHelp, samplingOptions, textInput } from "./options.ts";
import { runGeneration } from "./run.ts";
import { type Command, parseIds, parseWords, usage } from "./words.ts";

export const generate: Command = {
  help: `usage: gureum generate TEXT [options]
       gureum generate --ids 1,2,3 [options]      a model whose tokenizer cannot be read runs on ids, and answers in them

  --special-tokens            read special tokens in TEXT as such ("<s>" is one token); without it they are plain text
  --no-bos                    do not put the beginning-of-text token first
${modelHelp}
${samplingHelp}`,
  async run(args) {
    const words = parseWords(
      "generate",
      args,
      {
        ...modelOptions,
        ...samplingOptions,
        ids: { type: "string" },
        "no-bos": { type: "boolean" },
        "special-tokens": { type: "boolean" },
      },
      1,
    );
    const options = runOptions("generate", words);
    const [text] = words.positionals;
    const idsText = words.text("ids");
    if (text !== undefined && idsText !== undefined) throw usage("generate", "give TEXT or --ids, not both");
    if (text === undefined && idsText === undefined) throw usage("generate", "the text to continue is missing");
    const ids = idsText === undefined ? undefined : parseIds("generate", idsText);
    const model = await modelFromWords("generate", words, ids ? "ids" : "text");
    try {
      noteSampling(model, options);
      await runGeneration(model, ids ? { ids } : textInput(text!, words), options);
      return 0;
    } finally {
      model.dispose();
    }
  },
};
