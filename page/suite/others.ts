/** The certificates of other devices that are committed with the sources, as files of the page, read when they are asked for. */
import type { Certificate } from "../../conformance/certificate/certificate.ts";
import { decodeNumbers } from "../../conformance/certificate/journal.ts";
import type { Row } from "../../conformance/check/row.ts";

const files: Readonly<Record<string, string>> = import.meta.glob(["../../docs/conformance/*.json", "!**/mutation.json"], {
  query: "?url",
  import: "default",
  eager: true,
});

/** Their names: "dawn-nvidia-h100". */
export const others: readonly string[] = Object.keys(files).map((path) => path.slice(path.lastIndexOf("/") + 1, -".json".length));

export async function openOther(name: string): Promise<Certificate> {
  const response = await fetch(files[`../../docs/conformance/${name}.json`]!);
  if (!response.ok) throw new Error(`${name}.json: ${response.status}`);
  return decodeNumbers(await response.text()) as Certificate;
}

export const keyOf = ({ op, backend, variant }: Row): string => `${op} ${backend}/${variant}`;
