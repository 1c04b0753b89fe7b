/** The logits of `exact` in a browser are those on record: in Chromium's JavaScript, and on WebGPU by SwiftShader. About 15 s of CPU. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { build } from "esbuild";
import type { Browser } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Server, serve } from "../../../cli/serve.ts";
import { embeddedModelPath } from "../../../core/host/embedded.ts";
import { dataFile } from "../fixtures/golden.ts";
import { pathOf } from "../house/tree.ts";
import { launch, open } from "./chromium.ts";

const recorded = JSON.parse(readFileSync(dataFile("exact/hashes.json"), "utf8")) as Record<string, string>;

let folder: string;
let server: Server;
let browser: Browser;
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "gureum-exact-"));
  await build({
    entryPoints: [pathOf("conformance/test/page/exact-entry.ts")],
    bundle: true,
    format: "esm",
    outfile: join(folder, "entry.js"),
    logLevel: "silent",
    tsconfigRaw: "{}",
    alias: { "#host": pathOf("host/web.ts"), "#dawn": pathOf("gpu/device/no-dawn.ts"), "#quantize": pathOf("no-quantize.ts") },
    plugins: [
      {
        name: "no-node",
        // The fixtures can also read the embedded model from disk, which is not done here.
        setup: ({ onLoad }) =>
          onLoad({ filter: /core\/host\/(?:node|embedded)\.ts$/ }, () => ({
            contents: "export const directoryStore = null, embeddedModelPath = null;",
          })),
      },
    ],
  });
  writeFileSync(join(folder, "index.html"), '<!doctype html><title>exact</title><script type="module" src="./entry.js"></script>');
  server = await serve({ folders: { "/": folder, "/model/": embeddedModelPath() }, headers: {}, port: 0 });
  browser = await launch({ webgpu: true });
});
afterAll(async () => {
  await browser?.close();
  await server?.close();
  rmSync(folder, { recursive: true });
});

const hashes = async (backend: "cpu" | "webgpu", names?: readonly string[]): Promise<unknown> => {
  const { page, context } = await open(browser, server.url);
  try {
    return await page.evaluate(`hashes(${JSON.stringify(backend)}, ${JSON.stringify(`${server.url}model/`)}, ${JSON.stringify(names)})`);
  } finally {
    await context.close();
  }
};

describe("exact in Chromium", () => {
  it("gives every hash on record on the CPU", async () => {
    expect(await hashes("cpu")).toEqual(recorded);
  });

  it("gives the hashes on record on WebGPU", async () => {
    const names = ["norms of q and k"];
    expect(await hashes("webgpu", names)).toEqual(Object.fromEntries(names.map((name) => [name, recorded[name]])));
  }, 600_000);
});
