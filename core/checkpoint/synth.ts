/**
 * A checkpoint of random weights in the AWQ GEMM layout, of any shape, for measuring and testing at full size without
 * downloading one. Bytes depend on shape and seed only; memory is a few megabytes. It says nothing: activations stay
 * near unit size, that is all.
 */
import { listening } from "../arguments.ts";
import { f16Bits } from "../dtype.ts";
import { GureumError, within } from "../errors.ts";
import { layerParts, partKey } from "../model/layer.ts";
import { checkAwqShape } from "../quant/awq-format.ts";
import { encodeUtf8 } from "../utf8.ts";
import type { FolderWriter } from "./byte-sink.ts";
import { configFile, generationConfigFile } from "./config.ts";
import { families } from "./families.ts";
import { embedTokensKey, lmHeadKey, normKey } from "./plan.ts";
import type { TensorEntry } from "./safetensors.ts";
import type { SynthConfig, SynthShape } from "./synth-shapes.ts";
import { middleZeros, scaleTable } from "./synth-values.ts";
import { tensorBytes, writeShards, writeText } from "./write-shards.ts";

/** Words made at a time: 4 MiB. */
const chunkWords = 2 ** 20;

/** FNV-1a, 32 bits, of the UTF-8 bytes. */
function fnv1a(text: string): number {
  let hash = 0x811c9dc5;
  for (const byte of encodeUtf8(text)) hash = Math.imul(hash ^ byte, 0x01000193);
  return hash >>> 0;
}

/**
 * Seeds a state with splitmix32 from `seed` xor FNV-1a of the tensor's name, so each tensor has its own stream whatever
 * the order.
 */
function seedState(seed: number, name: string): Uint32Array {
  const state = new Uint32Array(4);
  let counter = (seed ^ fnv1a(name)) >>> 0;
  for (let i = 0; i < 4; i++) {
    counter = (counter + 0x9e3779b9) >>> 0;
    let z = counter;
    z = Math.imul(z ^ (z >>> 16), 0x21f0aaad);
    z = Math.imul(z ^ (z >>> 15), 0x735a2d97);
    state[i] = z ^ (z >>> 15);
  }
  if (state.every((word) => word === 0)) state[0] = 1;
  return state;
}

/** The next `count` words of xorshift128 (Marsaglia 2003, shifts 11, 8, 19) into `words`. */
function fillRandom(state: Uint32Array, words: Int32Array, count: number): void {
  let x = state[0]! | 0;
  let y = state[1]! | 0;
  let z = state[2]! | 0;
  let w = state[3]! | 0;
  for (let i = 0; i < count; i++) {
    const t = x ^ (x << 11);
    x = y;
    y = z;
    z = w;
    w = w ^ (w >>> 19) ^ t ^ (t >>> 8);
    words[i] = w;
  }
  state.set([x, y, z, w]);
}

type Fill = (random: Int32Array, count: number) => Uint8Array;

/** Chunks of a tensor: random words, turned into bytes by `fill`, `elements` of them in all, one word an element. */
function* randomChunks(seed: number, name: string, elements: number, fill: Fill): Generator<Uint8Array> {
  const state = seedState(seed, name);
  const random = new Int32Array(Math.min(elements, chunkWords));
  for (let at = 0; at < elements; at += chunkWords) {
    const count = Math.min(chunkWords, elements - at);
    fillRandom(state, random, count);
    yield fill(random, count);
  }
}

const bytesOf = (array: Int32Array | Uint16Array, count: number): Uint8Array =>
  new Uint8Array(array.buffer, array.byteOffset, count * array.BYTES_PER_ELEMENT);

/** Words as they come: q uniform in 0..15. */
const uniformNibbles: Fill = (random, count) => bytesOf(random, count);

const zeros: Fill = (random, count) => {
  for (let i = 0; i < count; i++) random[i] = middleZeros(random[i]!);
  return bytesOf(random, count);
};

/** f16 values by table, from the low bits of each word (`index`). */
function tableFill(table: Uint16Array, index: (word: number) => number): Fill {
  const out = new Uint16Array(chunkWords);
  return (random, count) => {
    for (let i = 0; i < count; i++) out[i] = table[index(random[i]!)]!;
    return bytesOf(out, count);
  };
}

const scaleFill = (inFeatures: number): Fill => tableFill(scaleTable(inFeatures), (word) => word & 255);

/**
 * Near-normal values of standard deviation `deviation`: the sum of a word's four bytes (Irwin-Hall), centred and
 * scaled.
 */
function normalFill(deviation: number): Fill {
  const sumDeviation = Math.sqrt((4 * (256 * 256 - 1)) / 12);
  const table = Uint16Array.from({ length: 4 * 255 + 1 }, (_, sum) => f16Bits(((sum - 510) / sumDeviation) * deviation));
  return tableFill(table, (word) => (word & 255) + ((word >>> 8) & 255) + ((word >>> 16) & 255) + (word >>> 24));
}

