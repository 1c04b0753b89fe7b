/** Training on the device against its CPU twin: the same outputs, divergence, and steps. */
import { describe, expect, it } from "vitest";
import type { LlamaConfig } from "../../../core/config.ts";
import { linearParts, makeLayer } from "../../../core/model/layer.ts";
import { referenceOps } from "../../../core/model/ops.ts";
import { ropeTables } from "../../../core/ops/rope.ts";
import { gridsOf, rangesOf, roundToNearest } from "../../../core/quant/search/grid.ts";
import { latentOf } from "../../../core/quant/train/latent.ts";
import type { TrainedLayer, TrainedLinear } from "../../../core/quant/train/layer.ts";
import { singles } from "../../../core/quant/train/numbers.ts";
import { aloneCrew } from "../../../core/quant/train/train.ts";
import { type LatentLayer, makeTraining } from "../../../core/quant/train/training.ts";
import { runLessons } from "../../../core/quant/train/work.ts";
import { makeTrainer } from "../../../gpu/training/trainer.ts";
import { numbers } from "../fixtures/random-model.ts";
import { testDevice } from "./device.ts";

const config = {
  hiddenSize: 32,
  intermediateSize: 48,
  numHiddenLayers: 2,
  numAttentionHeads: 4,
  numKeyValueHeads: 2,
  headDim: 8,
  vocabSize: 64,
  rmsNormEps: 1e-5,
  slidingWindow: null,
  qkNorm: false,
  ropeTheta: 100,
  ropeScaling: { type: "none" },
  maxPositionEmbeddings: 32,
} as unknown as LlamaConfig;
const groupSize = 16;
const next = numbers(11);
const random = (length: number, size = 1): Float32Array<ArrayBuffer> => Float32Array.from({ length }, () => size * next());

const layers: LatentLayer[] = [0, 1].map(() => {
  const latents = linearParts.map(({ name, outFeatures, inFeatures }) => {
    const [N, K] = [outFeatures(config), inFeatures(config)];
    const W = random(N * K, 1.5 / Math.sqrt(K));
    const grids = gridsOf(rangesOf(W, N, K, groupSize), 3, groupSize);
    return [name, latentOf(W, { q: roundToNearest(W, grids), grids }, N, K)] as const;
  });
  return {
    latents: Object.fromEntries(latents) as LatentLayer["latents"],
    biases: makeLayer(
      () => null,
      () => null,
    ) as LatentLayer["biases"],
    norms: {
      inputLayernorm: random(32, 0.3).map((w) => 1 + w),
      postAttentionLayernorm: random(32, 0.3).map((w) => 1 + w),
      qNorm: null,
      kNorm: null,
    },
  };
});
const texts = [7, 1, 13, 9].map((T, i) => Array.from({ length: T }, (_, t) => (11 * i + 5 * t * t + 3 * t) % 64));
const head = { norm: random(32, 0.2).map((w) => 1 + w), weight: random(64 * 32, 0.5) };
const embeddings = random(64 * 32);
const float = layers.map(() =>
  makeLayer<TrainedLinear, Float32Array<ArrayBuffer> | null>(
    ({ outFeatures, inFeatures }) => {
      const [N, K] = [outFeatures(config), inFeatures(config)];
      return { W: random(N * K, 1.5 / Math.sqrt(K)), bias: null, N, K };
    },
    ({ name }) => (name.endsWith("Layernorm") ? random(32, 0.3).map((w) => 1 + w) : null),
  ),
) as TrainedLayer[];
const task = { kind: "texts", texts, embeddings, float, head } as const;
const lessons = texts.map((ids) => ({ ids }));
const tables = ropeTables(config, 16);

const given = async () => {
  const training = makeTraining((length) => new Float32Array(length), { config, tables, task, layers });
  const trainer = await makeTrainer(await testDevice(), {
    config,
    tables,
    bits: 3,
    groupSize,
    rows: 48,
    longest: 16,
    norm: head.norm,
    head: head.weight,
    embeddings,
  });
  for (const [l, layer] of layers.entries()) {
    for (const { name } of linearParts) {
      const { u, scales, grids } = layer.latents[name];
      trainer.setWeights("float", l, name, Float32Array.from(float[l]![name].W));
      trainer.setWeights("own", l, name, training.dense[l]![name].W as Float32Array<ArrayBuffer>);
      trainer.setLatents(l, name, { u: u.slice(), scales: scales.slice(), zeros: Float32Array.from(grids.zeros) });
    }
    for (const name of ["inputLayernorm", "postAttentionLayernorm"] as const) {
      trainer.setNorm("float", l, name, Float32Array.from(float[l]![name]!));
      trainer.setNorm("own", l, name, Float32Array.from(layer.norms[name]!));
    }
  }
  return { training, trainer };
};

describe("training on WebGPU", () => {
  it("diverges from the float model by what the CPU says, of texts side by side", async () => {
    const { training, trainer } = await given();
    const all = lessons.map((_, i) => i);
    const { loss, rows } = await trainer.judge(lessons);
    expect(rows).toBe(30);
    expect(loss).toBeCloseTo(runLessons(singles(referenceOps), training, all, null), 3);
    // The rows before `from` do not count, and others do not see them.
    const late = await trainer.judge([{ ...lessons[2]!, from: 12 }]);
    const early = await trainer.judge([{ ids: texts[2]!.slice(0, 12) }]);
    expect(late.rows).toBe(1);
    expect(late.loss + early.loss).toBeCloseTo((await trainer.judge([lessons[2]!])).loss, 3);
    trainer.close();
  });

  it("moves latents, scales and norms as the CPU does", async () => {
    const { training, trainer } = await given();
    const crew = aloneCrew(referenceOps);
    crew.begin(training);
    const pace = { steps: 9, tokens: 30, rate: 0.02, scaleRate: 0.01 };
    for (let step = 1; step <= 3; step++) {
      crew.run({ kind: "slices", texts: [lessons.map((_, i) => i), ...training.gradients.slice(1).map(() => [])] });
      crew.run({ kind: "moves", step, share: 0.5, pace });
      const first = 0.5 / (1 - 0.9 ** step);
      const { loss } = await trainer.step(lessons, {
        rate: first * pace.rate,
        scaleRate: first * pace.scaleRate,
        second: 1 / (1 - 0.99 ** step),
      });
      expect(loss).toBeCloseTo(
        training.losses.reduce((sum, own) => sum + own, 0),
        2,
      );
    }
    /** Share of numbers that moved elsewhere by more than a hundredth of the way. */
    const astray = (got: Float32Array, right: Float32Array, way: (i: number) => number): number =>
      got.filter((value, i) => !(Math.abs(value - right[i]!) < 0.01 * way(i))).length / got.length;
    for (const [l, layer] of training.layers.entries()) {
      for (const { name } of linearParts) {
        const { u, scales } = await trainer.latents(l, name);
        // Where a gradient is all but 0, the direction of its step is f32's to choose.
        expect(
          astray(u, layer.latents[name].u, () => 0.02),
          name,
        ).toBeLessThan(0.02);
        expect(
          astray(scales, layer.latents[name].scales, (i) => 0.01 * scales[i]!),
          name,
        ).toBeLessThan(0.03);
        expect(u).not.toEqual(layers[l]!.latents[name].u);
      }
      for (const name of ["inputLayernorm", "postAttentionLayernorm"] as const)
        expect(
          astray(await trainer.norm(l, name), layer.norms[name]!, () => 0.01),
          name,
        ).toBeLessThan(0.04);
    }
    trainer.close();
  });
});
