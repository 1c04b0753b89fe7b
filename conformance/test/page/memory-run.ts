/**
 * How much memory a page takes to load model folders into the GPU: `node dist/conformance/test/page/memory-run.js DIR…`, a line each. Folders
 * of any size are made by `gureum synth`.
 */
import process from "node:process";
import { launch, open } from "./chromium.ts";
import { fileServer } from "./file-server.ts";
import { libraryFiles } from "./library-page.ts";
import { loadWatched, type Resident } from "./memory.ts";

const server = await fileServer(await libraryFiles());
server.headers = { "cross-origin-opener-policy": "same-origin", "cross-origin-embedder-policy": "require-corp" };
const row = ({ all, own, shared }: Resident): string => [all, own, shared].map((mb) => Math.round(mb)).join(" / ");
console.log("folder, MB of weights, s; the page's process in MB (all / its own / shared) before, at its peak, after");
for (const folder of process.argv.slice(2)) {
  const browser = await launch({ webgpu: true });
  const { page } = await open(browser, `${server.url}/`);
  await page.waitForFunction('document.title === "ready"');
  const { bytes, seconds, before, peak, after } = await loadWatched(browser, page, folder);
  const heap = (await page.evaluate("performance.measureUserAgentSpecificMemory()")) as { bytes: number };
  console.log(`${folder}, ${Math.round(bytes / 1e6)}, ${seconds.toFixed(1)}; ${[before, peak, after].map(row).join(", ")}`);
  console.log(`  performance.measureUserAgentSpecificMemory(): ${(heap.bytes / 1e6).toFixed(1)} MB`);
  await browser.close();
}
await server.close();
