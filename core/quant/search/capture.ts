/**
 * What the linears of one layer read while calibration texts pass through it: the moments of each linear's inputs, and
 * the residual streams that the next layer starts from.
 */
import type { LlamaConfig } from "../../config.ts";
import { makeKvCache, reserve } from "../../model/kv-cache.ts";
import { type LinearPart, linearParts } from "../../model/layer.ts";
import { type Activations, feedForward, forwardLayer, makeActivations, selfAttention } from "../../model/llama.ts";
import type { CpuOps } from "../../model/ops.ts";
import type { LayerWeights } from "../../model/weights.ts";
import { type RopeTables, ropeTables } from "../../ops/rope.ts";
import { addToGram, finishGram, type Gram, type GramSums, makeGramSums } from "./gram.ts";

/** Calibration texts as residual streams: [T, D] each, at positions 0 … T − 1. */
export type Streams = readonly Float32Array[];

/** The tap points that linears read, a Gram each. */
export type LinearInput = LinearPart["input"];
export type LayerGrams = Readonly<Record<LinearInput, Gram>>;

/** Room to run one layer at a time in. */
export interface Bench {
  readonly ops: CpuOps;
  readonly config: LlamaConfig;
  readonly tables: RopeTables;
  readonly activations: Activations;
  readonly T: number;
}

/** @param T the longest text */
export function makeBench(ops: CpuOps, config: LlamaConfig, T: number): Bench {
  const alone = { ...config, numHiddenLayers: 1 };
  return { ops, config: alone, tables: ropeTables(alone, T), activations: makeActivations(alone, T), T };
}

/** Runs a layer on every stream, in place. `visit` sees what each linear reads, of T positions. */
export function runLayer(
  { ops, config, tables, activations: a, T: longest }: Bench,
  layer: LayerWeights,
  streams: Streams,
  visit: (input: LinearInput, data: Float32Array, T: number, stream: number) => void = () => {},
): void {
  const cache = makeKvCache(longest);
  reserve(cache, ops, config, longest);
  const inputs = new Map<string, LinearInput>(linearParts.map(({ input }) => [`layers.0.${input}`, input]));
  for (const [i, stream] of streams.entries()) {
    const T = stream.length / config.hiddenSize;
    cache.length = 0;
    a.x.set(stream);
    const tap = (name: string, data: Float32Array): void => {
      const input = inputs.get(name);
      if (input) visit(input, data, T, i);
    };
    ops.pass(() => forwardLayer(ops, config, layer, [{ cache, tables, rows: T }], 0, a, T, tap, () => false));
    stream.set(a.x.subarray(0, stream.length));
  }
  ops.dropCache(cache.arrays);
}

/** What a layer's blocks read, of a few texts: [T, D] each, behind the norms. */
export interface BlockInputs {
  readonly attention: readonly Float32Array[];
  readonly feedForward: readonly Float32Array[];
}

/**
 * Runs a layer on every stream, in place, and sums what its linears read.
 * @param kept of how many streams, evenly spaced, the blocks' inputs are kept
 */
export function captureLayer(
  bench: Bench,
  layer: LayerWeights,
  streams: Streams,
  kept: number,
): { grams: LayerGrams; inputs: BlockInputs } {
  const sums = new Map<LinearInput, GramSums>(linearParts.map(({ input, inFeatures }) => [input, makeGramSums(inFeatures(bench.config))]));
  const count = Math.min(kept, streams.length);
  const wanted = new Set(Array.from({ length: count }, (_, i) => Math.floor((i * streams.length) / count)));
  const attention: Float32Array[] = [];
  const feedForward: Float32Array[] = [];
  const D = bench.config.hiddenSize;
  runLayer(bench, layer, streams, (input, data, T, stream) => {
    addToGram(bench.ops, sums.get(input)!, data, T);
    if (!wanted.has(stream)) return;
    if (input === "inputLayernorm") attention.push(data.slice(0, T * D));
    if (input === "postAttentionLayernorm") feedForward.push(data.slice(0, T * D));
  });
  const grams = Object.fromEntries([...sums].map(([input, sum]) => [input, finishGram(sum)])) as Record<LinearInput, Gram>;
  return { grams, inputs: { attention, feedForward } };
}

/** The outputs of one of a layer's blocks for such inputs. */
export function blockOutputs(bench: Bench, block: keyof BlockInputs, layer: LayerWeights, inputs: BlockInputs): Float32Array[] {
  const { ops, config, tables, activations: a, T: longest } = bench;
  const D = config.hiddenSize;
  const cache = makeKvCache(longest);
  if (block === "attention") reserve(cache, ops, config, longest);
  const outputs = inputs[block].map((x) => {
    const T = x.length / D;
    cache.length = 0;
    a.normed.set(x);
    ops.pass(() => {
      if (block === "attention") selfAttention(ops, config, layer, [{ cache, tables, rows: T }], 0, a, T, () => {}, false);
      else feedForward(ops, config, layer, a, T, () => {});
    });
    return a.branch.slice(0, T * D);
  });
  if (block === "attention") ops.dropCache(cache.arrays);
  return outputs;
}
