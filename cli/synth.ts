/** `gureum synth`: a checkpoint of a real model's shape with seeded random weights. */
import { synthTensorBytes, synth as writeCheckpoint } from "../core/checkpoint/synth.ts";
import { synthShapes } from "../core/checkpoint/synth-shapes.ts";
import { GureumError } from "../core/errors.ts";
import { folderState } from "../core/host/folders.ts";
import { directoryStore } from "../core/host/node.ts";
import { checkFreeSpace, writeFolder } from "../core/host/write.ts";
import { progressBar } from "./progress.ts";
import { note } from "./terminal.ts";
import { type Command, parseWords, usage } from "./words.ts";

const names = Object.keys(synthShapes);

/** What a run writes, or leaves where it is killed. */
const ours = /^(config\.json|generation_config\.json|model[-\w]*\.safetensors|model\.safetensors\.index\.json|\..*\.part)$/;

/** A folder of a model or of anything else is not written over. @throws GureumError "usage" */
async function refuseOthers(path: string): Promise<void> {
  if ((await folderState(path)) !== "filled") return;
  const other = (await directoryStore(path).list()).find((name) => !ours.test(name));
  if (other === undefined) return;
  throw new GureumError("usage", { where: path, what: "the folder holds other files", got: other, remedy: "give a new one, or remove it" });
}

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
    await refuseOthers(path);
    await checkFreeSpace(path, synthTensorBytes(shape));
    const bar = progressBar("writing");
    let interrupted = false;
    process.once("SIGINT", () => {
      interrupted = true;
    });
    // Thrown from inside the writing, so that what is half-written goes.
    const onProgress = (done: number, total: number): void => {
      if (interrupted)
        throw new GureumError("aborted", { where: path, what: "interrupted, nothing was kept", remedy: "give the command again" });
      bar(done, total);
    };
    await writeFolder(path, (folder) => writeCheckpoint(shape, folder, { seed: words.number("seed") ?? 0, onProgress }));
    note(`wrote ${path}`);
    return 0;
  },
};
