/**
 * compressed-tensors' pack-quantized, as llm-compressor writes it: weight_packed [N, K/8] with eight inputs k to a word
 * from the lowest bits up, each nibble q + 8 of a signed q; weight_scale [N, groups]; weight_zero_point [N/8, groups],
 * packed along N alike, or none where symmetric.
 * Source: compressed-tensors 0.20 `compressors/pack_quantized/helpers.py`, `quantization/quant_args.py`,
 * `quantization/quant_config.py`.
 */
import type { Quantization } from "../../config.ts";
import { GureumError } from "../../errors.ts";
import { jsonKind } from "../../json.ts";
import { packNibbles, unpackNibbles } from "../../quant/awq-format.ts";
import { type Fields, fieldsOf } from "../fields.ts";
import { groupIndex } from "./gptq.ts";
import {
  checkBits,
  checkName,
  checkOff,
  groupSizeOf,
  type Int4Shape,
  type Layout,
  nibbleAt,
  placeOf,
  type WrittenSettings,
} from "./layout.ts";

/** Words [N, K/8] to AWQ's [K, N/8]. */
function wordsAlongK(words: Int32Array, { N, K }: Int4Shape): Int32Array {
  const values = new Uint8Array(K * N);
  const columns = K / 8;
  for (let n = 0; n < N; n++)
    for (let c = 0; c < columns; c++) {
      const word = words[n * columns + c]!;
      for (let i = 0; i < 8; i++) values[(8 * c + i) * N + n] = nibbleAt(word, i);
    }
  return packNibbles(values);
}

/** Words [N/8, groups] to AWQ's [groups, N/8]. */
function zerosAlongN(words: Int32Array, { N, groups }: Int4Shape): Int32Array {
  const values = new Uint8Array(groups * N);
  for (let row = 0; row < N / 8; row++)
    for (let g = 0; g < groups; g++) for (let i = 0; i < 8; i++) values[g * N + 8 * row + i] = nibbleAt(words[row * groups + g]!, i);
  return packNibbles(values);
}

/** AWQ's [K, N/8] to words [N, K/8]. */
function wordsFromAwq(words: Int32Array, { N, K }: Int4Shape): Int32Array {
  const values = unpackNibbles(words);
  const columns = K / 8;
  const out = new Int32Array(N * columns);
  for (let n = 0; n < N; n++)
    for (let c = 0; c < columns; c++) {
      let word = 0;
      for (let i = 0; i < 8; i++) word |= values[(8 * c + i) * N + n]! << (4 * i);
      out[n * columns + c] = word;
    }
  return out;
}

/** AWQ's [groups, N/8] to words [N/8, groups]. */
function zerosFromAwq(words: Int32Array, { N, groups }: Int4Shape): Int32Array {
  const values = unpackNibbles(words);
  const out = new Int32Array((N / 8) * groups);
  for (let row = 0; row < N / 8; row++)
    for (let g = 0; g < groups; g++) {
      let word = 0;
      for (let i = 0; i < 8; i++) word |= values[g * N + 8 * row + i]! << (4 * i);
      out[row * groups + g] = word;
    }
  return out;
}

/** As llm-compressor writes it. */
function config({ groupSize, symmetric, unconverted }: WrittenSettings): Record<string, unknown> {
  const weights = {
    actorder: null,
    block_structure: null,
    dynamic: false,
    group_size: groupSize === "whole" ? null : groupSize,
    num_bits: 4,
    observer: "minmax",
    observer_kwargs: {},
    strategy: groupSize === "whole" ? "channel" : "group",
    symmetric,
    type: "int",
  };
  return {
    config_groups: {
      group_0: { format: "pack-quantized", input_activations: null, output_activations: null, targets: ["Linear"], weights },
    },
    format: "pack-quantized",
    global_compression_ratio: null,
    ignore: ["lm_head", ...unconverted],
    kv_cache_scheme: null,
    quant_method: "compressed-tensors",
    quantization_status: "compressed",
  };
}

function checkShape(bytes: Uint8Array, { N, K }: Int4Shape): void {
  const stated = new BigInt64Array(bytes.slice().buffer);
  if (stated[0] !== BigInt(N) || stated[1] !== BigInt(K))
    throw new GureumError("shape", {
      what: "shape",
      expected: `[${N}, ${K}]`,
      got: `[${stated[0]}, ${stated[1]}]`,
      remedy: "check that config.json and the weights are of one release",
    });
}

/** The `weights` of one of config_groups. */
function parseGroup(group: Fields): Quantization {
  checkName(group, "format", "format of compressed-tensors", ["pack-quantized"]);
  for (const key of ["input_activations", "output_activations"]) checkOff(group, key, "quantized activations");
  const weights = fieldsOf(group.get("weights"), `${group.where}.weights`);
  checkName(weights, "type", "type of the weights", ["int"]);
  checkBits(weights, "num_bits");
  checkName(weights, "strategy", "strategy", ["group", "channel"]);
  checkOff(weights, "dynamic", "scales made while running");
  const whole = weights.string("strategy", "group") === "channel";
  return {
    layout: "compressed-tensors",
    groupSize: whole ? "whole" : groupSizeOf(weights, "group_size"),
    symmetric: weights.boolean("symmetric", true),
  };
}

function detect(method: string, fields: Fields): Quantization | null {
  const packing = fields.string("packing_format", "").toLowerCase();
  if (method !== "compressed-tensors" && !(method === "auto-round" && packing === "auto_round:llm_compressor")) return null;
  checkName(fields, "format", "format of compressed-tensors", ["pack-quantized"]);
  checkOff(fields, "kv_cache_scheme", "a quantized cache");
  checkOff(fields, "transform_config", "transforms between linears");
  const sparsity = fields.has("sparsity_config") ? fieldsOf(fields.get("sparsity_config"), placeOf(fields, "sparsity_config")) : null;
  if (sparsity) checkName(sparsity, "format", "sparse weights", ["dense"]);
  const groups = fieldsOf(fields.get("config_groups"), placeOf(fields, "config_groups"));
  const settings = [...groups.values].map(([name, group]) => parseGroup(fieldsOf(group, `${groups.where}.${name}`)));
  const [first] = settings;
  if (!first) throw new GureumError("format", { where: groups.where, what: "empty" });
  if (settings.some(({ groupSize, symmetric }) => groupSize !== first.groupSize || symmetric !== first.symmetric))
    throw new GureumError("unsupported", {
      where: groups.where,
      what: "settings that differ between modules",
      got: jsonKind([...groups.values.keys()].join(", ")),
    });
  return first;
}

export const compressedTensors: Layout = {
  name: "compressed-tensors",
  detect,
  qweight: { suffix: ".weight_packed", dtypes: ["I32"], shape: ({ N, K }) => [N, K / 8], toAwq: wordsAlongK, fromAwq: wordsFromAwq },
  qzeros: {
    suffix: ".weight_zero_point",
    dtypes: ["I32"],
    shape: ({ N, groups }) => [N / 8, groups],
    toAwq: zerosAlongN,
    fromAwq: zerosFromAwq,
  },
  scales: { suffix: ".weight_scale", dtypes: ["F16", "BF16", "F32"], shape: ({ N, groups }) => [N, groups], transposed: true },
  checks: [
    {
      suffix: ".weight_shape",
      dtypes: ["I64"],
      shape: () => [2],
      check: checkShape,
      content: ({ N, K }) => BigInt64Array.of(BigInt(N), BigInt(K)),
    },
    groupIndex(".weight_g_idx"),
  ],
  omitsZeros: true,
  config,
};