/** Every tensor of the shape, in the order of the checkpoint's modules. */
function listEntries({ config }: SynthShape, seed: number): TensorEntry[] {
  const entries: TensorEntry[] = [];
  const random = (name: string, dtype: "I32" | "F16", shape: readonly number[], fill: () => Fill): void => {
    const elements = shape.reduce((product, size) => product * size, 1);
    entries.push({ name, dtype, shape, data: () => randomChunks(seed, name, elements, fill()) });
  };
  const ones = (name: string, length: number): void => {
    const bits = new Uint16Array(length).fill(f16Bits(1));
    entries.push({ name, dtype: "F16", shape: [length], data: bytesOf(bits, bits.length) });
  };
  const embedding = (name: string): void =>
    random(name, "F16", [config.vocabSize, config.hiddenSize], () => normalFill(1 / Math.sqrt(config.hiddenSize)));

  embedding(embedTokensKey);
  for (let layer = 0; layer < config.numHiddenLayers; layer++) {
    for (const part of layerParts) {
      const key = partKey(layer, part);
      if (part.kind === "norm") {
        if (part.present(config)) ones(`${key}.weight`, part.length(config));
        continue;
      }
      const [outFeatures, inFeatures] = [part.outFeatures(config), part.inFeatures(config)];
      const groupSize = config.quantization.groupSize === "whole" ? inFeatures : config.quantization.groupSize;
      within(key, () => checkAwqShape(outFeatures, inFeatures, groupSize));
      const groups = inFeatures / groupSize;
      random(`${key}.qweight`, "I32", [inFeatures, outFeatures / 8], () => uniformNibbles);
      random(`${key}.qzeros`, "I32", [groups, outFeatures / 8], () => zeros);
      random(`${key}.scales`, "F16", [groups, outFeatures], () => scaleFill(inFeatures));
      if (part.bias(config)) random(`${key}.bias`, "F16", [outFeatures], () => normalFill(1 / 8));
    }
  }
  ones(normKey, config.hiddenSize);
  embedding(lmHeadKey);
  return entries;
}

/** config.json as transformers 4.38 writes it for an AWQ model. */
function configJson(config: SynthConfig): string {
  return JSON.stringify(
    {
      architectures: [config.architecture],
      attention_bias: config.attentionBias,
      bos_token_id: config.bosTokenId,
      eos_token_id: config.eosTokenIds[0],
      head_dim: config.headDim,
      hidden_act: "silu",
      hidden_size: config.hiddenSize,
      intermediate_size: config.intermediateSize,
      max_position_embeddings: config.maxPositionEmbeddings,
      model_type: families.find(({ architecture }) => architecture === config.architecture)!.modelType,
      num_attention_heads: config.numAttentionHeads,
      num_hidden_layers: config.numHiddenLayers,
      num_key_value_heads: config.numKeyValueHeads,
      rms_norm_eps: config.rmsNormEps,
      rope_scaling: null,
      rope_theta: config.ropeTheta,
      ...(config.architecture === "MistralForCausalLM" ? { sliding_window: null } : {}),
      tie_word_embeddings: false,
      torch_dtype: "float16",
      use_cache: true,
      vocab_size: config.vocabSize,
      quantization_config: {
        bits: 4,
        group_size: config.quantization.groupSize === "whole" ? -1 : config.quantization.groupSize,
        modules_to_not_convert: null,
        quant_method: "awq",
        version: "gemm",
        zero_point: true,
      },
    },
    null,
    2,
  );
}

/** Bytes of all tensors of a shape: what the disk must have room for, but for headers. */
export function synthTensorBytes(shape: SynthShape): number {
  return tensorBytes(listEntries(shape, 0));
}

export interface SynthOptions {
  /** u32 */
  readonly seed: number;
  /** Tensor bytes written, and in all. */
  readonly onProgress?: (bytesDone: number, bytesTotal: number) => void;
}

/**
 * Writes the checkpoint: shards of safetensors with their index (one file without an index where one is enough),
 * config.json and generation_config.json. Words q are uniform; z is 7 or 8; scales give each W a standard deviation of
 * about 1/sqrt(K); norms are 1; biases near-normal with 1/8; embedding and head near-normal with standard deviation
 * 1/sqrt(hidden). Tokenizer files are the caller's.
 * @throws GureumError "range" for a seed that is no u32, "shape" for a shape that AWQ cannot hold, and what `folder`
 * throws.
 */
export async function synth(shape: SynthShape, folder: FolderWriter, options: SynthOptions): Promise<void> {
  const { seed } = options;
  const { config } = shape;
  if (!Number.isInteger(seed) || seed < 0 || seed > 0xffffffff)
    throw new GureumError("range", { where: "seed", what: "out of range", expected: "0 to 4294967295", got: `${seed}` });
  const entries = listEntries(shape, seed);
  await listening(options, ["onProgress"], ({ onProgress }) => writeShards(folder, entries, shape.maxShardBytes, onProgress));
  await writeText(folder, configFile, configJson(config));
  await writeText(
    folder,
    generationConfigFile,
    JSON.stringify(
      { _from_model_config: true, bos_token_id: config.bosTokenId, eos_token_id: config.eosTokenIds[0], do_sample: true },
      null,
      2,
    ),
  );
}
