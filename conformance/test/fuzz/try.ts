/** One input to one target: null, or what is wrong. */
import { GureumError } from "../../../core/errors.ts";
import { targets } from "./targets.ts";

/** An error's line is for people: no longer than this, whatever the file holds. */
const MOST_LINE = 2000;

export async function tryInput(name: string, bytes: Uint8Array): Promise<string | null> {
  try {
    await targets[name]!.run(bytes);
    return null;
  } catch (error) {
    if (!(error instanceof GureumError))
      return `throws ${error instanceof Error ? (error.stack ?? error.message).split("\n").slice(0, 3).join(" ") : error}`;
    if (/[\n\r]/.test(error.message)) return `a message of several lines: ${JSON.stringify(error.message.slice(0, 200))}`;
    if (error.message.length > MOST_LINE) return `a message of ${error.message.length} characters`;
    return null;
  }
}
