/** What to do about an error that does not say it: by its kind. */
import type { ErrorCode, GureumError } from "../core/errors.ts";

const anew = "get the file anew; if it stays so, tell whoever made it";
const byCode: Partial<Record<ErrorCode, string>> = {
  "not-found": "check the name",
  io: "check the path and its disk",
  network: "check the connection, and give the command again",
  format: anew,
  "missing-tensor": anew,
  "non-finite": anew,
  unsupported: "docs/supported.md says what gureum runs",
  template: "take another template, or tell whoever made this one",
  "out-of-memory": "close other programs, or take a smaller model or a shorter context",
  "device-lost": "give the command again, or take --backend cpu",
  pipeline: "take --backend cpu, and report this line with the device",
  worker: "give the command again, or take --threads 1",
};

/** The error's line, with a remedy where there is one for its kind. A file that a person wrote is put right by what was expected of it. */
export function lineOf({ code, details, message }: GureumError): string {
  const remedy = details.remedy === undefined && !(code === "format" && details.expected !== undefined) ? byCode[code] : undefined;
  return remedy === undefined ? message : `${message} — ${remedy}`;
}
