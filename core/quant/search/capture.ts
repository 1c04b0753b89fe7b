/**
 * What the linears of one layer read while calibration texts pass through it: the moments of each linear's inputs, and
 * the residual streams that the next layer starts from.
 */
import type { LlamaConfig } from "../../config.ts";
import { type KvCache, makeKvCache, reserve } from "../../model/kv-cache.ts";
import { type LinearPart, linearParts } from "../../model/layer.ts";
import { type Activations, feedForward, forwardLayer, makeActivations, selfAttention } from "../../model/llama.ts";
import type { CpuOps } from "../../model/ops.ts";
import type { LayerWeights } from "../../model/weights.ts";
import { type RopeTables, ropeTables } from "../../ops/rope.ts";
import { addToCross, type Drift, makeCrossSums } from "./correct.ts";
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
  /** Of one layer, used again for each text. */
  readonly cache: KvCache;
}

/** @param T the longest text */
export function makeBench(ops: CpuOps, config: LlamaConfig, T: number): Bench {
  const alone = { ...config, numHiddenLayers: 1 };
  const cache = makeKvCache(T);
  reserve(cache, ops, alone, T);
  return { ops, config: alone, tables: ropeTables(alone, T), activations: makeActivations(alone, T), cache };
}

/**
 * Runs a layer on every stream, in place. `visit` sees what each linear reads, of T positions; `between` the residual
 * stream between the two blocks.
 */
export function runLayer(
  { ops, config, tables, activations: a, cache }: Bench,
  layer: LayerWeights,
  streams: Streams,
  visit: (input: LinearInput, data: Float32Array, T: number) => void = () => {},
  between: (data: Float32Array) => void = () => {},
): void {
  const inputs = new Map<string, LinearInput>(linearParts.map(({ input }) => [`layers.0.${input}`, input]));
  for (const stream of streams) {
    const T = stream.length / config.hiddenSize;
    cache.length = 0;
    a.x.set(stream);
    const tap = (name: string, data: Float32Array): void => {
      const input = inputs.get(name);
      if (input) visit(input, data, T);
      else if (name === "layers.0.attentionResidual") between(data);
    };
    ops.pass(() => forwardLayer(ops, config, layer, [{ cache, tables, rows: T }], 0, a, T, tap, () => false));
    stream.set(a.x.subarray(0, stream.length));
  }
}

/** What a layer's blocks read behind the norms, [T, D] each. */
export interface BlockInputs {
  /** A few texts. */
  readonly attention: readonly Float32Array[];
  /** As many tokens, evenly spaced over all texts, dealt out to parts: each part alone stands for all texts, too. */
  readonly feedForward: readonly Float32Array[];
}

/** Parts of the feed-forward network's inputs: the first heat of the search looks at one. */
export const TOKEN_PARTS = 16;

/** `count` of n places, evenly spaced. */
export const spaced = (count: number, n: number): number[] => Array.from({ length: count }, (_, i) => Math.floor((i * n) / count));

/** A share of a block's inputs, at least one of them. */
export const shareOf = <T>(inputs: readonly T[], share: number): T[] =>
  spaced(Math.max(1, Math.round(share * inputs.length)), inputs.length).map((i) => inputs[i]!);

export interface Captured {
  readonly grams: LayerGrams;
  readonly inputs: BlockInputs;
  /** Where float streams were given. */
  readonly drifts: Readonly<Record<LinearInput, Drift>> | null;
}

/** What the linears of a float layer read of one stream, which is left as it is, and the stream between the two blocks. */
function readByFloat(bench: Bench, layer: LayerWeights, stream: Float32Array): Map<LinearInput | "between", Float32Array> {
  const read = new Map<LinearInput | "between", Float32Array>();
  const moved = stream.slice();
  const keep = (input: LinearInput | "between", data: Float32Array): void => void read.set(input, data.slice());
  runLayer(bench, layer, [moved], keep, (data) => keep("between", data));
  return read;
}

/** Which texts the attention is judged on, and which tokens, counted through all texts, are in each part for the feed-forward network. */
export interface KeptPlaces {
  readonly texts: readonly number[];
  readonly parts: readonly (readonly number[])[];
}

