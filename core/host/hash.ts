/** SHA-256 by the host: of bytes, and of the files of a model that decide its logits. */
import { createHash } from "node:crypto";
import type { ByteStore } from "../checkpoint/byte-source.ts";
import { configFile } from "../checkpoint/config.ts";

const quantConfigFile = "quant_config.json";

export const sha256 = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");

/** Bytes hashed at a time. */
const PART = 16 * 2 ** 20;

/**
 * File name → SHA-256 of its bytes, as sha256sum prints it: config.json, quant_config.json where there is one, and every safetensors file and index.
 * @throws GureumError as the store
 */
export async function modelFiles(
  store: ByteStore,
  onProgress?: (bytesDone: number, bytesTotal: number) => void,
): Promise<Record<string, string>> {
  const names = (await store.list()).filter(
    (name) => name === configFile || name === quantConfigFile || name.endsWith(".safetensors") || name.endsWith(".safetensors.index.json"),
  );
  const sources = await Promise.all(names.sort().map((name) => store.open(name)));
  try {
    const total = sources.reduce((sum, { byteLength }) => sum + byteLength, 0);
    const out: Record<string, string> = {};
    let done = 0;
    for (const [i, source] of sources.entries()) {
      const hash = createHash("sha256");
      for (let at = 0; at < source.byteLength; at += PART) {
        const part = new Uint8Array(Math.min(PART, source.byteLength - at));
        await source.readInto(at, part);
        hash.update(part);
        done += part.length;
        onProgress?.(done, total);
      }
      out[names[i]!] = hash.digest("hex");
    }
    return out;
  } finally {
    for (const source of sources) await source.close();
  }
}
