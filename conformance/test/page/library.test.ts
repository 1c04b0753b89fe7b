/**
 * The library in real Chromium: bundled by esbuild, served from memory, the engine in a worker. Answers on WebGPU, and a GPU that is lost:
 * trouble.test.ts. About 25 s of CPU.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Browser, Page } from "playwright-core";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { synth } from "../../../core/checkpoint/synth.ts";
import { synthShapes } from "../../../core/checkpoint/synth-shapes.ts";
import { writeFolder } from "../../../core/host/write.ts";
import { embeddedModel, type FileLike, loadModel } from "../../../index.ts";
import { launch, open } from "./chromium.ts";
import { type FileServer, fileServer } from "./file-server.ts";
import { libraryFiles } from "./library-page.ts";
import { loadWatched } from "./memory.ts";

const policy = (more: string): string => `default-src 'none'; script-src 'self' ${more}; worker-src 'self' blob:; connect-src 'self'`;
const isolated = { "cross-origin-opener-policy": "same-origin", "cross-origin-embedder-policy": "require-corp" };

/** What the page's scripts put there. */
declare const library: typeof import("../../../index.ts");
declare const engine: () => import("../../../worker/connect.ts").Engine;
declare const answer: (
  engine: unknown,
  place: unknown,
  options?: object,
) => Promise<import("../../../worker/connect.ts").LoadedInfo & { text: string }>;
declare const failure: (promise: Promise<unknown>) => Promise<{ name: string; code: string; message: string }>;

/** As much of the web as the tests touch in the page. */
interface Folder {
  getDirectoryHandle(name: string, options: { create: true }): Promise<Folder>;
  getFileHandle(name: string, options: { create: true }): Promise<{ createWritable(): Promise<WritableStream> }>;
}
interface Drop {
  preventDefault(): void;
  readonly dataTransfer: { readonly items: readonly { webkitGetAsEntry(): unknown }[] };
}
declare const navigator: { readonly storage: { getDirectory(): Promise<Folder> } };
declare const location: { readonly href: string };
declare const document: {
  readonly title: string;
  readonly body: { innerHTML: string; readonly style: { height: string } };
  addEventListener(type: string, listener: (event: Drop) => void): void;
  querySelector(selector: string): { readonly files: Iterable<FileLike> };
};

let server: FileServer;
let other: FileServer;
let browser: Browser;
let expected = "";
beforeAll(async () => {
  const files = await libraryFiles();
  server = await fileServer(files);
  other = await fileServer(files);
  browser = await launch({ webgpu: true });
  const model = await loadModel(embeddedModel(), { backend: "cpu" });
  for await (const { text } of model.generate({ messages: [{ role: "user", content: "너는 누구니?" }] }, { maxNewTokens: 8, greedy: true }))
    expected += text;
  model.dispose();
});
afterAll(async () => {
  await browser?.close();
  await server?.close();
  await other?.close();
});
beforeEach(() => {
  for (const one of [server, other]) Object.assign(one, { headers: {}, ranges: true, fault: () => false });
  server.headers = { ...isolated, "content-security-policy": policy("'wasm-unsafe-eval'") };
  server.asked.length = 0;
});

async function opened(of: Browser = browser): Promise<Page> {
  const { page } = await open(of, `${server.url}/`);
  await page.waitForFunction(() => document.title === "ready");
  return page;
}

