/** `gureum logits`: what the model computes for given ids: to look at, or to a file. */
import { type TensorEntry, writeSafetensors } from "../core/checkpoint/safetensors.ts";
import { writeFile } from "../core/host/write.ts";
import type { LoadedModel } from "../index.ts";
import { modelFromWords, modelHelp, modelOptions, refuseTextOptions, textInput } from "./options.ts";
import { checkOutputs } from "./outputs.ts";
import { progressBar } from "./progress.ts";
import { breathe, note, printJson, printLine } from "./terminal.ts";
import { textFromWords, textHelp, textOptions } from "./text.ts";
import { type Command, parseIds, parseWords, usage } from "./words.ts";

export const logits: Command = {
  help: `usage: gureum logits --ids 1,2,3 | --text T | --file FILE [options]

${textHelp}
  --top N                     print the N likeliest next tokens of the last position (default: 10)
  --out FILE.safetensors      write logits [T, V] f32
  --hidden-states             with --out: also hidden_states [layers + 1, T, D] and final_norm [T, D], f32
  --special-tokens            with --text: read special tokens in it as such; without it they are plain text
  --no-bos                    with --text: do not put the beginning-of-text token first
  --json                      print one JSON object
${modelHelp}`,
  async run(args) {
    const words = parseWords(
      "logits",
      args,
      {
        ...modelOptions,
        ...textOptions,
        ids: { type: "string" },
        text: { type: "string" },
        top: { type: "string" },
        out: { type: "string" },
        "hidden-states": { type: "boolean" },
        "no-bos": { type: "boolean" },
        "special-tokens": { type: "boolean" },
        json: { type: "boolean" },
      },
      0,
    );
    const idsText = words.text("ids");
    if (idsText !== undefined && words.text("text") !== undefined) throw usage("logits", "give --ids or --text, not both");
    if (idsText !== undefined) refuseTextOptions("logits", words);
    const top = words.number("top") ?? 10;
    if (!Number.isInteger(top) || top < 0) throw usage("logits", `--top takes a whole number, got ${top}`);
    const out = words.text("out");
    const hidden = words.flag("hidden-states");
    if (hidden && out === undefined) throw usage("logits", "--hidden-states needs --out FILE");
    const text = await textFromWords("logits", words, words.text("text"), idsText !== undefined);
    if (text === undefined && idsText === undefined) throw usage("logits", "give --ids, --text or --file");
    const given = idsText !== undefined ? parseIds("logits", idsText) : undefined;
    await checkOutputs("logits", words, ["out"]);
    const input = given ? { ids: given } : textInput(text!, words);
    const model = await modelFromWords("logits", words, given ? "ids" : "text", ({ check }) => check(input));
    try {
      const ids = model.encodePrompt(input);
      const bar = progressBar("reading the text");
      const layers = model.config.numHiddenLayers;
      let layer = 0;
      bar(0, 1);
      const { logits: values, trace } = await model.forward(ids, {
        logits: out === undefined ? "last" : "all",
        // Watched, all ids go through one layer after the other; else part by part through all layers.
        ...(hidden
          ? {
              trace: ["embeddings", "layers.*.residual", "finalNorm"],
              steer: { "layers.*.residual": () => void bar(++layer, layers) },
            }
          : {
              onProgress: async (done: number) => {
                bar(done, ids.length);
                await breathe();
              },
            }),
      });
      const V = model.config.vocabSize;
      const last = values.subarray(values.length - V);
      if (out !== undefined) {
        const tensors: TensorEntry[] = [{ name: "logits", dtype: "F32", shape: [ids.length, V], data: bytesOf(values) }];
        if (hidden)
          tensors.push(
            ...hiddenTensors(
              model,
              ids.length,
              [...trace.values()].map((v) => v.data),
            ),
          );
        await writeFile(out, (sink) => writeSafetensors(tensors, sink));
        note(`wrote ${out}`);
      }
      const likeliest = model.sampler.topLogProbabilities(last, top).map(({ id, logprob }) => ({
        id,
        piece: model.tokenizer?.idToPiece(id) || null,
        logit: last[id]!,
        logprob,
      }));
      if (words.flag("json")) await printJson({ ids, top: likeliest });
      else
        for (const { id, piece, logit, logprob } of likeliest)
          await printLine(
            `${String(id).padStart(6)}  ${logit.toFixed(4).padStart(9)}  ${logprob.toFixed(4).padStart(9)}  ${JSON.stringify(piece)}`,
          );
      return 0;
    } finally {
      model.dispose();
    }
  },
};

const bytesOf = (values: Float32Array): Uint8Array => new Uint8Array(values.buffer, values.byteOffset, values.byteLength);

/** @param states embeddings, the residual stream after each layer, and the final norm, [T, D] each */
function hiddenTensors(model: LoadedModel, T: number, states: Float32Array[]): TensorEntry[] {
  const D = model.config.hiddenSize;
  const stream = new Float32Array((states.length - 1) * T * D);
  for (let i = 0; i < states.length - 1; i++) stream.set(states[i]!, i * T * D);
  return [
    { name: "hidden_states", dtype: "F32", shape: [states.length - 1, T, D], data: bytesOf(stream) },
    { name: "final_norm", dtype: "F32", shape: [T, D], data: bytesOf(states[states.length - 1]!) },
  ];
}
