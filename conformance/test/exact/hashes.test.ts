/**
 * Goldens of `exact` are hashes: whoever computes other logits for these models and ids, does not compute `exact` 1.
 * About 3 s of CPU.
 */
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { exactCpuModel } from "../../../core/exact/model.ts";
import { type ExactOps, referenceExactOps } from "../../../core/exact/ops.ts";
import { type ExactCase, embeddedCase, randomCases } from "../fixtures/exact-models.ts";
import { dataFile } from "../fixtures/golden.ts";
import { suiteExactOps } from "../fixtures/ops.ts";

const hashes = JSON.parse(readFileSync(dataFile("exact/hashes.json"), "utf8")) as Record<string, string>;
const sha256 = (logits: Float32Array): string =>
  createHash("sha256")
    .update(new Uint8Array(logits.buffer, logits.byteOffset, logits.byteLength))
    .digest("hex");

async function logitsOf({ config, weights, ids }: ExactCase, chunk: number, ops: ExactOps): Promise<Float32Array> {
  const session = exactCpuModel(config, weights, ops).createSession(32);
  const logits = new Float32Array(ids.length * config.vocabSize);
  for (let t = 0; t < ids.length; t += chunk)
    logits.set((await session.forward(ids.slice(t, t + chunk), { logits: "all" })).logits, t * config.vocabSize);
  return logits;
}

const suite = await suiteExactOps();

describe.each([
  ["the suite's ops", suite],
  ["the JavaScript ops", referenceExactOps],
] as const)("exact on %s", (_, ops) => {
  it("gives the logits of gureum-tiny-awq that are on record, 17 ids at a time and one", async () => {
    const embedded = await embeddedCase();
    expect(sha256(await logitsOf(embedded, 17, ops))).toBe(hashes[embedded.name]);
    if (ops === suite) expect(sha256(await logitsOf(embedded, 1, ops))).toBe(hashes[embedded.name]);
  });

  it.each(randomCases().map((c) => [c.name, c] as const))("gives the logits on record, however it is fed: %s", async (name, c) => {
    expect(sha256(await logitsOf(c, c.ids.length, ops))).toBe(hashes[name]);
    expect(sha256(await logitsOf(c, 4, ops))).toBe(hashes[name]);
    expect(sha256(await logitsOf(c, 1, ops))).toBe(hashes[name]);
  });
});

describe("hashes of exact", () => {
  it("are on record for each of these models and no other", () => {
    expect(Object.keys(hashes).sort()).toEqual(["gureum-tiny-awq", ...randomCases().map(({ name }) => name)].sort());
  });
});
