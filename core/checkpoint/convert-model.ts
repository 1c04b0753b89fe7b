/**
 * A checkpoint written in another layout: the same q, z and s in other places, or float16. Int4 to int4 loses nothing;
 * what a format cannot hold is refused. One matrix is in memory at a time.
 */
import type { LlamaConfig } from "../config.ts";
import type { DType } from "../dtype.ts";
import { GureumError, within, withinAsync } from "../errors.ts";
import { layerParts, linearParts, partKey } from "../model/layer.ts";
import type { LinearRef, TensorRef } from "../model/weights.ts";
import { dequantize, unpackNibbles } from "../quant/awq-format.ts";
import { decodeUtf8 } from "../utf8.ts";
import type { FolderWriter } from "./byte-sink.ts";
import type { ByteStore } from "./byte-source.ts";
import { copyCompanions } from "./companions.ts";
import { configFile } from "./config.ts";
import type { Rounding } from "./convert.ts";
import { float16Entry, toFloat16 } from "./float16.ts";
import { maxSmallBytes, openFolder } from "./folder.ts";
import { withMembers } from "./json-members.ts";
import { layouts } from "./layouts/index.ts";
import type { Int4Shape, Layout, StoredTensor, StoredWords } from "./layouts/layout.ts";
import { allocateBytes, type TensorEntry } from "./safetensors.ts";
import { type Checkpoint, openCheckpoint, readMatrix } from "./weights.ts";
import { defaultShardBytes, tensorBytes, writeShards, writeText } from "./write-shards.ts";

/** What a checkpoint can be written as. */
export const formats = ["awq-gemm", "compressed-tensors", "gptq", "gptq-v2", "float16"] as const;
/** A name of `formats`. */
export type Format = (typeof formats)[number];

/** How shards are written. */
export interface ConvertOptions {
  /** Bytes of a shard, at most. */
  readonly maxShardBytes?: number;
  /** Called while tensors are written. */
  readonly onProgress?: (bytesDone: number, bytesTotal: number) => void;
}
/** What a conversion changed. */
export interface Converted {
  /** Numbers that float16 lacks, rounded to the nearest; none but where the format is float16. */
  readonly rounded: Rounding;
}

type Int4Ref = LinearRef & { readonly kind: "awq" };

const bytesOf = ({ buffer, byteOffset, byteLength }: Int32Array | Uint16Array | BigInt64Array): Uint8Array =>
  new Uint8Array(buffer, byteOffset, byteLength);

async function readWhole(ref: TensorRef): Promise<Uint8Array<ArrayBuffer>> {
  const bytes = allocateBytes(ref.byteLength, ref.key);
  await ref.readInto(0, bytes);
  return bytes;
}

/** A tensor as it is stored, under its own name. */
const copied = (ref: TensorRef): TensorEntry => ({
  name: ref.key,
  dtype: ref.dtype,
  shape: ref.shape,
  async *data() {
    yield await readWhole(ref);
  },
});

const entryOf = (name: string, dtype: DType, shape: readonly number[], make: () => Promise<Uint8Array>): TensorEntry => ({
  name,
  dtype,
  shape,
  async *data() {
    yield await withinAsync(name, make);
  },
});

/** The tensors of an int4 linear in a layout. */
function int4Entries(key: string, ref: Int4Ref, layout: Layout, symmetric: boolean): TensorEntry[] {
  const { outFeatures: N, inFeatures: K, groupSize } = ref;
  const shape: Int4Shape = { N, K, groups: K / groupSize };
  if (layout.qweight.fromAwq !== "as stored" && K % 8 !== 0)
    throw new GureumError("unsupported", { where: key, what: `inputs in ${layout.name}`, expected: "a multiple of 8", got: `${K}` });
  const words = (stored: StoredWords, from: TensorRef): TensorEntry =>
    entryOf(key + stored.suffix, "I32", stored.shape(shape), async () => {
      const bytes = await readWhole(from);
      return stored.fromAwq === "as stored" ? bytes : bytesOf(stored.fromAwq(new Int32Array(bytes.buffer), shape));
    });
  const scales = (stored: StoredTensor & { readonly transposed: boolean }): TensorEntry =>
    entryOf(key + stored.suffix, "F16", stored.shape(shape), async () => {
      const bits = new Uint16Array((await readWhole(ref.scales)).buffer);
      if (!stored.transposed) return bytesOf(bits);
      const out = new Uint16Array(bits.length);
      for (let g = 0; g < shape.groups; g++) for (let n = 0; n < N; n++) out[n * shape.groups + g] = bits[g * N + n]!;
      return bytesOf(out);
    });
  const further = layout.checks.flatMap(({ suffix, dtypes, shape: sizes, content }) =>
    content ? [entryOf(key + suffix, dtypes[0]!, sizes(shape), async () => bytesOf(content(shape)))] : [],
  );
  const zeros = layout.omitsZeros && symmetric ? [] : [words(layout.qzeros, ref.qzeros)];
  return [words(layout.qweight, ref.qweight), ...zeros, scales(layout.scales), ...further];
}

/** (q − z) · s as float16, [N, K]. */
const dequantizedEntry = (key: string, ref: Int4Ref, rounded: Rounding): TensorEntry => {
  const { outFeatures: N, inFeatures: K } = ref;
  return entryOf(`${key}.weight`, "F16", [N, K], async () => {
    const matrix = await readMatrix(ref);
    if (matrix.kind !== "awq") throw new GureumError("unsupported", { what: "not int4" });
    const weights = dequantize(matrix);
    const transposed = new Float32Array(weights.length);
    for (let k = 0; k < K; k++) for (let n = 0; n < N; n++) transposed[n * K + k] = weights[k * N + n]!;
    const before = rounded.numbers;
    const bits = toFloat16(transposed, key, rounded);
    if (rounded.numbers > before) rounded.tensors++;
    return bytesOf(bits);
  });
};

