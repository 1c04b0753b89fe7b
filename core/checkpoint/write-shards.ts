/** Tensors as a checkpoint's files: shards of safetensors with their index, or one file where that is enough. */
import { encodeUtf8 } from "../utf8.ts";
import type { FolderWriter } from "./byte-sink.ts";
import { type TensorEntry, tensorByteLength, writeSafetensors } from "./safetensors.ts";
import { indexFile, singleFile } from "./shards.ts";

/** Bytes of tensors in a shard, as AutoAWQ and transformers 4 cut them. */
export const defaultShardBytes = 5_000_000_000;

/** Bytes of all tensors: what the disk must have room for, but for headers. */
export const tensorBytes = (entries: readonly TensorEntry[]): number =>
  entries.reduce((sum, { dtype, shape }) => sum + tensorByteLength(dtype, shape), 0);

/** Shards as save_pretrained cuts them: in order, a new one where the next tensor would pass the limit. */
function cutShards(entries: readonly TensorEntry[], maxShardBytes: number): TensorEntry[][] {
  const shards: TensorEntry[][] = [[]];
  let held = 0;
  for (const entry of entries) {
    const byteLength = tensorByteLength(entry.dtype, entry.shape);
    if (held > 0 && held + byteLength > maxShardBytes) {
      shards.push([]);
      held = 0;
    }
    shards.at(-1)!.push(entry);
    held += byteLength;
  }
  return shards;
}

/** A small text file, with a newline at its end. */
export const writeText = (folder: FolderWriter, fileName: string, content: string): Promise<void> =>
  folder.file(fileName, (sink) => sink(encodeUtf8(`${content}\n`)));

/**
 * Writes the entries in their order, cut into shards, and the index where there are several.
 * @param onProgress tensor bytes written so far, and in all
 * @throws GureumError as writeSafetensors and the folder
 */
export async function writeShards(
  folder: FolderWriter,
  entries: readonly TensorEntry[],
  maxShardBytes: number,
  onProgress?: (bytesDone: number, bytesTotal: number) => void,
): Promise<void> {
  const bytesTotal = tensorBytes(entries);
  let bytesDone = 0;
  const shards = cutShards(entries, maxShardBytes);
  const pad = (n: number): string => `${n}`.padStart(5, "0");
  const weightMap: [string, string][] = [];
  for (const [i, own] of shards.entries()) {
    const fileName = shards.length === 1 ? singleFile : `model-${pad(i + 1)}-of-${pad(shards.length)}.safetensors`;
    for (const { name } of own) weightMap.push([name, fileName]);
    await folder.file(fileName, async (sink) => {
      let headerDone = false;
      const counting = async (bytes: Uint8Array): Promise<void> => {
        await sink(bytes);
        if (headerDone) {
          bytesDone += bytes.length;
          onProgress?.(bytesDone, bytesTotal);
        }
        headerDone = true;
      };
      await writeSafetensors(own, counting, new Map([["format", "pt"]]));
    });
  }
  if (shards.length > 1)
    await writeText(
      folder,
      indexFile,
      JSON.stringify({ metadata: { total_size: bytesTotal }, weight_map: Object.fromEntries(weightMap.sort()) }, null, 2),
    );
}
