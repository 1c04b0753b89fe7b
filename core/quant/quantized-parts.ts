/** Finished layers as files of their own: the tensors as the checkpoint will have them, their losses in the metadata. */
import type { FolderWriter } from "../checkpoint/byte-sink.ts";
import type { ByteStore } from "../checkpoint/byte-source.ts";
import { toFloat16 } from "../checkpoint/float16.ts";
import { openSafetensors, readTensor, type Safetensors, type TensorEntry, writeSafetensors } from "../checkpoint/safetensors.ts";
import type { LlamaConfig } from "../config.ts";
import { widenFloats } from "../dtype.ts";
import { GureumError, withinAsync } from "../errors.ts";
import { type LinearName, layerParts, makeLayerInTurn, partKey } from "../model/layer.ts";
import type { LayerWeights } from "../model/weights.ts";
import type { LinearLoss, QuantizedLayer, Rows } from "./search/quantize-layer.ts";

/** A layer as it was quantized by itself, and as it is when all of them have been trained together. */
export type Stage = "layer" | "trained";
export const layerFile = (layer: number, stage: Stage = "layer"): string => `${stage}-${`${layer}`.padStart(5, "0")}.safetensors`;
const lossesKey = "losses";
const rowsKey = "rows";

const bytesOf = ({ buffer, byteOffset, byteLength }: Int32Array | Uint16Array): Uint8Array =>
  new Uint8Array(buffer, byteOffset, byteLength);

/** The tensors of a layer: int4 words of the linears, all else float16. */
function layerEntries(layer: number, weights: LayerWeights): TensorEntry[] {
  const entries: TensorEntry[] = [];
  const float = (name: string, values: Float32Array): void => {
    entries.push({ name, dtype: "F16", shape: [values.length], data: bytesOf(toFloat16(values, name)) });
  };
  for (const part of layerParts) {
    const key = partKey(layer, part);
    if (part.kind === "norm") {
      const norm = weights[part.name];
      if (norm) float(`${key}.weight`, norm);
      continue;
    }
    const { weight, bias } = weights[part.name];
    if (weight.kind !== "awq") throw new GureumError("shape", { where: key, what: "not quantized" });
    const { inFeatures: K, outFeatures: N, groupSize, qweight, qzeros, scales } = weight;
    entries.push({ name: `${key}.qweight`, dtype: "I32", shape: [K, N / 8], data: bytesOf(qweight) });
    entries.push({ name: `${key}.qzeros`, dtype: "I32", shape: [K / groupSize, N / 8], data: bytesOf(qzeros) });
    entries.push({ name: `${key}.scales`, dtype: "F16", shape: [K / groupSize, N], data: bytesOf(scales) });
    if (bias) float(`${key}.bias`, bias);
  }
  return entries;
}

export function writePart(
  folder: FolderWriter,
  layer: number,
  { weights, losses, rows }: QuantizedLayer,
  stage: Stage = "layer",
): Promise<void> {
  const entries = layerEntries(layer, weights);
  const divisors = Object.fromEntries(Object.entries(rows).map(([name, values]) => [name, [...values]]));
  const metadata = new Map([
    [lossesKey, JSON.stringify(losses)],
    [rowsKey, JSON.stringify(divisors)],
  ]);
  return folder.file(layerFile(layer, stage), (sink) => writeSafetensors(entries, sink, metadata));
}

export interface Part {
  readonly file: Safetensors;
  readonly losses: QuantizedLayer["losses"];
  readonly rows: Rows;
  close(): Promise<void>;
}

/** @throws GureumError "format" for a file that is none of these */
export async function openPart(store: ByteStore, layer: number, stage: Stage = "layer"): Promise<Part> {
  const source = await store.open(layerFile(layer, stage));
  try {
    const file = await openSafetensors(source);
    const text = file.metadata.get(lossesKey);
    if (text === undefined) throw new GureumError("format", { where: source.name, what: "not a layer of a run of quantize" });
    const rows = JSON.parse(file.metadata.get(rowsKey) ?? "{}") as Record<LinearName, number[]>;
    return {
      file,
      losses: JSON.parse(text) as Record<LinearName, LinearLoss>,
      rows: Object.fromEntries(Object.entries(rows).map(([name, values]) => [name, Float32Array.from(values)])),
      close: () => source.close(),
    };
  } catch (error) {
    await source.close();
    throw error;
  }
}

/** The layer that a part holds, to compute with. */
export function partWeights({ file }: Part, layer: number, config: LlamaConfig, groupSize: number): Promise<LayerWeights> {
  const buffer = async (name: string): Promise<ArrayBuffer> => (await readTensor(file, name)).slice().buffer;
  const vector = async (name: string): Promise<Float32Array | null> =>
    file.tensors.has(name) ? widenFloats(await buffer(name), "F16") : null;
  return withinAsync(file.source.name, () =>
    makeLayerInTurn(
      async (part) => {
        const key = partKey(layer, part);
        return {
          weight: {
            kind: "awq",
            outFeatures: part.outFeatures(config),
            inFeatures: part.inFeatures(config),
            groupSize,
            qweight: new Int32Array(await buffer(`${key}.qweight`)),
            qzeros: new Int32Array(await buffer(`${key}.qzeros`)),
            scales: new Uint16Array(await buffer(`${key}.scales`)),
          },
          bias: await vector(`${key}.bias`),
        };
      },
      (part) => vector(`${partKey(layer, part)}.weight`),
    ),
  );
}

/** Bytes read at a time. */
const CHUNK = 4 * 2 ** 20;

/** The tensors of a part, read while they are written elsewhere. */
export const partEntries = ({ file }: Part): TensorEntry[] =>
  [...file.tensors.values()].map(({ name, dtype, shape, byteOffset, byteLength }) => ({
    name,
    dtype,
    shape,
    async *data() {
      for (let at = 0; at < byteLength; at += CHUNK) {
        const bytes = new Uint8Array(Math.min(CHUNK, byteLength - at));
        await file.source.readInto(byteOffset + at, bytes);
        yield bytes;
      }
    },
  }));
