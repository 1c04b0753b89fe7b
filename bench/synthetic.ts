/**
 * The weights of a model that exists nowhere: references whose bytes are made up as they are read, so that a benchmark loads them
 * the way it loads files. Blocks of random bytes are made once and repeated with a period that no row length divides; the values are
 * those of core/checkpoint/synth.ts in kind (core/checkpoint/synth-values.ts), not in bits.
 */
import { middleZeros, scaleTable } from "../core/checkpoint/synth-values.ts";
import { embedTokensKey, layerLinears, layerNormKey, lmHeadKey, normKey } from "../core/checkpoint/weights.ts";
import type { LlamaConfig } from "../core/config.ts";
import { f16Bits } from "../core/dtype.ts";
import type { LayerTree, LinearRef, LlamaWeightRefs, TensorRef } from "../core/model/weights.ts";
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
  const { hiddenSize: D, vocabSize: V, awq } = config;
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
  const layers = Array.from({ length: config.numHiddenLayers }, (_, layer): LayerTree<LinearRef, TensorRef> => {
    const linears = Object.fromEntries(
      layerLinears(config, layer).map(({ name, key, outFeatures, inFeatures, bias }): [string, LinearRef] => {
        const shared = { outFeatures, inFeatures, bias: bias ? tensor(`${key}.bias`, "F16", [outFeatures], weightFill(inFeatures)) : null };
        if (!awq) {
          const weight = tensor(`${key}.weight`, "F16", [outFeatures, inFeatures], weightFill(inFeatures));
          return [name, { kind: "dense", ...shared, weight }];
        }
        const groupSize = awq.groupSize === "whole" ? inFeatures : awq.groupSize;
        const groups = inFeatures / groupSize;
        return [
          name,
          {
            kind: "awq",
            ...shared,
            groupSize,
            qweight: tensor(`${key}.qweight`, "I32", [inFeatures, outFeatures / 8], nibbles),
            qzeros: tensor(`${key}.qzeros`, "I32", [groups, outFeatures / 8], zeroPoints),
            scales: tensor(`${key}.scales`, "F16", [groups, outFeatures], scaleFill(inFeatures)),
          },
        ];
      }),
    ) as Pick<LayerTree<LinearRef, TensorRef>, "qProj" | "kProj" | "vProj" | "oProj" | "gateProj" | "upProj" | "downProj">;
    return {
      inputLayernorm: tensor(layerNormKey(layer, "inputLayernorm"), "F16", [D], ones),
      postAttentionLayernorm: tensor(layerNormKey(layer, "postAttentionLayernorm"), "F16", [D], ones),
      ...linears,
    };
  });
  const embedTokens = tensor(embedTokensKey, "F16", [V, D], weightFill(D));
  const lmHead = config.tieWordEmbeddings ? embedTokens : tensor(lmHeadKey, "F16", [V, D], weightFill(D));
  return { embedTokens, layers, norm: tensor(normKey, "F16", [D], ones), lmHead };
}
