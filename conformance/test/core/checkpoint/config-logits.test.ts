/**
 * What a config.json means: the logits of one set of weights under many configs are those that transformers computes in
 * float64 (fixtures/data/configs, scripts/config_cases.py).
 */
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { memoryStore } from "../../../../core/checkpoint/byte-source.ts";
import { openCheckpoint, readWeights } from "../../../../core/checkpoint/weights.ts";
import { cpuModel } from "../../../../core/model/cpu.ts";
import { f64 } from "../../../accuracy.ts";
import { logitBounds } from "../../../watch/composed.ts";
import { dataFile } from "../../fixtures/golden.ts";
import { rewrite } from "./small-checkpoint.ts";
import { bytes } from "./small-config.ts";

interface Case {
  readonly name: string;
  readonly config: Readonly<Record<string, unknown>>;
  /** Patterns of tensors that are not in the file. */
  readonly leaves: readonly string[];
  readonly logits: readonly number[];
}
const { ids, cases } = JSON.parse(readFileSync(dataFile("configs/cases.json"), "utf8")) as { ids: number[]; cases: Case[] };
const weightsFile = readFileSync(dataFile("configs/weights.safetensors"));

describe("a config.json", () => {
  it.each(cases)("has the logits that transformers computes: $name", async ({ config: written, leaves, logits: expected }) => {
    const files = new Map([
      ["config.json", bytes(written)],
      ["model.safetensors", new Uint8Array(weightsFile)],
    ]);
    await rewrite(files, "model.safetensors", (entry) => (leaves.some((pattern) => new RegExp(pattern).test(entry.name)) ? null : entry));
    const { config, refs, close } = await openCheckpoint(memoryStore("m", files));
    const weights = await readWeights(refs);
    await close();
    const { logits, trace } = await cpuModel(config, weights)
      .createSession(ids.length)
      .forward(ids, { logits: "all", trace: ["*", "layers.*.*"] });
    const bounds = logitBounds(config, weights, ids, trace, f64);
    const last = logits.length - config.vocabSize;
    for (const [id, logit] of expected.entries())
      expect(Math.abs(logits[last + id]! - logit), `${id}`).toBeLessThanOrEqual(bounds[last + id]!);
    // What a case changes moves logits by a twentieth of the largest and more, where it should change anything.
    expect(Math.max(...bounds.subarray(last))).toBeLessThan(2 ** -6 * Math.max(...expected.map(Math.abs)));
  });
});
