/** `gureum inspect`: what a checkpoint holds, needs, and what is wrong with it, from headers alone. */
import { totalmem } from "node:os";
import { formatReport, inspectFile, isBroken } from "../core/checkpoint/inspect.ts";
import { fileSource } from "../core/host/node.ts";
import { formatBytes } from "../core/text.ts";
import { formatUses, inspectModel } from "../inspect.ts";
import { modelLook } from "./place.ts";
import { printJson, printLine } from "./terminal.ts";
import { type Command, parseWords, usage } from "./words.ts";

export const inspect: Command = {
  help: `usage: gureum inspect DIR|NAME|FILE.safetensors [options]

Architecture, quantization, every tensor, bytes on disk, bytes needed to run, every problem found in checkpoint, tokenizer and chat template,
and which commands and backends will run. Reads headers and small files only, also of a model
by name (org/name[@revision]), of which it downloads no more; damaged numbers show when the weights are read.
Exit code 1 where the files break their format or cannot be loaded.

  --json                      print one JSON object`,
  async run(args) {
    const words = parseWords("inspect", args, { json: { type: "boolean" } }, 1);
    const [path] = words.positionals;
    if (path === undefined) throw usage("inspect", "the folder or file is missing");
    if (path.endsWith(".safetensors")) return inspectOne(path, words.flag("json"));
    const report = await inspectModel(await modelLook(path));
    if (words.flag("json")) await printJson(report);
    else {
      await printLine(formatReport(report));
      await printLine(`\n${formatUses(report.uses)}`);
      const least = report.memory.find(({ backend }) => backend === "cpu");
      if (least)
        await printLine(
          `\nthis machine has ${formatBytes(totalmem())} of memory: the CPU reference ${least.totalBytes < totalmem() ? "fits" : "does not fit"} with ${least.contextLength} tokens (WebGPU does not tell how much memory a device has)`,
        );
    }
    return isBroken(report) ? 1 : 0;
  },
};

async function inspectOne(path: string, json: boolean): Promise<number> {
  const source = await fileSource(path);
  try {
    const report = await inspectFile(source);
    if (json) await printJson(report);
    else await printLine(formatReport(report));
    return isBroken(report) ? 1 : 0;
  } finally {
    await source.close();
  }
}
