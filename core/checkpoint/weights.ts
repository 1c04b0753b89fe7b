/**
 * A model folder opened, and its weights read into host memory for the CPU reference. What is checked, and where each
 * tensor lies: plan.ts.
 */

import { listening } from "../arguments.ts";
import type { LlamaConfig } from "../config.ts";
import { dtypeBits, type FloatDType, widenFloats } from "../dtype.ts";
import { type LayerTree, layerParts, makeLayerInTurn } from "../model/layer.ts";
import type { LayerWeights, LinearRef, LlamaWeightRefs, LlamaWeights, TensorRef } from "../model/weights.ts";
import type { DenseMatrix, Linear, Matrix } from "../tensor.ts";
import type { ByteStore } from "./byte-source.ts";
import { readConfig, type Warn } from "./config.ts";
import type { Rounding } from "./convert.ts";
import { openFolder } from "./folder.ts";
import { planWeights } from "./plan.ts";
import { allocateBytes } from "./safetensors.ts";
import { openTensors } from "./shards.ts";

/** Every tensor of the tree once, in reading order. */
export function listRefs(refs: LlamaWeightRefs): TensorRef[] {
  const list: TensorRef[] = [refs.embedTokens];
  for (const layer of refs.layers)
    for (const part of layerParts) {
      if (part.kind === "norm") {
        const norm = layer[part.name];
        if (norm) list.push(norm);
        continue;
      }
      const ref = layer[part.name];
      if (ref.kind === "dense") list.push(ref.weight);
      else list.push(ref.qweight, ref.qzeros, ref.scales);
      if (ref.bias) list.push(ref.bias);
    }
  list.push(refs.norm);
  if (refs.lmHead !== refs.embedTokens) list.push(refs.lmHead);
  return list;
}

/** Bytes read at a time: progress moves, and an abort is heard, this often. */
const chunkBytes = 16 * 2 ** 20;

/** Memory for tensors that one op uses together: an array of each length. @throws GureumError "out-of-memory" */
export type Allocate = (byteLengths: readonly number[]) => Uint8Array[];

/** An ArrayBuffer for each tensor. */
const allocateApart: Allocate = (byteLengths) => byteLengths.map((byteLength) => allocateBytes(byteLength, "weights"));

/** Fills memory with a tensor's bytes. */
type Fill = (ref: TensorRef, bytes: Uint8Array) => Promise<void>;
const fillAtOnce: Fill = (ref, bytes) => ref.readInto(0, bytes);

/** Norm or bias [N], widened to f32 (exact). @throws as readWeights */
export async function readVector(ref: TensorRef, fill: Fill = fillAtOnce): Promise<Float32Array> {
  const bytes = allocateBytes(ref.byteLength, ref.key);
  await fill(ref, bytes);
  return widenFloats(bytes.buffer, ref.dtype as FloatDType);
}

async function readDense(ref: TensorRef, fill: Fill, allocate: Allocate): Promise<DenseMatrix> {
  const [bytes] = allocate([ref.byteLength]);
  await fill(ref, bytes!);
  const { buffer, byteOffset } = bytes!;
  const elements = (ref.byteLength * 8) / dtypeBits[ref.dtype];
  const data = ref.dtype === "F32" ? new Float32Array(buffer, byteOffset, elements) : new Uint16Array(buffer, byteOffset, elements);
  return { kind: "dense", dtype: ref.dtype as FloatDType, outFeatures: ref.shape[0]!, inFeatures: ref.shape[1]!, data };
}

/** The matrix of a linear, its bits kept. @throws as readWeights */
export async function readMatrix(ref: LinearRef, fill: Fill = fillAtOnce, allocate: Allocate = allocateApart): Promise<Matrix> {
  if (ref.kind === "dense") return readDense(ref.weight, fill, allocate);
  const { outFeatures, inFeatures, groupSize } = ref;
  const parts = [ref.qweight, ref.qzeros, ref.scales];
  const memory = allocate(parts.map(({ byteLength }) => byteLength));
  for (const [i, part] of parts.entries()) await fill(part, memory[i]!);
  const [q, z, s] = memory as [Uint8Array, Uint8Array, Uint8Array];
  return {
    kind: "awq",
    outFeatures,
    inFeatures,
    groupSize,
    qweight: new Int32Array(q.buffer, q.byteOffset, q.length / 4),
    qzeros: new Int32Array(z.buffer, z.byteOffset, z.length / 4),
    scales: new Uint16Array(s.buffer, s.byteOffset, s.length / 2),
  };
}

