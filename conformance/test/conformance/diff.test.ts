import { beforeAll, describe, expect, it } from "vitest";
import { openCheckpoint, readWeights } from "../../../core/checkpoint/weights.ts";
import { embeddedModelPath } from "../../../core/host/embedded.ts";
import { directoryStore } from "../../../core/host/node.ts";
import { cpuModel } from "../../../core/model/cpu.ts";
import type { Model } from "../../../core/model/engine.ts";
import type { LlamaWeights } from "../../../core/model/weights.ts";
import { type DiffSide, diffModels } from "../../watch/diff.ts";

let model: Model;
let sound: DiffSide;
let weights: LlamaWeights;
beforeAll(async () => {
  const checkpoint = await openCheckpoint(directoryStore(embeddedModelPath()));
  const whole = await readWeights(checkpoint.refs);
  // Two layers have every kind of step.
  weights = { ...whole, layers: whole.layers.slice(0, 2) };
  model = cpuModel({ ...checkpoint.config, numHiddenLayers: 2 }, weights);
  sound = { model };
  await checkpoint.close();
});

/** The same model with one value of one tap point replaced. */
const withFault = (name: string, index: number, change: (value: number) => number): DiffSide => ({
  model: {
    ...model,
    createSession(maxContext) {
      const session = model.createSession(maxContext);
      const spoil = ({ data }: { data: Float32Array }): Float32Array => data.map((v, i) => (i === index ? change(v) : v));
      return { ...session, forward: (ids, options) => session.forward(ids, { ...options, steer: { [name]: spoil } }) };
    },
  },
});

const ids = [1, 2038, 2544];

describe("diff", () => {
  it("finds nothing between a model and itself", async () => {
    const { steps, first } = await diffModels(sound, sound, weights, ids);
    expect(first).toBeNull();
    expect(steps).toHaveLength(1 + 2 * 16 + 2);
    for (const step of steps) expect(step.distance).toBe(0);
  });

  it.each([
    ["layers.1.inputLayernorm", "rms-norm"],
    ["layers.0.k", "awq-matmul"],
    ["layers.1.qRope", "rope"],
    ["layers.0.attentionWeights", "attention-weights"],
    ["layers.1.siluMul", "silu-mul"],
    ["layers.1.residual", "add"],
    ["logits", "matmul"],
  ])("names the step of a fault, not those it spreads to: %s", async (name, op) => {
    const { first } = await diffModels(
      sound,
      withFault(name, 5, (v) => v * 1.001 + 1e-4),
      weights,
      ids,
    );
    expect(first).toMatchObject({ side: "b", step: { name, op, b: { index: 5 } } });
  });

  it("takes a NaN for a fault", async () => {
    const { first } = await diffModels(
      sound,
      withFault("layers.0.up", 7, () => Number.NaN),
      weights,
      ids,
    );
    expect(first).toMatchObject({ side: "b", step: { name: "layers.0.up", distance: Number.POSITIVE_INFINITY } });
  });
});
