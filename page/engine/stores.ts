/** The files of a place, as the engine reads them. */
import { type ByteSource, type ByteStore, memorySource } from "../../core/checkpoint/byte-source.ts";
import { GureumError } from "../../core/errors.ts";
import { embeddedStore } from "../../host/embedded-files.ts";
import type { Loading, Place } from "./protocol.ts";

const notFound = (where: string): GureumError => new GureumError("not-found", { where, what: "no such file" });

/** Names that a model's folder may have: a server lists none. */
const likely = [
  "config.json",
  "generation_config.json",
  "quant_config.json",
  "chat_template.jinja",
  "special_tokens_map.json",
  "tokenizer.json",
  "tokenizer.model",
  "tokenizer_config.json",
  "model.safetensors.index.json",
  "model.safetensors",
];

async function fetched(address: string, tell: (news: Loading) => void): Promise<Uint8Array> {
  const response = await fetch(address);
  if (!response.ok) throw new GureumError("network", { where: address, what: "the server does not give it", got: `${response.status}` });
  const bytes = new Uint8Array(await response.arrayBuffer());
  tell({ step: "download", done: 1, total: 1 });
  return bytes;
}

const fileSource = (name: string, file: File): ByteSource => ({
  name,
  byteLength: file.size,
  async readInto(byteOffset, target) {
    target.set(new Uint8Array(await file.slice(byteOffset, byteOffset + target.length).arrayBuffer()));
  },
  async close() {},
});

export function storeOf(place: Place, tell: (news: Loading) => void): ByteStore {
  if (place.kind === "directory") {
    const { name, handle } = place;
    return {
      name,
      async list() {
        const names: string[] = [];
        for await (const [entry, { kind }] of handle as unknown as AsyncIterable<[string, FileSystemHandle]>)
          if (kind === "file") names.push(entry);
        return names;
      },
      async open(fileName) {
        const file = await handle.getFileHandle(fileName).then(
          (entry) => entry.getFile(),
          () => undefined,
        );
        if (!file) throw notFound(`${name}/${fileName}`);
        return fileSource(fileName, file);
      },
    };
  }
  if (place.kind === "files") {
    const { name, files } = place;
    return {
      name,
      list: async () => files.map((file) => file.name),
      async open(fileName) {
        const file = files.find((one) => one.name === fileName);
        if (!file) throw notFound(`${name}/${fileName}`);
        return fileSource(fileName, file);
      },
    };
  }
  if (place.kind === "embedded") return embeddedStore();
  const { name, address } = place;
  const has = async (file: string): Promise<boolean> => (await fetch(new URL(file, address), { method: "HEAD" })).ok;
  return {
    name,
    async list() {
      const there = await Promise.all(likely.map(has));
      return likely.filter((_, i) => there[i]);
    },
    open: async (fileName) => memorySource(fileName, await fetched(new URL(fileName, address).href, tell)),
  };
}
