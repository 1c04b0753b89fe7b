/**
 * The weights of a model that exists nowhere: references whose bytes are made up as they are read, so that a benchmark
 * loads them the way it loads files. Blocks of random bytes are made once and repeated with a period that no row length
 * divides; the values are those of core/checkpoint/synth.ts in kind (core/checkpoint/synth-values.ts), not in bits.
 */
import { embedTokensKey, lmHeadKey, normKey } from "../core/checkpoint/plan.ts";
import { middleZeros, scaleTable } from "../core/checkpoint/synth-values.ts";
import type { LlamaConfig } from "../core/config.ts";
import { f16Bits } from "../core/dtype.ts";
import { type LinearPart, makeLayer, partKey } from "../core/model/layer.ts";
import type { LinearRef, LlamaWeightRefs, TensorRef } from "../core/model/weights.ts";
import { makeRandom } from "./statistics.ts";

/** Words of a block: a prime. */
const BLOCK_WORDS = 1_048_573;

/** A source of bytes without end, by offset. */
type Fill = (byteOffset: number, target: Uint8Array) => void;

function repeated(makeWord: (random: number) => number): Fill {
  let block: Uint8Array | undefined;
  return (byteOffset, target) => {
    if (!block) {
      const random = makeRandom(1);
      block = new Uint8Array(Uint32Array.from({ length: BLOCK_WORDS }, () => makeWord(random())).buffer);
    }
    for (let done = 0; done < target.length; ) {
      const from = (byteOffset + done) % block.length;
      const part = block.subarray(from, from + target.length - done);
      target.set(part, done);
      done += part.length;
    }
  };
}

/** Pairs of f16 from a table of their bits. */
const f16Pairs =
  (table: ArrayLike<number>): ((random: number) => number) =>
  (random) =>
    (table[random % table.length]! | (table[(random >>> 16) % table.length]! << 16)) >>> 0;

const STEPS = 256;

const nibbles = repeated((random) => random);
const zeroPoints = repeated(middleZeros);
const ones = repeated(f16Pairs([f16Bits(1)]));
/** Even from −√3 to √3 times `deviation`. */
const spread = (deviation: number): Fill =>
  repeated(f16Pairs(Array.from({ length: STEPS }, (_, i) => f16Bits(((2 * i + 1) / STEPS - 1) * Math.sqrt(3) * deviation))));

/** The references of a whole model; reading them makes them up. */
export function syntheticRefs(config: LlamaConfig): LlamaWeightRefs {
  const { hiddenSize: D, vocabSize: V, quantization } = config;
  let start = 0;
  const tensor = (key: string, dtype: "F16" | "I32", shape: readonly number[], fill: Fill): TensorRef => {
    const byteLength = shape.reduce((product, size) => product * size, dtype === "F16" ? 2 : 4);
    const first = start;
    start += 4 * Math.ceil(byteLength / 4);
    return {
      key,
      dtype,
      shape,
      byteLength,
      async readInto(byteOffset, target) {
        fill(first + byteOffset, target);
      },
    };
  };
  // One block for each K: W has a deviation of 1/√K.
  const fills = new Map<string, Fill>();
  const fillOf = (kind: string, K: number, make: () => Fill): Fill => {
    const key = `${kind} ${K}`;
    const fill = fills.get(key) ?? make();
    fills.set(key, fill);
    return fill;
  };
  const weightFill = (K: number): Fill => fillOf("weight", K, () => spread(1 / Math.sqrt(K)));
  const scaleFill = (K: number): Fill => fillOf("scales", K, () => repeated(f16Pairs(scaleTable(K))));
  const linear = (part: LinearPart, layer: number): LinearRef => {
    const key = partKey(layer, part);
    const [outFeatures, inFeatures] = [part.outFeatures(config), part.inFeatures(config)];
    const bias = part.bias(config) ? tensor(`${key}.bias`, "F16", [outFeatures], weightFill(inFeatures)) : null;
    const shared = { outFeatures, inFeatures, bias };
    if (!quantization) {
      const weight = tensor(`${key}.weight`, "F16", [outFeatures, inFeatures], weightFill(inFeatures));
      return { kind: "dense", ...shared, weight };
    }
    const groupSize = quantization.groupSize === "whole" ? inFeatures : quantization.groupSize;
    const groups = inFeatures / groupSize;
    return {
      kind: "awq",
      ...shared,
      groupSize,
      qweight: tensor(`${key}.qweight`, "I32", [inFeatures, outFeatures / 8], nibbles),
      qzeros: tensor(`${key}.qzeros`, "I32", [groups, outFeatures / 8], zeroPoints),
      scales: tensor(`${key}.scales`, "F16", [groups, outFeatures], scaleFill(inFeatures)),
    };
  };
  const layers = Array.from({ length: config.numHiddenLayers }, (_, layer) =>
    makeLayer(
      (part) => linear(part, layer),
      (part) => (part.present(config) ? tensor(`${partKey(layer, part)}.weight`, "F16", [part.length(config)], ones) : null),
    ),
  );
  const embedTokens = tensor(embedTokensKey, "F16", [V, D], weightFill(D));
  const lmHead = config.tieWordEmbeddings ? embedTokens : tensor(lmHeadKey, "F16", [V, D], weightFill(D));
  return { embedTokens, layers, norm: tensor(normKey, "F16", [D], ones), lmHead };
}
