/**
 * The tensors of a model folder as one table: model.safetensors, or the shards that model.safetensors.index.json lists.
 * Only headers are read. Source: huggingface_hub `serialization/_base.py` and transformers `modeling_utils.py` (index
 * layout, precedence).
 */
import { GureumError, within, withinAsync } from "../errors.ts";
import { asReal, jsonKind, parseJson, quote } from "../json.ts";
import type { ByteStore } from "./byte-source.ts";
import { fieldsOf } from "./fields.ts";
import { type Folder, openFolder } from "./folder.ts";
import { orDownload } from "./foreign.ts";
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
  /**
   * By tensor, what index and shards say against each other: an error for a tensor that the model needs, else a
   * warning.
   */
  readonly disagreements: ReadonlyMap<string, GureumError>;
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
 * Opens every file of a model folder and reads the headers. Sources stay open until `close`, or are closed here where
 * this throws.
 * @throws GureumError "not-found" (no checkpoint), "format" (a file breaks its format, or a tensor is in two shards),
 * as far as `report` does.
 */
export async function openTensors(store: ByteStore, report: Report = raise): Promise<TensorTable> {
  const folder = await openFolder(store);
  const shards: OpenShard[] = [];
  const close = async (): Promise<void> => {
    for (const { file } of shards) await file.source.close();
  };
  try {
    const index = folder.names.has(singleFile) ? null : await readIndex(folder);
    const disagreements = new Map<string, GureumError>();
    const fileNames = filesOf(index);
    for (const fileName of fileNames) {
      const problem = folder.names.has(fileName) ? await openShard(folder, fileName, shards) : missingShard(folder, fileName);
      if (!problem) continue;
      if (folder.names.has(fileName)) report(problem);
      if (index && typeof index !== "string")
        for (const [name, file] of index.weightMap) if (file === fileName) disagreements.set(name, problem);
    }
    const tensors = mergeShards(shards, report);
    if (index === null || typeof index === "string")
      return { name: store.name, shards, tensors, disagreements, statedTotalBytes: null, close };
    compareWithIndex(index, tensors, folder.name, disagreements);
    return { name: store.name, shards, tensors, disagreements, statedTotalBytes: index.totalBytes, close };
  } catch (error) {
    await close();
    throw error;
  }
}

/** The shards of an index; one file where there is none. */
const filesOf = (index: Index | string | null): string[] =>
  typeof index === "string" ? [index] : index ? [...new Set(index.weightMap.values())].sort() : [singleFile];

/**
 * The names of the files that hold a folder's tensors; they need not be there.
 * @throws GureumError "not-found" (no checkpoint), "format" (a broken index)
 */
export const weightFiles = async (folder: Folder): Promise<string[]> =>
  filesOf(folder.names.has(singleFile) ? null : await readIndex(folder));

function remedyFor(others: readonly string[]): string {
  if (others.some((name) => /\.(bin|pt|pth|gguf)$/.test(name))) return "take the safetensors release of the model";
  if (others.some((name) => /-of-\d+\.safetensors$/.test(name))) return `download ${indexFile} too`;
  if (others.some((name) => /^adapter_/.test(name))) return "merge the adapter into its base model first";
  if (others.some((name) => /^consolidated/.test(name))) return "take the release of the model in Hugging Face's form";
  return "download the weights";
}

/**
 * The index; without one the name of the only other file that can be the checkpoint (AutoGPTQ has names of its own).
 */
async function readIndex(folder: Folder): Promise<Index | string> {
  const bytes = await withinAsync(folder.name, () => folder.read(indexFile, maxHeaderBytes));
  if (bytes) return within(`${folder.name}/${indexFile}`, () => parseIndex(bytes));
  const [only, ...more] = [...folder.names].filter((name) => /\.safetensors$/.test(name) && !/^(consolidated|adapter_)/.test(name));
  if (only !== undefined && more.length === 0 && !/-of-\d+\./.test(only)) return only;
  const others = [...folder.names].filter((name) => /\.(safetensors|bin|gguf|pt|pth)$/.test(name)).sort();
  const hint = others.length > 0 ? { got: others.slice(0, 3).join(", ") + (others.length > 3 ? ", …" : "") } : {};
  throw new GureumError("not-found", {
    where: folder.name,
    what: "no checkpoint",
    expected: `${singleFile} or ${indexFile}`,
    ...hint,
    remedy: remedyFor(others),
  });
}

const missingShard = (folder: Folder, fileName: string): GureumError =>
  new GureumError("not-found", {
    where: `${folder.name}/${fileName}`,
    what: `a shard is missing that ${indexFile} lists`,
    remedy: "download it",
  });

/** Opens a shard; what is wrong with it, if anything. */
async function openShard(folder: Folder, fileName: string, shards: OpenShard[]): Promise<GureumError | null> {
  try {
    const source = await folder.open(fileName);
    try {
      shards.push({ fileName, file: await openSafetensors(source) });
      return null;
    } catch (error) {
      await source.close();
      throw error;
    }
  } catch (error) {
    if (error instanceof GureumError) return orDownload(error) as GureumError;
    throw error;
  }
}

function mergeShards(shards: readonly OpenShard[], report: Report): Map<string, ShardTensor> {
  const tensors = new Map<string, ShardTensor>();
  for (const shard of shards)
    for (const info of shard.file.tensors.values()) {
      const other = tensors.get(info.name);
      if (!other) tensors.set(info.name, { shard, info });
      else
        report(
          new GureumError("format", {
            where: `${shard.file.source.name} > ${quote(info.name)}`,
            what: "the tensor is in two shards",
            got: `also in ${other.shard.fileName}`,
          }),
        );
    }
  return tensors;
}

function compareWithIndex(
  { weightMap }: Index,
  tensors: ReadonlyMap<string, ShardTensor>,
  folder: string,
  disagreements: Map<string, GureumError>,
): void {
  for (const [name, { shard }] of tensors) {
    const stated = weightMap.get(name);
    if (stated === shard.fileName) continue;
    disagreements.set(
      name,
      new GureumError("format", {
        where: `${shard.file.source.name} > ${quote(name)}`,
        what: `the shard disagrees with ${indexFile}`,
        expected: stated ?? "no such tensor",
        got: shard.fileName,
        remedy: "download index and shards again",
      }),
    );
  }
  for (const [name, fileName] of weightMap)
    if (!tensors.has(name) && !disagreements.has(name))
      disagreements.set(
        name,
        new GureumError("missing-tensor", {
          where: `${folder}/${fileName} > ${quote(name)}`,
          what: `not in the shard where ${indexFile} has it`,
          remedy: "download index and shards again",
        }),
      );
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
