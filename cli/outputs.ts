/** Files that words name for results: looked at before the work is begun, so that nothing is computed for a place that takes no file. */
import { claim } from "../core/host/lock.ts";
import { checkWritable } from "../core/host/write.ts";
import { usage, type Words } from "./words.ts";

/** @throws GureumError "usage" where two of the words name one file; as `checkWritable` */
export async function checkOutputs(command: string, words: Words, names: readonly string[]): Promise<void> {
  const given = new Map<string, string>();
  for (const name of names) {
    const path = words.text(name);
    const file = path === undefined ? null : await checkWritable(path);
    if (file === null) continue;
    const other = given.get(file);
    if (other !== undefined) throw usage(command, `--${other} and --${name} name one file, ${path}`, "give two");
    given.set(file, name);
  }
}

/**
 * Takes a file that results are added to for this process alone; a device is anybody's.
 * @returns what lets it go
 * @throws GureumError "usage" where another process adds to it; as `checkWritable`
 */
export async function claimOutput(path: string): Promise<() => Promise<void>> {
  const file = await checkWritable(path);
  return file === null ? async () => {} : claim(file);
}
