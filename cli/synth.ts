/** `gureum synth`: a checkpoint of a real model's shape with seeded random weights. */
import { synthTensorBytes, synth as writeCheckpoint } from "../core/checkpoint/synth.ts";
import { synthShapes } from "../core/checkpoint/synth-shapes.ts";
import { GureumError } from "../core/errors.ts";
import { checkFreeSpace, writeFolder } from "../core/host/node.ts";
import { progressBar } from "./progress.ts";
import { note } from "./terminal.ts";
import { type Command, parseWords, usage } from "./words.ts";

const names = Object.keys(synthShapes);

export const synth: Command = {
  help: `usage: gureum synth --shape NAME DIR [options]

  --shape NAME                ${names.join(", ")}
  --seed S                    same seed, same bytes (default: 0)`,
  async run(args) {
    const words = parseWords("synth", args, { shape: { type: "string" }, seed: { type: "string" } }, 1);
    const [path] = words.positionals;
    const name = words.text("shape");
    const shape = Object.entries(synthShapes).find(([known]) => known === name)?.[1];
    if (!shape) throw usage("synth", `--shape is one of ${names.join(", ")}${name === undefined ? "" : `, got ${JSON.stringify(name)}`}`);
    if (path === undefined) throw usage("synth", "the folder to write is missing");
    await checkFreeSpace(path, synthTensorBytes(shape));
    const bar = progressBar("writing");
    let interrupted = false;
    process.once("SIGINT", () => {
      interrupted = true;
    });
    // Thrown from inside the writing, so that what is half-written goes.
    const onProgress = (done: number, total: number): void => {
      if (interrupted) throw new GureumError("aborted", { where: path, what: "interrupted, nothing was kept" });
      bar(done, total);
    };
    await writeFolder(path, (folder) => writeCheckpoint(shape, folder, { seed: words.number("seed") ?? 0, onProgress }));
    note(`wrote ${path}`);
    return 0;
  },
};
