/** The files of a model folder that go with its weights from format to format: tokenizer, templates, licences. */
import { withinAsync } from "../errors.ts";
import type { FolderWriter } from "./byte-sink.ts";
import { configFile } from "./config.ts";
import type { Folder } from "./folder.ts";

/** What describes weights or their quantization, and so is written anew or left behind. */
const ownFiles =
  /^(config\.json|quant_config\.json|quantize_config\.json|gureum-quantize\.json|.*\.safetensors\.index\.json|.*\.bin\.index\.json)$/;
const companion = /(\.json|\.model|\.jinja|\.txt|\.tiktoken)$|^(LICEN[CS]E|NOTICE|COPYING)/i;

/** Names of the files to take along, in order. */
export const companionFiles = ({ names }: Pick<Folder, "names">): string[] =>
  [...names].filter((name) => name !== configFile && companion.test(name) && !ownFiles.test(name)).sort();

const PART = 4 * 2 ** 20;

/** Copies them byte for byte. @throws GureumError as store and folder */
export async function copyCompanions(from: Folder, to: FolderWriter): Promise<void> {
  for (const name of companionFiles(from)) {
    const source = await from.open(name);
    try {
      await to.file(name, (sink) =>
        withinAsync(from.name, async () => {
          for (let at = 0; at < source.byteLength; at += PART) {
            const bytes = new Uint8Array(Math.min(PART, source.byteLength - at));
            await source.readInto(at, bytes);
            await sink(bytes);
          }
        }),
      );
    } finally {
      await source.close();
    }
  }
}