/**
 * Reads the whole tree. Dense matrices keep their bits, norms and biases are widened to f32 (exact); matrices are read
 * into what `allocate` gives, in place, so host memory is the size of the tensors. The host must be little-endian, as
 * every JavaScript host is.
 * @param onProgress after each piece: bytes read so far, and in all.
 * @throws GureumError "io", "out-of-memory", or "non-finite" for a NaN or infinite float, naming file and tensor.
 */
export async function readWeights(
  refs: LlamaWeightRefs,
  onProgress?: (bytesDone: number, bytesTotal: number) => void,
  allocate: Allocate = allocateApart,
): Promise<LlamaWeights> {
  return listening({ onProgress }, ["onProgress"], async (heard) => {
    const total = listRefs(refs).reduce((sum, ref) => sum + ref.byteLength, 0);
    let done = 0;
    heard.onProgress?.(0, total);
    const { dense, vector, layer } = readerOf(allocate, (byteLength) => {
      done += byteLength;
      heard.onProgress?.(done, total);
    });
    const embedTokens = await dense(refs.embedTokens);
    const layers: LayerWeights[] = [];
    for (const own of refs.layers) layers.push(await layer(own));
    const norm = await vector(refs.norm);
    const lmHead = refs.lmHead === refs.embedTokens ? embedTokens : await dense(refs.lmHead);
    return { embedTokens, layers, norm, lmHead };
  });
}

/** Reads single parts of the tree, as `readWeights` does all of it. */
export interface WeightReader {
  dense(ref: TensorRef): Promise<DenseMatrix>;
  vector(ref: TensorRef): Promise<Float32Array>;
  layer(refs: LayerTree<LinearRef, TensorRef>): Promise<LayerWeights>;
}

/** @param onBytes how many bytes have just been read */
export function readerOf(allocate: Allocate = allocateApart, onBytes: (byteLength: number) => void = () => {}): WeightReader {
  const fill: Fill = async (ref, bytes) => {
    for (let at = 0; at < bytes.length; at += chunkBytes) {
      const piece = bytes.subarray(at, Math.min(at + chunkBytes, bytes.length));
      await ref.readInto(at, piece);
      onBytes(piece.length);
    }
  };
  const vector = (ref: TensorRef): Promise<Float32Array> => readVector(ref, fill);
  const dense = (ref: TensorRef): Promise<DenseMatrix> => readDense(ref, fill, allocate);
  const linear = async (ref: LinearRef): Promise<Linear> => ({
    weight: await readMatrix(ref, fill, allocate),
    bias: ref.bias && (await vector(ref.bias)),
  });
  const layer = (refs: LayerTree<LinearRef, TensorRef>): Promise<LayerWeights> =>
    makeLayerInTurn(
      ({ name }) => linear(refs[name]),
      async ({ name }) => refs[name] && vector(refs[name]),
    );
  return { dense, vector, layer };
}

/** A model folder opened: config parsed, headers checked, nothing read. */
export interface Checkpoint {
  readonly config: LlamaConfig;
  readonly refs: LlamaWeightRefs;
  /** What is odd and stopped nothing, a sentence each; more may come while weights are read. */
  notes(): readonly string[];
  /** Closes the files; refs must not be read after it. */
  close(): Promise<void>;
}

/**
 * Opens a model folder: config first, so that what cannot run is refused before any weight file is opened; then the
 * headers.
 * @throws GureumError as `readConfig`, `openTensors` and `planWeights`; the place names folder, file and tensor.
 */
export async function openCheckpoint(store: ByteStore): Promise<Checkpoint> {
  const folder = await openFolder(store);
  const warnings: string[] = [];
  const warn: Warn = (message) => warnings.push(message);
  const rounding: Rounding = { numbers: 0, tensors: 0 };
  const config = await readConfig(folder, warn);
  const table = await openTensors(folder);
  const notes = (): string[] => [...warnings, ...roundingNotes(folder.name, rounding)];
  try {
    return { config, refs: planWeights(config, table, { warn, rounding }), notes, close: table.close };
  } catch (error) {
    await table.close();
    throw error;
  }
}

const roundingNotes = (name: string, { numbers, tensors }: Rounding): string[] =>
  numbers === 0 ? [] : [`${name}: ${numbers} scales in ${tensors} tensors are not numbers of f16 and were rounded to the nearest`];
