/**
 * Files that carry a name and hold something else: a Git LFS pointer, a server's error page, another program's format.
 */
import { GureumError } from "../errors.ts";

/** First bytes, in lower case, and what they are the first bytes of. */
const beginnings: readonly (readonly [string, string, string])[] = [
  ["version https://git-lfs", "a Git LFS pointer, not the file itself", "run git lfs pull in the model folder, or download the file again"],
  ["<!doctype", "an HTML page, not the file itself", "download it again; the page may say why it was sent instead"],
  ["<html", "an HTML page, not the file itself", "download it again; the page may say why it was sent instead"],
  ["<?xml", "an XML message, not the file itself", "download it again; the message may say why it was sent instead"],
  ["gguf", "a GGUF file", "gureum reads safetensors: take that release of the model"],
  ["pk\x03\x04", "a zip archive, as PyTorch writes .bin files", "gureum reads safetensors: convert it, or take that release of the model"],
  ["\x1f\x8b", "a gzip archive", "unpack it"],
];

/** A damaged file's error with what to do about it, where it does not say so itself. */
export function orDownload(error: unknown): unknown {
  if (!(error instanceof GureumError) || error.code !== "format" || error.details.remedy !== undefined) return error;
  return new GureumError(error.code, { ...error.details, remedy: "download the file again" }, error.cause);
}

/** Letters, spaces and line ends of a text that a server may have sent. */
const isText = (head: string): boolean => /^[\x20-\x7e\r\n\t]{8,}$/.test(head);

/**
 * What the first bytes of a file say that it is, where that is none of gureum's formats; null where they do not say.
 * @param binary whether text is out of place as well
 */
export function foreignFile(where: string, head: Uint8Array, binary: boolean): GureumError | null {
  const text = String.fromCharCode(...head.subarray(0, 200));
  const lower = text.trimStart().toLowerCase();
  for (const [beginning, what, remedy] of beginnings)
    if (lower.startsWith(beginning)) return new GureumError("format", { where, what, remedy });
  if (!binary || !isText(text)) return null;
  const what = lower.startsWith("{") ? "a JSON message, not the file itself" : "a text, not the file itself";
  return new GureumError("format", { where, what, got: JSON.stringify(text.slice(0, 60)), remedy: "download it again" });
}
