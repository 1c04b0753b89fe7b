/**
 * Single parts of a checkpoint as f32, for whoever looks at weights: any tensor by its name in the files, a linear by its place in the model
 * with its int4 words multiplied out, rows of the embedding table. Nothing else of the folder is read.
 */
import type { LlamaConfig } from "../config.ts";
import { type DType, type FloatDType, f16Values, widenFloats } from "../dtype.ts";
import { GureumError } from "../errors.ts";
import { quote } from "../json.ts";
import { linearParts, partKey } from "../model/layer.ts";
import type { LinearRef, LlamaWeightRefs } from "../model/weights.ts";
import { dequantize } from "../quant/awq-format.ts";
import { checkIds } from "../tensor.ts";
import { allocateBytes } from "./safetensors.ts";
import { readTensorInto, type TensorTable } from "./shards.ts";
import { readMatrix, readVector } from "./weights.ts";

/** A tensor as numbers; row-major. */
export interface F32Tensor {
  /** The tensor's key. */
  readonly name: string;
  /** Sizes, the slowest first. */
  readonly shape: readonly number[];
  /** Row by row. */
  readonly data: Float32Array;
  /** As it is stored. */
  readonly dtype: DType;
}

/** Whole numbers as f32. @throws GureumError "range" for one that f32 does not hold */
function wholeNumbers(where: string, values: ArrayLike<number | bigint>): Float32Array {
  const data = new Float32Array(values.length);
  for (let i = 0; i < values.length; i++) {
    const value = Number(values[i]!);
    if (Math.fround(value) !== value || (typeof values[i] === "bigint" && BigInt(value) !== values[i]))
      throw new GureumError("range", {
        where,
        what: `element ${i}`,
        expected: "a number that f32 holds",
        got: `${values[i]}`,
        remedy: "openTensors reads integers as they are; readLinear multiplies int4 words out",
      });
    data[i] = value;
  }
  return data;
}

/** OCP 8-bit floats, E4M3: sign, 4 bits of exponent (bias 7), 3 of fraction; no infinity, S.1111.111 is NaN. */
function e4m3(bits: number): number {
  const [exponent, fraction] = [(bits >> 3) & 15, bits & 7];
  const magnitude = exponent === 15 && fraction === 7 ? NaN : exponent === 0 ? fraction * 2 ** -9 : (8 + fraction) * 2 ** (exponent - 10);
  return bits & 0x80 ? -magnitude : magnitude;
}

/** A tensor's bytes as f32: exact, F64 apart, which is rounded to the nearest. @throws GureumError "unsupported", "range" */
function toF32(where: string, dtype: DType, buffer: ArrayBuffer): Float32Array {
  switch (dtype) {
    case "F32":
    case "F16":
    case "BF16":
      return widenFloats(buffer, dtype);
    case "F64":
      return Float32Array.from(new Float64Array(buffer));
    case "F8_E4M3":
      return Float32Array.from(new Uint8Array(buffer), e4m3);
    case "F8_E5M2": {
      const table = f16Values(); // whose upper half it is
      return Float32Array.from(new Uint8Array(buffer), (bits) => table[bits << 8]!);
    }
    case "I8":
      return Float32Array.from(new Int8Array(buffer));
    case "U8":
    case "BOOL":
      return Float32Array.from(new Uint8Array(buffer));
    case "I16":
      return Float32Array.from(new Int16Array(buffer));
    case "U16":
      return Float32Array.from(new Uint16Array(buffer));
    case "I32":
      return wholeNumbers(where, new Int32Array(buffer));
    case "U32":
      return wholeNumbers(where, new Uint32Array(buffer));
    case "I64":
      return wholeNumbers(where, new BigInt64Array(buffer));
    case "U64":
      return wholeNumbers(where, new BigUint64Array(buffer));
    default:
      throw new GureumError("unsupported", {
        where,
        what: "dtype that is not made f32",
        got: dtype,
        remedy: "openTensors gives its bytes",
      });
  }
}

/**
 * One tensor by its name in the files, whatever it is for.
 * @throws GureumError "missing-tensor", "range" for an integer that f32 does not hold, "unsupported" for other dtypes, "io", "out-of-memory"
 */