describe("the engine in a worker of a page", () => {
  for (const [what, headers, reason] of [
    [
      "with threads on an isolated page",
      { ...isolated, "content-security-policy": policy("'wasm-unsafe-eval'") },
      /WebAssembly.*, [2-9] threads/,
    ],
    [
      "in one thread elsewhere",
      { "content-security-policy": policy("'wasm-unsafe-eval'") },
      /WebAssembly.*, 1 thread.*cross-origin isolation/,
    ],
    [
      "in JavaScript under a policy without wasm-unsafe-eval",
      { "content-security-policy": policy("") },
      /JavaScript ops: this host forbids WebAssembly/,
    ],
  ] as const)
    it(`answers on the CPU ${what}, and says so`, async () => {
      server.headers = { ...headers };
      const page = await opened();
      const given = await page.evaluate(() => answer(engine(), "/model", { backend: "cpu", threads: 2 }));
      expect(given.text).toBe(expected);
      expect(given.backendReason).toMatch(reason);
      await page.context().close();
    });

  it("leaves the page free while it computes", async () => {
    const page = await opened();
    const longest = await page.evaluate(async () => {
      const one = engine();
      await one.load("/model", { backend: "cpu", ops: "javascript" });
      let longest = 0;
      let last = performance.now();
      const timer = setInterval(() => {
        longest = Math.max(longest, performance.now() - last);
        last = performance.now();
      }, 5);
      await answer(one, "/model", { backend: "cpu", ops: "javascript" });
      clearInterval(timer);
      return longest;
    });
    // One token in JavaScript takes longer than this; the bound leaves room for a busy machine.
    expect(longest).toBeLessThan(1000);
    await page.context().close();
  });
});

describe("a browser without WebGPU", () => {
  it("computes on the CPU where it may, and names what is missing where it may not", async () => {
    const plain = await launch({ webgpu: false });
    try {
      const page = await opened(plain);
      const given = await page.evaluate(() => answer(engine(), "/model"));
      expect(given).toMatchObject({
        backend: "cpu",
        text: expected,
        backendReason: expect.stringMatching(/^no WebGPU: no adapter answers; WebAssembly/),
      });
      const refused = await page.evaluate(() => failure(engine().load("/model", { backend: "webgpu" })));
      expect(refused).toMatchObject({
        code: "no-adapter",
        message: expect.stringMatching(/^webgpu: no adapter answers.* — update the browser/),
      });
    } finally {
      await plain.close();
    }
  });
});

describe("files in a page", () => {
  it("are read from a picked folder's handle, in the page and in the worker", async () => {
    const page = await opened();
    const text = await page.evaluate(async () => {
      // The origin's own storage gives the same kind of handle as a directory picker, without a person.
      const root = await navigator.storage.getDirectory();
      const folder = await root.getDirectoryHandle("picked", { create: true });
      for (const name of [
        "config.json",
        "generation_config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
        "special_tokens_map.json",
      ]) {
        const writable = await (await folder.getFileHandle(name, { create: true })).createWritable();
        await (await fetch(`/model/${name}`)).body!.pipeTo(writable);
      }
      const listed = await library.fileStore(folder as never).list();
      return { listed: listed.length, ...(await answer(engine(), folder, { backend: "cpu" })) };
    });
    expect(text).toMatchObject({ listed: 6, text: expected });
    await page.context().close();
  });

  it("are read from a chosen folder's list, and from a dropped folder", async () => {
    const page = await opened();
    await page.evaluate(() => {
      document.body.innerHTML = '<input type="file" webkitdirectory>';
      document.body.style.height = "500px";
      document.addEventListener("dragover", (event) => event.preventDefault());
      document.addEventListener("drop", (event) => {
        event.preventDefault();
        Object.assign(globalThis, { dropped: event.dataTransfer.items[0]!.webkitGetAsEntry() });
      });
    });
    await page.locator("input").setInputFiles(embeddedModel());
    const chosen = await page.evaluate(() => answer(engine(), [...document.querySelector("input").files], { backend: "cpu" }));
    expect(chosen.text).toBe(expected);
    const session = await page.context().newCDPSession(page);
    const data = { items: [], files: [embeddedModel()], dragOperationsMask: 1 };
    for (const type of ["dragEnter", "dragOver", "drop"] as const)
      await session.send("Input.dispatchDragEvent", { type, x: 100, y: 200, data });
    await page.waitForFunction(() => "dropped" in globalThis);
    const dropped = await page.evaluate(async () => {
      const store = library.fileStore((globalThis as never as { dropped: never }).dropped);
      const model = await library.loadModel(store, { backend: "cpu" });
      let text = "";
      for await (const token of model.generate(
        { messages: [{ role: "user", content: "너는 누구니?" }] },
        { maxNewTokens: 8, greedy: true },
      ))
        text += token.text;
      return { name: store.name, text };
    });
    expect(dropped).toEqual({ name: "gureum-tiny-awq", text: expected });
    await page.context().close();
  });

  it("come from another origin where it lets them, and are named where it does not", async () => {
    server.headers = {};
    const page = await opened();
    const load = (place: string) => page.evaluate((place) => failure(engine().load(place, { backend: "cpu" })), place);
    expect(await load(`${other.url}/model`)).toMatchObject({
      code: "access",
      message: expect.stringMatching(/lets no page of http:.* read it \(CORS\)/),
    });
    expect(await load("http://127.0.0.1:9/model")).toMatchObject({
      code: "network",
      message: expect.stringMatching(/no answer from 127\.0\.0\.1:9/),
    });
    // Neither Content-Range nor ETag can be seen by the page.
    other.headers = { "access-control-allow-origin": "*" };
    other.asked.length = 0;
    const given = await page.evaluate((place) => answer(engine(), place, { backend: "cpu" }), `${other.url}/model`);
    expect(given.text).toBe(expected);
    expect(other.asked.some(({ method }) => method === "OPTIONS")).toBe(false);
    await page.context().close();
  });
});

