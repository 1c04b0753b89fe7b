/** The front door's converter: a model folder written in another format. The result gets its name in one step. */

import { host } from "#host";
import { checkCallback, checkOptionsObject, checkText, listening, type OptionNames, shown, wrongType } from "./core/arguments.ts";
import {
  type Converted,
  type ConvertOptions as CoreOptions,
  convertedBytes,
  convertModel,
  type Format,
  formats,
} from "./core/checkpoint/convert-model.ts";
import { openFolder } from "./core/checkpoint/folder.ts";
import { openCheckpoint } from "./core/checkpoint/weights.ts";
import { GureumError } from "./core/errors.ts";
import { withoutEnd } from "./core/text.ts";
import type { HubOptions } from "./hub/model.ts";
import { type ModelPlace, storeOf } from "./place.ts";

/** Where a folder is written, and as what. */
export interface ConvertOptions extends CoreOptions, Pick<HubOptions, "onDownload" | "onNote"> {
  /** The folder to write; it must not be there, or be empty. */
  readonly to: string;
  /** "awq-gemm", "compressed-tensors", "gptq", "gptq-v2" or "float16" */
  readonly format: Format;
}

const { checkFreeSpace, folderState, moveFolder, removeFolder, writeFolder } = host.files;

const optionNames: OptionNames<ConvertOptions> = {
  to: true,
  format: true,
  maxShardBytes: true,
  onProgress: true,
  onDownload: true,
  onNote: true,
};

/**
 * Writes a model folder in another format. Int4 to int4 keeps every number; "float16" rounds the dequantized weights.
 * @throws GureumError "usage", "unsupported", "range", "disk-full", "io", and what reading the model throws
 */
export async function convert(place: ModelPlace, given: ConvertOptions): Promise<Converted> {
  if (given === undefined || given === null) throw wrongType("convert", "options", "an object", given);
  const { to, format, ...options } = given;
  checkOptionsObject("convert", { to, format, ...options }, optionNames);
  checkText("convert", "to", to);
  for (const what of ["onProgress", "onDownload", "onNote"] as const) checkCallback("convert", what, options[what]);
  if (options.maxShardBytes !== undefined && !(Number.isSafeInteger(options.maxShardBytes) && options.maxShardBytes >= 1))
    throw new GureumError("usage", {
      where: "convert",
      what: "maxShardBytes",
      expected: "a whole number from 1",
      got: shown(options.maxShardBytes),
    });
  if (!formats.includes(format))
    throw new GureumError("usage", { where: "convert", what: "format", expected: formats.join(", "), got: shown(format) });
  if ((await folderState(to)) === "filled")
    throw new GureumError("usage", { where: to, what: "the folder is not empty", remedy: "give a new one, or remove it" });
  return listening(options, ["onProgress", "onDownload", "onNote"], (heard) => write(place, to, format, heard));
}

async function write(place: ModelPlace, to: string, format: Format, options: Omit<ConvertOptions, "to" | "format">): Promise<Converted> {
  const source = await openFolder(await storeOf(place, options));
  const checkpoint = await openCheckpoint(source);
  await checkpoint.close();
  await checkFreeSpace(to, convertedBytes(checkpoint, format));
  const part = `${withoutEnd(to, "/\\")}.part`;
  if ((await folderState(part)) !== "absent")
    throw new GureumError("usage", { where: part, what: "is in the way: a conversion that was ended leaves it", remedy: "remove it" });
  try {
    const converted = await writeFolder(part, (target) => convertModel(source, format, target, options));
    await moveFolder(part, to);
    return converted;
  } catch (error) {
    await removeFolder(part);
    throw error;
  }
}
