/** `gureum convert`: a model folder written in another format. */
import { formats } from "../core/checkpoint/convert-model.ts";
import { convert as convertModel } from "../index.ts";
import { oneOf } from "./options.ts";
import { talk } from "./place.ts";
import { progressBar } from "./progress.ts";
import { note } from "./terminal.ts";
import { type Command, parseWords, usage } from "./words.ts";

export const convert: Command = {
  help: `usage: gureum convert DIR|NAME DST --to FORMAT

Writes a model, of a folder or by its name on the hub, to the new folder DST in another format, with its tokenizer and other small files.

  --to FORMAT                 awq-gemm, compressed-tensors, gptq, gptq-v2: an int4 model, number for number; what the format cannot
                              hold is refused
                              float16: every weight, int4 ones as (q − z) · s rounded to float16
  --shard-bytes N             bytes of a shard, at most (default: 5 GB)`,
  async run(args) {
    const words = parseWords("convert", args, { to: { type: "string" }, "shard-bytes": { type: "string" } }, 2);
    const [from, to] = words.positionals;
    if (from === undefined || to === undefined) throw usage("convert", "give the folder of a model and the folder to write");
    const format = oneOf("convert", words, "to", formats);
    if (format === undefined) throw usage("convert", `--to is missing: ${formats.join(", ")}`);
    const maxShardBytes = words.number("shard-bytes");
    if (maxShardBytes !== undefined && (!Number.isSafeInteger(maxShardBytes) || maxShardBytes < 1))
      throw usage("convert", `--shard-bytes takes a whole number from 1, got ${maxShardBytes}`);
    const { rounded } = await convertModel(from, {
      ...talk(),
      to,
      format,
      ...(maxShardBytes === undefined ? {} : { maxShardBytes }),
      onProgress: progressBar("writing"),
    });
    if (rounded.numbers > 0)
      note(`${rounded.numbers} numbers in ${rounded.tensors} tensors are not numbers of float16 and were rounded to the nearest`);
    note(`wrote ${to}`);
    return 0;
  },
};
