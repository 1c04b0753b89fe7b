/** `gureum verify`: computes what a receipt claims again, on this machine's device, and says the first position that differs. */
import { modelFiles, sha256 } from "../core/host/hash.ts";
import { directoryStore } from "../core/host/node.ts";
import { checkFits, checkModelFiles, parseReceipt, verifyReceipt } from "../core/receipt.ts";
import { loadModel } from "../index.ts";
import { adapterFromWords, adapterHelp, adapterOptions, modelWord, oneOf } from "./options.ts";
import { modelPlace } from "./place.ts";
import { progressBar } from "./progress.ts";
import { breathe, note, printJson, printLine, readText } from "./terminal.ts";
import { type Command, parseWords, usage } from "./words.ts";

export const verify: Command = {
  help: `usage: gureum verify RECEIPT|- [options]

Checks a receipt of \`gureum generate --receipt\`: that it was not changed, that the model is the one it names, and, in one pass over prompt
and answer, that the logits have the bits on it and that its ids are drawn from them. Exit code 1, and the first difference, where not.

  --positions all|N           check every id, or N of them, spread evenly (default: all)
${modelWord}
  --backend auto|cpu|webgpu   where to compute (default: auto); any gives the same verdict
${adapterHelp}
  --json                      print one JSON object`,
  async run(args) {
    const words = parseWords(
      "verify",
      args,
      {
        positions: { type: "string" },
        model: { type: "string" },
        backend: { type: "string" },
        ...adapterOptions,
        json: { type: "boolean" },
      },
      1,
    );
    const [path] = words.positionals;
    if (path === undefined) throw usage("verify", "the receipt is missing");
    const backend = oneOf("verify", words, "backend", ["auto", "cpu", "webgpu"]) ?? "auto";
    const wanted = words.text("positions") ?? "all";
    const positions = wanted === "all" ? "all" : Number(wanted);
    if (positions !== "all" && !(Number.isInteger(positions) && positions >= 1))
      throw usage("verify", `--positions takes all or a whole number from 1, got ${JSON.stringify(wanted)}`);
    const receipt = parseReceipt(await readText(path), sha256);
    const folder = await modelPlace(words.text("model"));
    checkModelFiles(receipt, await modelFiles(directoryStore(folder), progressBar("hashing the model")));
    const model = await loadModel(folder, {
      backend,
      arithmetic: "exact",
      ...adapterFromWords(words),
      before: ({ config }) => checkFits(receipt, config),
      onProgress: progressBar("loading"),
    });
    if (backend === "auto") note(`backend: ${model.backend} (${model.backendReason})`);
    try {
      const bar = progressBar("verifying");
      const started = performance.now();
      const checked = await verifyReceipt(model, sha256, receipt, positions, async (done, total) => {
        bar(done, total);
        await breathe();
      });
      const ms = Math.round(performance.now() - started);
      if (words.flag("json")) await printJson({ verified: true, checked, ids: receipt.ids.length, backend: model.backend, ms });
      else
        await printLine(
          `verified: ${checked} of ${receipt.ids.length} ids, ${receipt.prompt.length} prompt tokens, on ${model.backend} in ${ms} ms`,
        );
      return 0;
    } finally {
      model.dispose();
    }
  },
};