/** All tensors of the model, an int4 linear as `int4` gives it, every other tensor as `other` does. */
function entriesOf(
  { refs }: Checkpoint,
  int4: (key: string, ref: Int4Ref) => TensorEntry[],
  other: (ref: TensorRef) => TensorEntry,
): TensorEntry[] {
  const entries = [other(refs.embedTokens)];
  for (const [layer, own] of refs.layers.entries())
    for (const part of layerParts) {
      if (part.kind === "norm") {
        const norm = own[part.name];
        if (norm) entries.push(other(norm));
        continue;
      }
      const ref = own[part.name];
      entries.push(...(ref.kind === "awq" ? int4(partKey(layer, part), ref) : [other(ref.weight)]));
      if (ref.bias) entries.push(other(ref.bias));
    }
  entries.push(other(refs.norm));
  if (refs.lmHead !== refs.embedTokens) entries.push(other(refs.lmHead));
  return entries;
}

/** The int4 linears, and the keys of the others. */
function linearsOf({ refs }: Checkpoint): { int4: Int4Ref[]; unconverted: string[] } {
  const int4: Int4Ref[] = [];
  const unconverted: string[] = [];
  for (const [layer, own] of refs.layers.entries())
    for (const part of linearParts) {
      const ref = own[part.name];
      if (ref.kind === "awq") int4.push(ref);
      else unconverted.push(partKey(layer, part));
    }
  return { int4, unconverted };
}

async function allZerosAre8(linears: readonly Int4Ref[]): Promise<boolean> {
  for (const { qzeros } of linears)
    if (unpackNibbles(new Int32Array((await readWhole(qzeros)).buffer)).some((zero) => zero !== 8)) return false;
  return true;
}

/** One group size for all, or K of each. @throws GureumError "unsupported" for several */
function groupSizeOf(linears: readonly Int4Ref[], { quantization }: LlamaConfig): number | "whole" {
  if (quantization?.groupSize === "whole") return "whole";
  return linears[0]!.groupSize;
}

/** Scales must be numbers of float16: reading rounds them and counts. @throws GureumError "range" */
function refuseRounding(checkpoint: Checkpoint, name: string, format: Format): void {
  const note = checkpoint.notes().find((text) => /scales in \d+ tensors are not numbers of f16/.test(text));
  if (note !== undefined)
    throw new GureumError("range", {
      where: name,
      what: `${/\d+ scales in \d+ tensors/.exec(note)![0]} are not numbers of float16, which ${format} is written with`,
      remedy: "quantize the float model anew",
    });
}

/** Bytes of the tensors that would be written, about. @throws GureumError as convertModel, but for what reading finds */
export function convertedBytes(checkpoint: Checkpoint, format: Format): number {
  const layout = layoutFor(format);
  const rounded: Rounding = { numbers: 0, tensors: 0 };
  return tensorBytes(
    entriesOf(
      checkpoint,
      (key, ref) => (layout ? int4Entries(key, ref, layout, false) : [dequantizedEntry(key, ref, rounded)]),
      layout ? copied : (ref) => float16Entry(ref, rounded),
    ),
  );
}

const layoutFor = (format: Format): Layout | null => {
  const name = format === "awq-gemm" ? "awq" : format;
  return layouts.find((layout) => layout.name === name) ?? null;
};

/**
 * Writes the model of a folder in another format, with the files that go with it.
 * @throws GureumError "unsupported" or "range" for what the format cannot hold, and what reading and writing throw
 */
export async function convertModel(
  source: ByteStore,
  format: Format,
  target: FolderWriter,
  options: ConvertOptions = {},
): Promise<Converted> {
  const { maxShardBytes = defaultShardBytes, onProgress } = options;
  const folder = await openFolder(source);
  const checkpoint = await openCheckpoint(folder);
  try {
    const rounded: Rounding = { numbers: 0, tensors: 0 };
    const text = decodeUtf8((await folder.read(configFile, maxSmallBytes))!);
    const { int4, unconverted } = linearsOf(checkpoint);
    const layout = layoutFor(format);
    if (layout && int4.length === 0)
      throw new GureumError("unsupported", {
        where: source.name,
        what: "no linear is int4",
        expected: `a quantized model to write as ${format}`,
        remedy: "gureum quantize makes one",
      });
    let entries: TensorEntry[];
    let changes: Record<string, unknown>;
    if (layout) {
      const symmetric = await allZerosAre8(int4);
      entries = entriesOf(checkpoint, (key, ref) => int4Entries(key, ref, layout, symmetric), copied);
      changes = { quantization_config: layout.config({ groupSize: groupSizeOf(int4, checkpoint.config), symmetric, unconverted }) };
    } else {
      entries = entriesOf(
        checkpoint,
        (key, ref) => [dequantizedEntry(key, ref, rounded)],
        (ref) => float16Entry(ref, rounded),
      );
      const dtypeKey = "dtype" in (JSON.parse(text) as object) ? "dtype" : "torch_dtype";
      changes = { [dtypeKey]: "float16", quantization_config: undefined };
    }
    await writeShards(target, entries, maxShardBytes, onProgress);
    refuseRounding(checkpoint, source.name, format);
    await copyCompanions(folder, target);
    const config = within(configFile, () => withMembers(text, { ...changes, compression_config: undefined }));
    await writeText(target, configFile, config);
    return { rounded };
  } finally {
    await checkpoint.close();
  }
}