describe("a model kept in the browser", () => {
  it("outlives the page, without the server, until it is deleted", async () => {
    const page = await opened();
    await page.evaluate(async () => void (await library.keepModel("tiny", library.urlStore(new URL("/model", location.href).href))));
    await page.reload();
    await page.waitForFunction(() => document.title === "ready");
    server.asked.length = 0;
    const given = await page.evaluate(async () => ({
      kept: (await library.listKept()).map(({ name, whole }) => ({ name, whole })),
      verified: (await library.verifyKept("tiny")).whole,
      ...(await answer(engine(), { kept: "tiny" }, { backend: "cpu" })),
    }));
    expect(given).toMatchObject({ kept: [{ name: "tiny", whole: true }], verified: true, text: expected });
    expect(server.asked.filter(({ path }) => path.startsWith("model/"))).toEqual([]);
    await page.evaluate(() => library.deleteKept("tiny"));
    expect(await page.evaluate(() => failure(library.openKept("tiny")))).toMatchObject({ code: "not-found" });
    await page.context().close();
  });

  it("is named where the storage is full", async () => {
    const page = await opened();
    const session = await page.context().newCDPSession(page);
    await session.send("Storage.overrideQuotaForOrigin", { origin: server.url, quotaSize: 1_000_000 });
    const full = await page.evaluate(() => failure(library.keepModel("tiny", library.urlStore(new URL("/model", location.href).href))));
    expect(full).toMatchObject({ code: "disk-full", message: expect.stringMatching(/storage.* — delete a model/) });
    await page.context().close();
  });
});

describe("a folder larger than the page's memory", () => {
  it("streams from disk into the GPU: what the page's process takes does not grow with the folder", async () => {
    const parent = mkdtempSync(join(tmpdir(), "gureum-large-"));
    const { config, maxShardBytes } = synthShapes["tinyllama-1.1b"];
    const growth: number[] = [];
    try {
      for (const layers of [3, 22]) {
        const folder = join(parent, `${layers}`);
        const shape = { config: { ...config, numHiddenLayers: layers, vocabSize: 4096 }, maxShardBytes };
        await writeFolder(folder, (to) => synth(shape, to, { seed: 0 }));
        const page = await opened();
        const { bytes, before, peak } = await loadWatched(browser, page, folder);
        expect(bytes).toBeGreaterThan(layers * 22e6);
        growth.push(peak.all - before.all);
        // The spaces that the device copies from lie in the page's process: something was seen.
        expect(peak.shared - before.shared).toBeGreaterThan(40);
        await page.context().close();
      }
    } finally {
      rmSync(parent, { recursive: true });
    }
    const [small, large] = growth as [number, number];
    expect(large, `${growth} MB`).toBeLessThan(small + 60);
    expect(large, `${growth} MB`).toBeLessThan(250);
  });
});
