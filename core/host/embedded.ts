/**
 * Where the small model that comes with gureum lies: beside the sources in a checkout, one folder up from the build.
 */
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";

/** Path of `models/gureum-tiny-awq`. */
export function embeddedModelPath(): string {
  const candidates = ["../../models/gureum-tiny-awq", "../../../models/gureum-tiny-awq"];
  const paths = candidates.map((relative) => fileURLToPath(new URL(relative, import.meta.url)));
  return paths.find((path) => existsSync(path)) ?? paths[0]!;
}
