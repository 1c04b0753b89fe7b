/** Between a layer as it is written and one that is trained. */
import { f16Bits, f16Values } from "../../dtype.ts";
import { type LayerTree, type LinearName, linearParts, makeLayer } from "../../model/layer.ts";
import { uniformAt } from "../../sample/random.ts";
import type { Linear } from "../../tensor.ts";
import type { Bench, LayerGrams } from "../search/capture.ts";
import { outputErrors, sumOf } from "../search/gram.ts";
import { packLinear, unpackLinear } from "../search/grid.ts";
import { type FloatLayer, type LinearLoss, type QuantizedLayer, type Rows, scaledLinears } from "../search/quantize-layer.ts";
import { type Settings, someRows } from "../search/stages.ts";
import { latentOf, roundedOf, weightsInto } from "./latent.ts";
import type { Crew } from "./train.ts";
import { trainBlock } from "./train-block.ts";
import type { LatentLayer, Lesson, Pace } from "./training.ts";

export const paceOf = ({ stepTokens, rate, scaleRate }: Settings, steps: number): Pace => ({ steps, tokens: stepTokens, rate, scaleRate });

/** Uniform numbers in 0 … 1, a stream for each number `of`. */
export function stream(of: number): () => number {
  let position = 0;
  return () => uniformAt(BigInt(of), position++);
}

type Packed = LayerTree<Linear, Float32Array>;

/** A written layer, its latents where the scaled float weights lie between its integers. */
export function latentLayer(float: FloatLayer, weights: Packed, rows: Rows, bits: number): LatentLayer {
  const scaled = scaledLinears(float, weights, rows);
  const latents = linearParts.map(({ name }) => {
    const { weight } = weights[name];
    if (weight.kind !== "awq") throw new TypeError(`${name} is not int4`);
    const { W, N, K } = scaled[name];
    return [name, latentOf(W, unpackLinear(weight, bits), N, K)] as const;
  });
  const { inputLayernorm, postAttentionLayernorm, qNorm, kNorm } = weights;
  return {
    latents: Object.fromEntries(latents) as LatentLayer["latents"],
    biases: Object.fromEntries(linearParts.map(({ name }) => [name, weights[name].bias])) as LatentLayer["biases"],
    norms: {
      inputLayernorm: inputLayernorm.slice(),
      postAttentionLayernorm: postAttentionLayernorm.slice(),
      qNorm: qNorm?.slice() ?? null,
      kNorm: kNorm?.slice() ?? null,
    },
  };
}

/** The layer as it will be written: integers, and f16 for all else. */
export function packedLayer({ latents, biases, norms }: LatentLayer): Packed {
  const f16 = f16Values();
  return makeLayer(
    ({ name }) => {
      const { q, grids } = roundedOf(latents[name]);
      return { weight: packLinear(q, grids, latents[name].N, latents[name].K), bias: biases[name] };
    },
    ({ name }) => norms[name]?.map((w) => f16[f16Bits(w)]!) ?? null,
  );
}

/** A layer trained by itself, and what its linears lose now. */
export function trainedAlone(
  crew: Crew,
  { ops, config, tables }: Bench,
  float: FloatLayer,
  quantized: QuantizedLayer,
  grams: LayerGrams,
  lessons: readonly Lesson[],
  settings: Settings,
  number: number,
): QuantizedLayer {
  const start = latentLayer(float, quantized.weights, quantized.rows, settings.bits);
  const pace = paceOf(settings, settings.blockSteps);
  const { layer } = trainBlock(crew, ops, config, tables, start, lessons, pace, stream(number));
  const weights = packedLayer(layer);
  // What each weight was multiplied by on the way to its grid.
  const ones = makeLayer(
    ({ name }) => ({ ...float[name], W: new Float32Array(float[name].W.length).fill(1) }),
    ({ name }) => float[name],
  );
  const factors = scaledLinears(ones, weights, quantized.rows);
  const losses: Partial<Record<LinearName, LinearLoss>> = {};
  ops.pass(() => {
    for (const { name, input } of linearParts) {
      const { W, N, K } = float[name];
      const delta = new Float32Array(N * K);
      weightsInto(delta, layer.latents[name]);
      for (let i = 0; i < delta.length; i++) delta[i] = delta[i]! / factors[name].W[i]! - W[i]!;
      const { matrix } = someRows({ W: delta, N, K });
      const { power } = quantized.losses[name];
      const lost = power > 0 ? sumOf(outputErrors(ops, grams[input], matrix.W, matrix.N)) / power : 0;
      losses[name] = { ...quantized.losses[name], quantized: lost };
    }
  });
  return { weights, losses: losses as Record<LinearName, LinearLoss>, rows: quantized.rows };
}
