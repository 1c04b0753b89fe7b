/**
 * Checkpoints made by the tools that people use (fixtures/data/checkpoints, scripts/checkpoints.py): the weights that
 * are read are the dialect's own definition bit for bit, and the logits those of an independent float64 forward pass.
 */
import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { inspectFolder } from "../../../../core/checkpoint/inspect.ts";
import { openCheckpoint, readWeights } from "../../../../core/checkpoint/weights.ts";
import { directoryStore } from "../../../../core/host/node.ts";
import { cpuModel } from "../../../../core/model/cpu.ts";
import { linearParts, partKey } from "../../../../core/model/layer.ts";
import { dequantize } from "../../../../core/quant/awq-format.ts";
import type { AwqMatrix } from "../../../../core/tensor.ts";
import { f64 } from "../../../accuracy.ts";
import { logitBounds } from "../../../watch/composed.ts";
import { checkSteps } from "../../../watch/stepwise.ts";
import { dataFile } from "../../fixtures/golden.ts";
import { editJson, rewrite, storeOf } from "./small-checkpoint.ts";

interface Expected {
  readonly ids: readonly number[];
  readonly logits: readonly number[];
  /** SHA-256 of each quantized linear's W [N, K], f32. */
  readonly weights?: Readonly<Record<string, string>>;
}

const quantizations: Readonly<Record<string, string | undefined>> = {
  "auto-round-awq-sym": "awq",
  "auto-round-packing-awq": "awq",
  "auto-round-packing-gptq": "gptq",
  "auto-round-packing-gptqmodel": "gptq-v2",
  "autoawq-gemm": "awq",
  "compressed-tensors-asym-f16": "compressed-tensors",
  "compressed-tensors-sym-bf16": "compressed-tensors",
  "gptqmodel-v1": "gptq",
  "gptqmodel-v2-asym": "gptq-v2",
};

/** [K, N] to [N, K]. */
function transposed(values: Float32Array, K: number, N: number): Float32Array {
  const out = new Float32Array(values.length);
  for (let k = 0; k < K; k++) for (let n = 0; n < N; n++) out[n * K + k] = values[k * N + n]!;
  return out;
}

describe.each(readdirSync(dataFile("checkpoints")).filter((name) => !name.includes(".")))("the checkpoint %s", (name) => {
  const folder = dataFile(`checkpoints/${name}`);
  const expected = JSON.parse(readFileSync(`${folder}/expected.json`, "utf8")) as Expected;
  const load = async () => {
    const checkpoint = await openCheckpoint(directoryStore(folder));
    try {
      return { config: checkpoint.config, weights: await readWeights(checkpoint.refs), notes: checkpoint.notes() };
    } finally {
      await checkpoint.close();
    }
  };

  it("is read without a word of doubt, every linear as it is stored", async () => {
    const { config, weights, notes } = await load();
    expect(notes).toEqual([]);
    expect(config.quantization?.layout).toBe(quantizations[name]);
    const kind = expected.weights ? "awq" : "dense";
    for (const layer of weights.layers) for (const part of linearParts) expect(layer[part.name].weight.kind).toBe(kind);
  });

  it.skipIf(!expected.weights)("has weights that are the definition of its dialect, bit for bit", async () => {
    const { weights } = await load();
    for (const [i, layer] of weights.layers.entries())
      for (const part of linearParts) {
        const matrix = layer[part.name].weight as AwqMatrix;
        const values = transposed(dequantize(matrix), matrix.inFeatures, matrix.outFeatures);
        const hash = createHash("sha256").update(new Uint8Array(values.buffer)).digest("hex");
        expect(hash, part.name).toBe(expected.weights![partKey(i, part)]);
      }
  });

  it("has the logits of an independent float64 forward pass", async () => {
    const { config, weights } = await load();
    const { ids } = expected;
    const { logits, trace } = await cpuModel(config, weights)
      .createSession(16)
      .forward(ids, { logits: "all", trace: ["*", "layers.*.*"] });
    const bounds = logitBounds(config, weights, ids, trace, f64);
    const last = (ids.length - 1) * config.vocabSize;
    for (const [id, logit] of expected.logits.entries())
      expect(Math.abs(logits[last + id]! - logit), `${id}`).toBeLessThanOrEqual(bounds[last + id]!);
    // Composed bounds are wide; each step alone is held to its own, and a part left out or misread moves logits by more than this.
    for (const { name: step, worst } of checkSteps(config, weights, ids, trace, 16, f64, 1))
      expect(worst?.headroom ?? 0, step).toBeLessThanOrEqual(1);
    expect(Math.max(...bounds)).toBeLessThan(2 ** -5 * Math.max(...expected.logits.map(Math.abs)));
  });
});

it.each([
  ["says it is of the other version", { checkpoint_format: "gptq_v2" }, 0x77, /zero points other than 8, though the config says symmetric/],
  ["stores 15", { sym: false }, 0xff, /group 0, output 0: a stored zero point of 15/],
])("a GPTQ checkpoint that %s is refused, by inspect too", async (_what, changes, byte, message) => {
  const folder = dataFile("checkpoints/gptqmodel-v1");
  const files = new Map(["config.json", "model.safetensors"].map((file) => [file, new Uint8Array(readFileSync(`${folder}/${file}`))]));
  editJson(files, "config.json", ({ quantization_config }) => Object.assign(quantization_config as object, changes));
  await rewrite(files, "model.safetensors", (entry) =>
    entry.name.endsWith("q_proj.qzeros") ? { ...entry, data: (entry.data as Uint8Array).slice().fill(byte) } : entry,
  );
  const { refs, close } = await openCheckpoint(storeOf(files));
  await expect(readWeights(refs)).rejects.toThrow(message);
  await close();
  const { problems } = await inspectFolder(storeOf(files));
  expect(problems.filter(({ severity }) => severity === "error").map(({ message: text }) => text)).toEqual([
    expect.stringMatching(message),
  ]);
});
