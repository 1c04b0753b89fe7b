/** The layouts of int4 linears that are read, and which of them a `quantization_config` means. */
import type { Quantization } from "../../config.ts";
import { GureumError } from "../../errors.ts";
import { quote } from "../../json.ts";
import { type Fields, fieldsOf } from "../fields.ts";
import { awq } from "./awq.ts";
import { compressedTensors } from "./compressed-tensors.ts";
import { gptq, gptqV2 } from "./gptq.ts";
import { checkBits, checkOff, type Layout, placeOf, unsupported } from "./layout.ts";

export const layouts: readonly Layout[] = [awq, gptq, gptqV2, compressedTensors];

/** The layout of this name. */
export const layoutOf = ({ layout }: Quantization): Layout => layouts.find(({ name }) => name === layout)!;

/**
 * What is computed beside the linears, whatever holds their words: GPTQModel's online Hadamard transforms and 4-bit
 * activations, AutoRound's rotations, activations of less than 16 bits and other number formats.
 */
function checkBesides(fields: Fields): void {
  for (const key of ["rotation", "rotation_config", "spinquant_config"]) checkOff(fields, key, "rotations between linears");
  checkOff(fields, "activation", "quantized activations");
  const bits = fields.count("act_bits", 16);
  if (bits < 16) throw unsupported(placeOf(fields, "act_bits"), "quantized activations", "16 bits or none", `${bits}`);
  const type = fields.string("data_type", "int");
  if (!/^int/i.test(type)) throw unsupported(placeOf(fields, "data_type"), "number format of the weights", '"int"', quote(type));
}

/** AutoRound's exceptions by module: other than 4 bits is either unquantized (16 or more) or not read. */
function checkExceptions(fields: Fields): void {
  if (!fields.has("extra_config")) return;
  for (const [name, value] of fieldsOf(fields.get("extra_config"), `${fields.where}.extra_config`).values) {
    const exception = fieldsOf(value, `${fields.where}.extra_config.${quote(name)}`);
    if (exception.count("bits", 4) >= 16) continue;
    checkBits(exception, "bits");
    checkBesides(exception);
  }
}

/**
 * The settings of a `quantization_config`.
 * @param otherwise the method where the file names none
 * @throws GureumError "unsupported" where no layout is meant, "format" without a method
 */
export function detectLayout(fields: Fields, otherwise?: string): Quantization {
  const method = fields.string("quant_method", otherwise).toLowerCase();
  if (method === "auto-round") checkExceptions(fields);
  for (const { detect } of layouts) {
    const found = detect(method, fields);
    if (!found) continue;
    checkBesides(fields);
    return found;
  }
  const key = ["packing_format", "backend"].find((name) => fields.has(name));
  const packing = key ? `, ${key} ${quote(fields.string(key))}` : "";
  throw new GureumError("unsupported", {
    where: placeOf(fields, "quant_method"),
    what: "quantization",
    expected: "awq, gptq, compressed-tensors (pack-quantized) or auto-round",
    got: `${quote(method)}${packing}`,
    remedy: "take an AWQ, GPTQ or W4A16 release of the model, or the unquantized one",
  });
}
