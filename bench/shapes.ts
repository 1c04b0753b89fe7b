/**
 * Which model's shapes to measure: one that core knows by name, or any config.json. The linears come from core's own
 * list, so that what is measured here is what a checkpoint of that shape holds.
 */
import { host } from "#host";
import { type ByteStore, memoryStore, readBytes } from "../core/checkpoint/byte-source.ts";
import { configFile, readConfig } from "../core/checkpoint/config.ts";
import { synthShapes } from "../core/checkpoint/synth-shapes.ts";
import type { LlamaConfig } from "../core/config.ts";
import { GureumError } from "../core/errors.ts";
import { linearParts } from "../core/model/layer.ts";

/** A model's sizes, under a name. */
export interface Shape {
  /** The last word of the names of its rows. */
  readonly name: string;
  /** The sizes. */
  readonly config: LlamaConfig;
}

/** Shapes known by name. */
export const shapeNames: readonly string[] = Object.keys(synthShapes);

/** What rows are called by, wherever the folder lies. */
export const folderName = (path: string): string => host.files.folderName(path);

/** Larger files are not a config. */
const maxConfigBytes = 16 * 2 ** 20;

/** What a word that names a folder stands for. */
export type OpenFolder = (word: string) => Promise<ByteStore>;

/**
 * A known name, a config.json, or a folder that holds one.
 * @param openFolder by default the folder on disk
 * @throws GureumError "usage" for neither a name nor a path, "not-found", "io", "format", "unsupported"
 */
export async function openShape(word: string, openFolder: OpenFolder = async (path) => host.files.directoryStore(path)): Promise<Shape> {
  const known = Object.entries(synthShapes).find(([name]) => name === word)?.[1];
  if (known) return { name: word, config: known.config };
  if (!/[./\\]/.test(word))
    throw new GureumError("usage", {
      where: "shape",
      what: `no such shape: ${JSON.stringify(word)}`,
      remedy: `it is one of ${shapeNames.join(", ")}, or the path of a config.json`,
    });
  if (!word.endsWith(".json")) return { name: folderName(word), config: await readConfig(await openFolder(word)) };
  const source = await host.files.fileSource(word);
  try {
    if (source.byteLength > maxConfigBytes)
      throw new GureumError("format", { where: word, what: "too large for a config", got: `${source.byteLength} bytes` });
    const bytes = await readBytes(source, 0, source.byteLength);
    return { name: folderName(`${word}/..`), config: await readConfig(memoryStore(word, new Map([[configFile, bytes]]))) };
  } finally {
    await source.close();
  }
}

/** A linear of one layer, or several of the same shape. */
export interface LinearShape {
  /** "qProj", "kProj+vProj", … */
  readonly step: string;
  readonly K: number;
  readonly N: number;
  /** undefined: not quantized */
  readonly groupSize: number | undefined;
  /** How many of a layer's linears these are. */
  readonly count: number;
}

/** The linears of a layer, those of one shape together. */
export function linearShapes(config: LlamaConfig): LinearShape[] {
  const shapes: LinearShape[] = [];
  const { quantization } = config;
  for (const { name, outFeatures, inFeatures } of linearParts) {
    const [N, K] = [outFeatures(config), inFeatures(config)];
    const at = shapes.findIndex((shape) => shape.K === K && shape.N === N);
    const groupSize = quantization ? (quantization.groupSize === "whole" ? K : quantization.groupSize) : undefined;
    if (at < 0) shapes.push({ step: name, K, N, groupSize, count: 1 });
    else shapes[at] = { ...shapes[at]!, step: `${shapes[at]!.step}+${name}`, count: shapes[at]!.count + 1 };
  }
  return shapes;
}

/** Bytes of a linear as the checkpoint has it: int4 words, zero points and f16 scales, or f16. */
export function linearBytes({ K, N, groupSize }: Pick<LinearShape, "K" | "N" | "groupSize">): number {
  if (groupSize === undefined) return K * N * 2;
  const groups = K / groupSize;
  return (K * N) / 2 + (groups * N) / 2 + groups * N * 2;
}
