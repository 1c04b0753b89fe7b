/**
 * The package in a bundler's hands, as installed and without configuration: esbuild and Vite. The build is copied, so that no tsconfig.json
 * of this repository is found. About 6 s of CPU.
 */
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { gzipSync } from "node:zlib";
import { build as esbuild } from "esbuild";
import { createLogger, build as vite } from "vite";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { pathOf, textOf } from "../house/tree.ts";

const { dependencies } = JSON.parse(textOf("package.json")) as { dependencies: Record<string, string> };
/** What a page writes. */
const pages = {
  model: 'import { embeddedModel, loadModel } from "gureum"; console.log(embeddedModel, loadModel);',
  tokenizer: 'import { loadTokenizer } from "gureum/tokenizer"; console.log(loadTokenizer);',
  conformance: 'import * as all from "gureum/conformance"; console.log(all);',
  bench: 'import * as all from "gureum/bench"; console.log(all);',
  worker: 'import { serveEngine } from "gureum/worker/serve"; serveEngine();',
  connect: 'import { connectEngine } from "gureum/worker/connect"; console.log(connectEngine);',
  everything: `import * as a from "gureum"; import * as b from "gureum/conformance"; import * as c from "gureum/bench";
import * as d from "gureum/tokenizer"; console.log(a, b, c, d);`,
} as const;
let folder: string;
const at = (...path: string[]): string => join(folder, ...path);

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "gureum-bundle-"));
  const installed = at("node_modules/gureum");
  mkdirSync(installed, { recursive: true });
  cpSync(pathOf("package.json"), join(installed, "package.json"));
  cpSync(pathOf("models"), join(installed, "models"), { recursive: true });
  cpSync(pathOf("dist"), join(installed, "dist"), {
    recursive: true,
    filter: (path) => !/\.(d\.ts|map|tsbuildinfo)$|conformance\/test$/.test(path),
  });
  for (const name of [...Object.keys(dependencies), "pure-rand"]) {
    mkdirSync(dirname(at("node_modules", name)), { recursive: true });
    symlinkSync(pathOf(`node_modules/${name}`), at("node_modules", name));
  }
  writeFileSync(at("package.json"), '{ "type": "module" }');
  for (const [name, text] of Object.entries(pages)) writeFileSync(at(`${name}.js`), text);
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** Modules that only a host with files and processes has, or that come in their place. */
const hosted =
  /node_modules\/(webgpu|cli-progress|@huggingface\/hub)\/|dist\/(hub|cli)\/|dist\/quantize\.js|host\/(node|node-threads|parts|fork|machine)\.js|dawn\.js/;
const reached = (inputs: Iterable<string>): string[] => [...inputs].filter((path) => hosted.test(path) && !/no-dawn\.js/.test(path));
/** Kilobytes of 1000 bytes, as gzip sends them. */
const kilobytes = (bytes: Uint8Array): number => gzipSync(bytes, { level: 9 }).length / 1000;

async function bundle(page: keyof typeof pages, format: "iife" | "esm"): Promise<{ warnings: string[]; inputs: string[]; kB: number }> {
  const { warnings, metafile, outputFiles } = await esbuild({
    absWorkingDir: folder,
    entryPoints: [`${page}.js`],
    bundle: true,
    minify: true,
    format,
    write: false,
    metafile: true,
    logLevel: "silent",
  });
  return {
    warnings: warnings.map(({ text, location }) => `${location?.file}: ${text}`),
    inputs: Object.keys(metafile.inputs),
    kB: kilobytes(outputFiles[0]!.contents),
  };
}

describe("esbuild", () => {
  const made = new Map<string, Awaited<ReturnType<typeof bundle>>>();
  beforeAll(async () => {
    for (const page of Object.keys(pages)) made.set(page, await bundle(page as keyof typeof pages, "esm"));
    made.set("everything as a classic script", await bundle("everything", "iife"));
  });

  it("bundles every door for a browser, without a warning and without anything of Node", () => {
    for (const [page, { warnings, inputs }] of made) {
      expect(warnings, page).toEqual([]);
      expect(reached(inputs), page).toEqual([]);
      expect(inputs.length, page).toBeGreaterThan(page === "connect" ? 2 : 20);
    }
  });

  it("makes what docs/browser.md says, and of each door alone less than 400 kB", () => {
    const stated = [...textOf("docs/browser.md").matchAll(/^\| `(\w+)` \|.*\| (\d+(?:\.\d+)?) kB \|$/gm)].map(([, page, kB]) => [
      page!,
      Number(kB),
    ]);
    expect(stated.map(([page]) => page)).toEqual(Object.keys(pages));
    for (const [page, kB] of stated) {
      const is = made.get(page as string)!.kB;
      if (page !== "everything") expect(is, `${page}`).toBeLessThan(400);
      expect(Math.abs(is - Number(kB)), `${page}: ${is.toFixed(1)} kB, docs/browser.md says ${kB}`).toBeLessThan(0.05 * is);
    }
  });

  it("is told here of a Node import: this check can fail", async () => {
    writeFileSync(at("wrong.js"), 'import "./node_modules/gureum/dist/host/node.js";');
    await expect(
      esbuild({ absWorkingDir: folder, entryPoints: ["wrong.js"], bundle: true, write: false, logLevel: "silent" }),
    ).rejects.toThrow(/Could not resolve "node:/);
  });
});

/** Vite speaks of the size of an app's chunks, and, on a busy machine, of the time that plugins took: neither is about a module of ours. */
const advice = /Some chunks are larger than 500 kB|_TIMINGS|significant time/;

async function viteBuild(page: string): Promise<{ warnings: string[]; modules: string[]; files: string[]; code: string }> {
  const warnings: string[] = [];
  const modules: string[] = [];
  const customLogger = createLogger("silent");
  customLogger.warn = (message) => void warnings.push(message);
  customLogger.warnOnce = customLogger.warn;
  writeFileSync(at("index.html"), `<!doctype html><script type="module" src="./${page}.js"></script>`);
  await vite({
    root: folder,
    configFile: false,
    customLogger,
    build: { outDir: at("out", page), emptyOutDir: true },
    plugins: [{ name: "modules", buildEnd: (): void => {}, moduleParsed: ({ id }): void => void modules.push(id) }],
  });
  const files = readdirSync(at("out", page, "assets"));
  const code = files.filter((name) => name.endsWith(".js")).map((name) => readFileSync(at("out", page, "assets", name), "utf8"));
  return { warnings: warnings.filter((text) => !advice.test(text)), modules, files, code: code.join("\n") };
}

describe("Vite", () => {
  for (const page of ["model", "worker", "everything"])
    it(`bundles ${page} without a warning and without anything of Node, the embedded model beside it`, async () => {
      const { warnings, modules, files, code } = await viteBuild(page);
      expect(warnings).toEqual([]);
      expect(reached(modules)).toEqual([]);
      expect(modules.length).toBeGreaterThan(100);
      expect(code).not.toMatch(/__vite-browser-external|["'`]node:\w/);
      expect(files.filter((name) => /^model-.*\.safetensors$|^tokenizer-.*\.json$/.test(name))).toHaveLength(2);
    });
});