/** @param kept how many texts, evenly spaced @param lengths of all texts */
export function keptPlaces(lengths: readonly number[], kept: number): KeptPlaces {
  const total = lengths.reduce((sum, length) => sum + length, 0);
  const texts = spaced(Math.min(kept, lengths.length), lengths.length);
  const tokens = spaced(
    texts.reduce((sum, i) => sum + lengths[i]!, 0),
    total,
  );
  // A part is no longer than the longest text: there is room for that.
  const count = Math.min(tokens.length, Math.max(TOKEN_PARTS, Math.ceil(tokens.length / Math.max(1, ...lengths))));
  return { texts, parts: Array.from({ length: count }, (_, part) => tokens.filter((_token, i) => i % count === part)) };
}

/**
 * Runs a layer on every stream, in place, and sums what its linears read.
 * @param kept of how many streams, evenly spaced, the attention's inputs are kept
 * @param float the same texts as they come through the float layers, left as they are
 */
export function captureLayer(bench: Bench, layer: LayerWeights, streams: Streams, kept: number, float: Streams | null): Captured {
  const { ops, config } = bench;
  const D = config.hiddenSize;
  const sizes = new Map<LinearInput, number>(linearParts.map(({ input, inFeatures }) => [input, inFeatures(config)]));
  const sums = new Map<LinearInput, GramSums>([...sizes].map(([input, K]) => [input, makeGramSums(K)]));
  const drifts = new Map<LinearInput, Drift>(
    float
      ? [...sizes].map(([input, K]) => [
          input,
          // What the stream lacks is made up for once in a layer, at its end.
          { inputs: makeCrossSums(K, K), residual: input === "siluMul" ? makeCrossSums(D, K) : null },
        ])
      : [],
  );
  const { texts, parts } = keptPlaces(
    streams.map((stream) => stream.length / D),
    kept,
  );
  const wanted = new Set(texts);
  const attention: Float32Array[] = [];
  const feedForward = parts.map((tokens) => new Float32Array(tokens.length * D));
  const places = new Map(parts.flatMap((tokens, part) => tokens.map((token, at) => [token, { part, at }] as const)));
  let seen = 0;
  for (const [i, stream] of streams.entries()) {
    const right = float && readByFloat(bench, layer, float[i]!);
    let between: Float32Array | undefined;
    runLayer(
      bench,
      layer,
      [stream],
      (input, data, T) => {
        addToGram(ops, sums.get(input)!, data, T);
        const drift = drifts.get(input);
        if (drift && right) {
          addToCross(ops, drift.inputs, right.get(input)!, data, data, T);
          if (drift.residual) addToCross(ops, drift.residual, right.get("between")!, between!, data, T);
        }
        if (input === "inputLayernorm" && wanted.has(i)) attention.push(data.slice(0, T * D));
        if (input !== "postAttentionLayernorm") return;
        for (let t = 0; t < T; t++) {
          const place = places.get(seen + t);
          if (place) feedForward[place.part]!.set(data.subarray(t * D, (t + 1) * D), place.at * D);
        }
        seen += T;
      },
      (data) => {
        if (float) between = data.slice();
      },
    );
  }
  const grams: [LinearInput, Gram][] = [];
  ops.pass(() => {
    for (const [input, sum] of sums) grams.push([input, finishGram(ops, sum)]);
  });
  return {
    grams: Object.fromEntries(grams) as Record<LinearInput, Gram>,
    inputs: { attention, feedForward },
    drifts: float ? (Object.fromEntries(drifts) as Record<LinearInput, Drift>) : null,
  };
}

/** The output of one of a layer's blocks for such an input, [T, D]; T is no more than the bench has room for. */
export function blockOutput(bench: Bench, block: keyof BlockInputs, layer: LayerWeights, x: Float32Array): Float32Array {
  const { ops, config, tables, activations: a, cache } = bench;
  const T = x.length / config.hiddenSize;
  cache.length = 0;
  a.normed.set(x);
  ops.pass(() => {
    if (block === "attention") selfAttention(ops, config, layer, [{ cache, tables, rows: T }], 0, a, T, () => {}, false);
    else feedForward(ops, config, layer, a, T, () => {});
  });
  return a.branch.slice(0, x.length);
}
