/**
 * The tensors of a model folder as one table: model.safetensors, or the shards that model.safetensors.index.json lists. Only
 * headers are read. Source: huggingface_hub `serialization/_base.py` and transformers `modeling_utils.py` (index layout, precedence).
 */
import { GureumError, within, withinAsync } from "../errors.ts";
import type { ByteStore } from "./byte-source.ts";
import { readSmallFile } from "./config.ts";
import { fieldsOf } from "./fields.ts";
import { asReal, jsonKind, parseJson, quote } from "./json.ts";
import { maxHeaderBytes, openSafetensors, type Safetensors, type TensorInfo } from "./safetensors.ts";

export const singleFile = "model.safetensors";
export const indexFile = "model.safetensors.index.json";

/** Takes a problem; throws it to stop at the first, keeps it to go on. */
export type Report = (problem: GureumError) => void;

/** The report that stops. */
export const raise: Report = (problem) => {
  throw problem;
};

export interface OpenShard {
  readonly fileName: string;
  readonly file: Safetensors;
}
export interface ShardTensor {
  readonly shard: OpenShard;
  readonly info: TensorInfo;
}
export interface TensorTable {
  /** The folder, for messages. */
  readonly name: string;
  readonly shards: readonly OpenShard[];
  readonly tensors: ReadonlyMap<string, ShardTensor>;
  /** Bytes the index states for all tensors together; null without an index or the entry. */
  readonly statedTotalBytes: number | null;
  close(): Promise<void>;
}

interface Index {
  /** Tensor to file. */
  readonly weightMap: ReadonlyMap<string, string>;
  readonly totalBytes: number | null;
}

/**
 * The bytes of model.safetensors.index.json.
 * @throws GureumError "format".
 */
export function parseIndex(bytes: Uint8Array): Index {
  const index = fieldsOf(parseJson(bytes), "");
  const map = fieldsOf(index.get("weight_map"), "weight_map");
  const weightMap = new Map<string, string>();
  for (const [tensor, file] of map.values) {
    if (typeof file !== "string" || !/^[^/\\\0]+\.safetensors$/.test(file))
      throw new GureumError("format", {
        where: `weight_map ${quote(tensor)}`,
        what: "not the name of a shard",
        expected: "a plain name ending in .safetensors",
        got: jsonKind(file),
      });
    weightMap.set(tensor, file);
  }
  if (weightMap.size === 0) throw new GureumError("format", { where: "weight_map", what: "empty" });
  const total = index.has("metadata") ? fieldsOf(index.get("metadata"), "metadata").get("total_size") : null;
  return { weightMap, totalBytes: asReal(total) };
}

/**
 * Opens every file of a model folder and reads the headers. Each shard must hold exactly the tensors that the index says.
 * Sources stay open until `close`, or are closed here where this throws.
 * @throws GureumError "not-found" (no checkpoint, or a missing shard), "format" (a file breaks its format, or two disagree),
 * "missing-tensor" (a shard lacks what the index says it has), as far as `report` does.
 */
export async function openTensors(store: ByteStore, report: Report = raise): Promise<TensorTable> {
  const names = await store.list();
  const shards: OpenShard[] = [];
  const close = async (): Promise<void> => {
    for (const { file } of shards) await file.source.close();
  };
  try {
    if (names.includes(singleFile)) {
      await openShard(store, singleFile, shards, report);
      return { name: store.name, shards, tensors: mergeShards(shards, null, store.name, report), statedTotalBytes: null, close };
    }
    const index = await readIndex(store, names);
    for (const fileName of [...new Set(index.weightMap.values())].sort()) {
      if (names.includes(fileName)) await openShard(store, fileName, shards, report);
      else report(new GureumError("not-found", { where: `${store.name}/${fileName}`, what: `a shard is missing that ${indexFile} lists` }));
    }
    return { name: store.name, shards, tensors: mergeShards(shards, index, store.name, report), statedTotalBytes: index.totalBytes, close };
  } catch (error) {
    await close();
    throw error;
  }
}

async function readIndex(store: ByteStore, names: readonly string[]): Promise<Index> {
  const bytes = await readSmallFile(store, names, indexFile, maxHeaderBytes);
  if (bytes) return within(`${store.name}/${indexFile}`, () => parseIndex(bytes));
  const others = names.filter((name) => /\.(safetensors|bin|gguf|pt|pth)$/.test(name)).sort();
  const hint = others.length > 0 ? { got: others.slice(0, 3).join(", ") + (others.length > 3 ? ", …" : "") } : {};
  throw new GureumError("not-found", { where: store.name, what: "no checkpoint", expected: `${singleFile} or ${indexFile}`, ...hint });
}

async function openShard(store: ByteStore, fileName: string, shards: OpenShard[], report: Report): Promise<void> {
  try {
    const source = await store.open(fileName);
    try {
      shards.push({ fileName, file: await openSafetensors(source) });
    } catch (error) {
      await source.close();
      throw error;
    }
  } catch (error) {
    if (!(error instanceof GureumError)) throw error;
    report(error);
  }
}

function mergeShards(shards: readonly OpenShard[], index: Index | null, folder: string, report: Report): Map<string, ShardTensor> {
  const tensors = new Map<string, ShardTensor>();
  for (const shard of shards) {
    for (const info of shard.file.tensors.values()) {
      const where = `${shard.file.source.name} > ${quote(info.name)}`;
      const other = tensors.get(info.name);
      if (other) {
        report(new GureumError("format", { where, what: "the tensor is in two shards", got: `also in ${other.shard.fileName}` }));
        continue;
      }
      tensors.set(info.name, { shard, info });
      const stated = index?.weightMap.get(info.name);
      if (index && stated !== shard.fileName)
        report(
          new GureumError("format", {
            where,
            what: `the shard disagrees with ${indexFile}`,
            expected: stated ?? "no such tensor",
            got: shard.fileName,
          }),
        );
    }
  }
  const opened = new Set(shards.map(({ fileName }) => fileName));
  for (const [name, fileName] of index?.weightMap ?? [])
    if (opened.has(fileName) && !tensors.has(name))
      report(
        new GureumError("missing-tensor", {
          where: `${folder}/${fileName} > ${quote(name)}`,
          what: `not in the shard where ${indexFile} has it`,
        }),
      );
  return tensors;
}

/** Reads of one tensor, checked to stay inside it. */
export function readTensorInto({ shard, info }: ShardTensor, byteOffset: number, target: Uint8Array): Promise<void> {
  return withinAsync(quote(info.name), async () => {
    if (byteOffset < 0 || byteOffset + target.length > info.byteLength)
      throw new GureumError("range", {
        what: "read outside the tensor",
        expected: `at most ${info.byteLength} bytes`,
        got: `${byteOffset + target.length}`,
      });
    await shard.file.source.readInto(info.byteOffset + byteOffset, target);
  });
}
