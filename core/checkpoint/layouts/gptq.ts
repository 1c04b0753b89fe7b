/**
 * GPTQ without act-order: qweight [K/8, N] with eight inputs k to a word, qzeros [groups, N/8] with eight outputs to a
 * word, both from the lowest bits up. Version 1 stores z − 1; version 2 stores z. Where a version 1 file stores 15, its
 * readers disagree (some take 16, some carry into the next nibble), so it is refused.
 * Source: AutoGPTQ 0.7 `nn_modules/qlinear/qlinear_cuda_old.py`; GPTQModel `utils/model.py`
 * (convert_gptq_v1_to_v2_format).
 */
import type { Quantization } from "../../config.ts";
import { GureumError } from "../../errors.ts";
import { jsonKind, quote } from "../../json.ts";
import { packNibbles, unpackNibbles } from "../../quant/awq-format.ts";
import { type Fields, fieldsOf } from "../fields.ts";
import {
  checkBits,
  checkName,
  checkOff,
  groupSizeOf,
  type Int4Shape,
  type Layout,
  nibbleAt,
  placeOf,
  type StoredCheck,
  unsupported,
} from "./layout.ts";

/** Words [K/8, N], eight k to a word, to AWQ's [K, N/8]. */
function wordsAlongK(words: Int32Array, { N, K }: Int4Shape): Int32Array {
  const values = new Uint8Array(K * N);
  for (let row = 0; row < K / 8; row++)
    for (let n = 0; n < N; n++) {
      const word = words[row * N + n]!;
      for (let i = 0; i < 8; i++) values[(8 * row + i) * N + n] = nibbleAt(word, i);
    }
  return packNibbles(values);
}

/** Zero points [groups, N/8] in natural order, each `offset` below z. */
const zerosAlongN =
  (offset: 0 | 1) =>
  (words: Int32Array, { N }: Int4Shape): Int32Array => {
    const values = new Uint8Array(words.length * 8);
    for (let c = 0; c < words.length; c++)
      for (let i = 0; i < 8; i++) {
        const z = nibbleAt(words[c]!, i) + offset;
        if (z > 15)
          throw new GureumError("unsupported", {
            where: `group ${Math.floor((8 * c) / N)}, output ${(8 * c + i) % N}`,
            what: "a stored zero point of 15, which readers of GPTQ version 1 take for 16 or for 0",
            remedy: "save the checkpoint with checkpoint_format gptq_v2",
          });
        values[8 * c + i] = z;
      }
    return packNibbles(values);
  };

/** AWQ's [K, N/8] to words [K/8, N]. */
function wordsFromAwq(words: Int32Array, { N, K }: Int4Shape): Int32Array {
  const values = unpackNibbles(words);
  const out = new Int32Array((K / 8) * N);
  for (let row = 0; row < K / 8; row++)
    for (let n = 0; n < N; n++) {
      let word = 0;
      for (let i = 0; i < 8; i++) word |= values[(8 * row + i) * N + n]! << (4 * i);
      out[row * N + n] = word;
    }
  return out;
}

const zerosFromAwq =
  (offset: 0 | 1) =>
  (words: Int32Array, { N }: Int4Shape): Int32Array => {
    const values = unpackNibbles(words);
    const out = new Int32Array(words.length);
    for (const [at, z] of values.entries()) {
      if (z < offset)
        throw new GureumError("unsupported", {
          where: `group ${Math.floor(at / N)}, output ${at % N}`,
          what: "a zero point of 0, which GPTQ version 1 cannot store",
          remedy: "convert to gptq-v2",
        });
      out[at >> 3] = out[at >> 3]! | ((z - offset) << (4 * (at & 7)));
    }
    return out;
  };

/** ⌊k · groups / K⌋ for each input. */
const groupsInOrder = ({ K, groups }: Int4Shape): Int32Array<ArrayBuffer> =>
  Int32Array.from({ length: K }, (_, k) => Math.floor((k * groups) / K));

/** g_idx [K] must be ⌊k · groups / K⌋: act-order puts inputs of one group far apart. */
function checkGroupIndex(bytes: Uint8Array, { K, groups }: Int4Shape): void {
  const index = new Int32Array(bytes.slice().buffer);
  const at = index.findIndex((group, k) => group !== Math.floor((k * groups) / K));
  if (at >= 0)
    throw new GureumError("unsupported", {
      what: "inputs in act-order (g_idx)",
      expected: `group ${Math.floor((at * groups) / K)} for input ${at}`,
      got: `${index[at]}`,
      remedy: "quantize with desc_act false (llm-compressor: actorder static)",
    });
}

