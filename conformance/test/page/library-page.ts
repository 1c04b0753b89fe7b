/** A page of somebody's own around the library, bundled by esbuild: its files, and the embedded model's under "model/". */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { build } from "esbuild";
import { embeddedModel } from "../../../index.ts";
import { pathOf } from "../house/tree.ts";

const scripts = {
  "page.js": `import * as library from "gureum"; import { connectEngine } from "gureum/worker/connect";
    globalThis.library = library;
    globalThis.engine = () => connectEngine(new Worker("/worker.js", { type: "module" }));
    globalThis.answer = async (engine, place, options) => {
      const info = await engine.load(place, options);
      let text = "";
      for await (const token of engine.generate({ messages: [{ role: "user", content: "너는 누구니?" }] }, { maxNewTokens: 8, greedy: true })) text += token.text;
      return { ...info, text };
    };
    globalThis.failure = (promise) => promise.then(() => "nothing", ({ name, code, message }) => ({ name, code, message }));
    document.title = "ready";`,
  "worker.js": `import { serveEngine } from "gureum/worker/serve"; serveEngine();`,
};

/** Its files by path, for a server of files from memory. */
export async function libraryFiles(): Promise<Map<string, Uint8Array>> {
  const files = new Map<string, Uint8Array>([
    ["index.html", new TextEncoder().encode('<!doctype html><script type="module" src="/page.js"></script>')],
  ]);
  for (const [name, contents] of Object.entries(scripts)) {
    const options = { bundle: true, minify: true, format: "esm", write: false, logLevel: "silent", tsconfigRaw: "{}" } as const;
    const { outputFiles } = await build({ stdin: { contents, resolveDir: pathOf("") }, ...options });
    files.set(name, outputFiles[0]!.contents);
  }
  for (const name of readdirSync(embeddedModel())) files.set(`model/${name}`, new Uint8Array(readFileSync(join(embeddedModel(), name))));
  return files;
}
