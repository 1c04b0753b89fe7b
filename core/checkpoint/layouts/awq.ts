/**
 * AWQ's GEMM layout: the words of memory themselves. AutoAWQ, GPTQModel, AutoRound (`auto_awq`) and transformers write
 * it; exllama and ipex are names of programs that read the same bytes. Zero points are stored whatever `zero_point`
 * says: symmetric ones are 8 in every nibble.
 * Source: AutoAWQ 0.2.9 `awq/models/_config.py`, `awq/modules/linear/gemm.py`; transformers `AwqConfig`;
 * docs/formats.md.
 */
import type { Quantization } from "../../config.ts";
import { GureumError } from "../../errors.ts";
import { jsonKind } from "../../json.ts";
import type { Fields } from "../fields.ts";
import { checkBits, checkName, groupSizeOf, type Layout, placeOf, presentKey, type WrittenSettings } from "./layout.ts";

/**
 * `quant_method: "awq"`, `"auto-round"` that packs as AutoAWQ, and AutoAWQ's old quant_config.json, which names no
 * method.
 */
function detect(method: string, fields: Fields): Quantization | null {
  const packing = fields.string("packing_format", "").toLowerCase();
  if (method !== "awq" && !(method === "auto-round" && packing.includes("awq"))) return null;
  if (fields.string("backend", "autoawq").toLowerCase() === "llm-awq") checkName(fields, "backend", "AWQ layout", ["autoawq"]);
  for (const key of ["version", "format", "checkpoint_format"]) checkName(fields, key, "AWQ layout", ["gemm", "exllama", "ipex"]);
  checkBits(fields, presentKey(fields, "bits", "w_bit"));
  const unconverted = fields.get("modules_to_not_convert");
  if (unconverted !== null && !(Array.isArray(unconverted) && unconverted.every((name) => typeof name === "string")))
    throw new GureumError("format", {
      where: placeOf(fields, "modules_to_not_convert"),
      what: "wrong type",
      expected: "a list of names or null",
      got: jsonKind(unconverted),
    });
  return { layout: "awq", groupSize: groupSizeOf(fields, presentKey(fields, "group_size", "q_group_size"), 128), symmetric: false };
}

/** As AutoAWQ writes it. */
export const awqQuantizationConfig = ({ groupSize, unconverted }: WrittenSettings): Record<string, unknown> => ({
  bits: 4,
  group_size: groupSize === "whole" ? -1 : groupSize,
  modules_to_not_convert: unconverted.length > 0 ? unconverted : null,
  quant_method: "awq",
  version: "gemm",
  zero_point: true,
});

export const awq: Layout = {
  name: "awq",
  detect,
  qweight: { suffix: ".qweight", dtypes: ["I32"], shape: ({ N, K }) => [K, N / 8], toAwq: "as stored", fromAwq: "as stored" },
  qzeros: { suffix: ".qzeros", dtypes: ["I32"], shape: ({ N, groups }) => [groups, N / 8], toAwq: "as stored", fromAwq: "as stored" },
  scales: { suffix: ".scales", dtypes: ["F16", "BF16", "F32"], shape: ({ N, groups }) => [groups, N], transposed: false },
  checks: [],
  omitsZeros: false,
  config: awqQuantizationConfig,
};