/** The check of g_idx, which compressed-tensors has under another name. */
export const groupIndex = (suffix: string): StoredCheck => ({
  suffix,
  dtypes: ["I32"],
  shape: ({ K }) => [K],
  check: checkGroupIndex,
});

/**
 * Which version a config is of; null: of none. AutoRound says by `packing_format` what others say by
 * `checkpoint_format`.
 */
function versionOf(method: string, fields: Fields): 1 | 2 | null {
  if (method === "auto-round") {
    // Before 0.5 AutoRound had no packing_format: backend named the packing too, and "auto_round:exllamav2" stored z.
    const packing = fields.string("packing_format", fields.string("backend", "auto")).toLowerCase();
    if (/^(auto|auto_round:(auto_)?gptq)$/.test(packing)) return 1;
    return packing === "auto_round" || packing === "auto_round:gptqmodel" ? 2 : null;
  }
  if (method !== "gptq") return null;
  const key = fields.has("checkpoint_format") ? "checkpoint_format" : "format";
  checkName(fields, key, "GPTQ layout", ["gptq", "gptq_v2"]);
  return fields.string(key, "gptq").toLowerCase() === "gptq_v2" ? 2 : 1;
}

/** GPTQModel's exceptions by module: "-:" and a pattern leaves modules unquantized; others must change nothing that is read here. */
function checkDynamic(fields: Fields, groupSize: number | "whole"): void {
  if (!fields.has("dynamic")) return;
  const dynamic = fieldsOf(fields.get("dynamic"), placeOf(fields, "dynamic"));
  for (const [pattern, value] of dynamic.values) {
    if (pattern.startsWith("-:")) continue;
    const own = fieldsOf(value, `${dynamic.where}.${quote(pattern)}`);
    checkBits(own, "bits");
    checkOff(own, "desc_act", "act-order");
    if (own.has("group_size") && groupSizeOf(own, "group_size") !== groupSize)
      throw unsupported(
        placeOf(own, "group_size"),
        "settings that differ between modules",
        `${groupSize}`,
        jsonKind(own.get("group_size")),
      );
  }
}

const gptqLayout = (name: "gptq" | "gptq-v2", version: 1 | 2): Layout => ({
  name,
  detect(method, fields): Quantization | null {
    if (versionOf(method, fields) !== version) return null;
    checkBits(fields, "bits");
    const groupSize = groupSizeOf(fields, "group_size", 128);
    // With one group, or groups set before the inputs were sorted, each input's group is where it would be without act-order.
    if (groupSize !== "whole" && !fields.boolean("static_groups", false)) checkOff(fields, "desc_act", "act-order");
    checkOff(fields, "is_marlin_format", "Marlin's layout");
    checkOff(fields, "lm_head", "a quantized head");
    checkDynamic(fields, groupSize);
    return { layout: name, groupSize, symmetric: fields.get("sym") === true };
  },
  qweight: { suffix: ".qweight", dtypes: ["I32"], shape: ({ N, K }) => [K / 8, N], toAwq: wordsAlongK, fromAwq: wordsFromAwq },
  qzeros: {
    suffix: ".qzeros",
    dtypes: ["I32"],
    shape: ({ N, groups }) => [groups, N / 8],
    toAwq: zerosAlongN(version === 1 ? 1 : 0),
    fromAwq: zerosFromAwq(version === 1 ? 1 : 0),
  },
  scales: { suffix: ".scales", dtypes: ["F16", "BF16", "F32"], shape: ({ N, groups }) => [groups, N], transposed: false },
  checks: [{ ...groupIndex(".g_idx"), content: groupsInOrder }],
  omitsZeros: false,
  config({ groupSize, symmetric, unconverted: [first] }) {
    if (first !== undefined)
      throw new GureumError("unsupported", {
        where: first,
        what: "a linear that is not int4 in GPTQ, which has no common word for such",
        remedy: "convert to awq-gemm or compressed-tensors",
      });
    return {
      bits: 4,
      checkpoint_format: version === 1 ? "gptq" : "gptq_v2",
      desc_act: false,
      group_size: groupSize === "whole" ? -1 : groupSize,
      lm_head: false,
      pack_dtype: "int32",
      quant_method: "gptq",
      sym: symmetric,
    };
  },
});

export const gptq: Layout = gptqLayout("gptq", 1);
export const gptqV2: Layout = gptqLayout("gptq-v2", 2);
