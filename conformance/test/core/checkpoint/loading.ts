/** Loads files in memory as a checkpoint, or says why not. */
import { expect } from "vitest";
import { openCheckpoint, readWeights } from "../../../../core/checkpoint/weights.ts";
import { GureumError } from "../../../../core/errors.ts";
import { type Files, storeOf } from "./small-checkpoint.ts";

export async function load(files: Files): Promise<Awaited<ReturnType<typeof readWeights>>> {
  const checkpoint = await openCheckpoint(storeOf(files));
  try {
    return await readWeights(checkpoint.refs);
  } finally {
    await checkpoint.close();
  }
}

/** "code message" of the error that loading gives; nothing but a one-line GureumError passes. */
export async function refusal(files: Files): Promise<string> {
  try {
    await load(files);
  } catch (error) {
    expect(error).toBeInstanceOf(GureumError);
    expect((error as Error).message).not.toContain("\n");
    return `${(error as GureumError).code} ${(error as Error).message}`;
  }
  return "loaded";
}
