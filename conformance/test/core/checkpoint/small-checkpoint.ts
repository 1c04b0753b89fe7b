/** A very small checkpoint in memory, to be broken in every way by tests. */
import { memoryFolder } from "../../../../core/checkpoint/byte-sink.ts";
import { type ByteStore, memorySource, memoryStore } from "../../../../core/checkpoint/byte-source.ts";
import { encodeSafetensors, openSafetensors, readTensor, type TensorEntry } from "../../../../core/checkpoint/safetensors.ts";
import { synth } from "../../../../core/checkpoint/synth.ts";
import { type SynthShape, synthShapes } from "../../../../core/checkpoint/synth-shapes.ts";

/** Two layers, 16 wide, GQA 2:1, groups of 8. */
export const smallShape: SynthShape = {
  maxShardBytes: 5_000_000_000,
  config: {
    ...synthShapes.tiny.config,
    vocabSize: 24,
    hiddenSize: 16,
    intermediateSize: 32,
    numHiddenLayers: 2,
    numAttentionHeads: 2,
    numKeyValueHeads: 1,
    headDim: 8,
    maxPositionEmbeddings: 64,
    quantization: { layout: "awq", groupSize: 8, symmetric: false },
  },
};

export type Files = Map<string, Uint8Array>;

export async function writeSmall(shape: SynthShape = smallShape, seed = 1): Promise<Files> {
  const files: Files = new Map();
  await synth(shape, memoryFolder(files), { seed });
  return files;
}

export const storeOf = (files: Files): ByteStore => memoryStore("m", files);

/** Every tensor of a file, as entries to write again. */
export async function readEntries(files: Files, fileName: string): Promise<TensorEntry[]> {
  const file = await openSafetensors(memorySource(fileName, files.get(fileName)!));
  return Promise.all(
    [...file.tensors.values()].map(async ({ name, dtype, shape }) => ({ name, dtype, shape, data: await readTensor(file, name) })),
  );
}

/** Rewrites one file with its entries changed; null drops an entry. */
export async function rewrite(files: Files, fileName: string, change: (entry: TensorEntry) => TensorEntry | null): Promise<void> {
  const changed = (await readEntries(files, fileName)).map(change).filter((entry) => entry !== null);
  files.set(fileName, await encodeSafetensors(changed));
}

export function editJson(files: Files, fileName: string, edit: (value: Record<string, unknown>) => void): void {
  const value = JSON.parse(new TextDecoder().decode(files.get(fileName)));
  edit(value);
  files.set(fileName, new TextEncoder().encode(JSON.stringify(value)));
}