export async function readTensorF32({ name: place, tensors }: Pick<TensorTable, "name" | "tensors">, name: string): Promise<F32Tensor> {
  const tensor = tensors.get(name);
  if (!tensor)
    throw new GureumError("missing-tensor", {
      where: place,
      what: `no tensor ${quote(name)}`,
      remedy: "openTensors lists the names; gureum inspect shows them",
    });
  const { dtype, shape, byteLength } = tensor.info;
  const bytes = allocateBytes(byteLength, name);
  await readTensorInto(tensor, 0, bytes);
  return { name, shape, dtype, data: toF32(`${place} > ${quote(name)}`, dtype, bytes.buffer) };
}

/** A linear: y [N] = W x [K] + bias. */
export interface F32Linear {
  /** As the checkpoint calls it: "model.layers.0.self_attn.q_proj". */
  readonly name: string;
  /** [N, K] */
  readonly shape: readonly [number, number];
  /** W[n, k], row-major. Of an int4 linear (q − z) · s, exact in f32. */
  readonly data: Float32Array;
  /** [N] */
  readonly bias: Float32Array | null;
  /** How it is stored; `groupSize` inputs share a scale and a zero point. */
  readonly stored: { readonly kind: "int4"; readonly groupSize: number } | { readonly kind: "dense"; readonly dtype: FloatDType };
}

/** A linear by the checkpoint's name, or by the one that traces use: "layers.0.qProj", "lmHead". */
function findLinear({ numHiddenLayers }: LlamaConfig, refs: LlamaWeightRefs, name: string): { name: string; ref: LinearRef } | undefined {
  if (name === "lm_head" || name === "lmHead") {
    const [outFeatures, inFeatures] = refs.lmHead.shape as [number, number];
    return { name: "lm_head", ref: { kind: "dense", outFeatures, inFeatures, weight: refs.lmHead, bias: null } };
  }
  for (let i = 0; i < numHiddenLayers; i++)
    for (const part of linearParts)
      if (name === partKey(i, part) || name === `layers.${i}.${part.name}`)
        return { name: partKey(i, part), ref: refs.layers[i]![part.name] };
  return undefined;
}

/**
 * One linear of the model, multiplied out, whatever layout or dialect it is stored in.
 * @throws GureumError "missing-tensor" for a name that is no linear's; as `readWeights`
 */
export async function readLinearF32(config: LlamaConfig, refs: LlamaWeightRefs, wanted: string): Promise<F32Linear> {
  const found = findLinear(config, refs, wanted);
  if (!found)
    throw new GureumError("missing-tensor", {
      where: "readLinear",
      what: `no linear ${quote(wanted)}`,
      expected: `lm_head, or one of ${linearParts.map(({ key }) => key).join(", ")} behind model.layers.0. to model.layers.${config.numHiddenLayers - 1}.`,
    });
  const { name, ref } = found;
  const matrix = await readMatrix(ref);
  const { outFeatures: N, inFeatures: K } = matrix;
  const bias = ref.bias && (await readVector(ref.bias));
  if (matrix.kind === "dense") {
    const { dtype, data: bits } = matrix;
    const data = widenFloats(bits.buffer as ArrayBuffer, dtype);
    return { name, shape: [N, K], data, bias, stored: { kind: "dense", dtype } };
  }
  const byInput = dequantize(matrix);
  const data = new Float32Array(N * K);
  for (let k = 0; k < K; k++) for (let n = 0; n < N; n++) data[n * K + k] = byInput[k * N + n]!;
  return { name, shape: [N, K], data, bias, stored: { kind: "int4", groupSize: matrix.groupSize } };
}

/**
 * Rows of the embedding table, [ids, D]: what the model starts from, the same for an id wherever it stands.
 * @throws GureumError "range" for an id outside the vocabulary, "io", "non-finite"
 */
export async function readEmbeddingsF32({ embedTokens: ref }: LlamaWeightRefs, ids: ArrayLike<number>): Promise<F32Tensor> {
  const [V, D] = ref.shape as [number, number];
  checkIds(ids, V);
  const dtype = ref.dtype as FloatDType;
  const rowBytes = ref.byteLength / V;
  const bytes = allocateBytes(ids.length * rowBytes, ref.key);
  for (let i = 0; i < ids.length; i++) await ref.readInto(ids[i]! * rowBytes, bytes.subarray(i * rowBytes, (i + 1) * rowBytes));
  return { name: ref.key, shape: [ids.length, D], dtype, data: widenFloats(bytes.buffer, dtype) };
}
