/**
 * The page in a real browser, started once: on the CPU, and on WebGPU by SwiftShader. Above all that what goes wrong is said and loses
 * nothing. About 100 s of CPU, most of it SwiftShader's.
 */
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import type { Browser, Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { checkResults } from "../../../bench/results.ts";
import { pageHeaders, policyOf, servePage } from "../../../cli/page.ts";
import { type Server, serve } from "../../../cli/serve.ts";
import { embeddedModelPath } from "../../../core/host/embedded.ts";
import type { Certificate } from "../../certificate/certificate.ts";
import { dataFile, modelGolden } from "../fixtures/golden.ts";
import { pathOf, textOf } from "../house/tree.ts";
import { launch, type Opened, open } from "./chromium.ts";
import { before } from "./plain-server.ts";
import { anew, ask, computeOn, ready, say } from "./talk.ts";

// SwiftShader shares the cores with whatever else runs.
vi.setConfig({ testTimeout: 600_000 });

const model = embeddedModelPath();
const question = "너는 누구니?";
const answer = "저는 gureum 엔진에 들어 있는 작은 데모 모델 gureum-tiny입니다.";
const built = pathOf("dist/page");

let server: Server;
let browser: Browser;
beforeAll(async () => {
  server = await servePage([model], 0);
  browser = await launch({ webgpu: true });
});
afterAll(async () => {
  await browser?.close();
  await server?.close();
});

/** Runs a test on a page of its own. */
const onPage = async (body: (opened: Opened) => Promise<void>, url = server.url, options = {}, from = browser): Promise<void> => {
  const opened = await open(from, url, options);
  try {
    await body(opened);
    expect(opened.complaints).toEqual([]);
  } finally {
    await opened.context.close();
  }
};

const savedBy = async (page: Page, button: string): Promise<string> => {
  const [download] = await Promise.all([page.waitForEvent("download"), page.getByRole("button", { name: button }).click()]);
  return readFile(await download.path(), "utf8");
};

describe("the chat tab", () => {
  for (const on of ["CPU", "GPU"] as const)
    it(`answers golden questions on the ${on} with the golden text, and asks no other server`, () =>
      onPage(async ({ page, requests }) => {
        if (on === "GPU") await computeOn(page, "webgpu");
        await ready(page, on);
        const { generate } = await modelGolden(dataFile("model/gureum-tiny-awq"));
        const goldens = generate.filter(({ variant, stop_at }) => variant === "default_system" && stop_at !== null);
        expect(goldens.length).toBeGreaterThan(3);
        // Software takes a second or two for each token of a prompt's first pass.
        for (const { prompt, stop_at, text } of on === "CPU" ? goldens : goldens.slice(0, 2)) {
          const asked = prompt.slice(prompt.lastIndexOf("\n\n") + 2, prompt.indexOf(" [/INST]"));
          const given = await ask(page, asked);
          expect(given.text).toBe(text);
          expect(given.stats).toMatch(new RegExp(`^${stop_at} tokens · [\\d.]+ tokens/s · first after [\\d.]+ s$`));
          await anew(page);
        }
        expect(requests.length).toBeGreaterThan(5);
        expect(requests.filter((address) => !address.startsWith(server.url) && !address.startsWith("blob:"))).toEqual([]);
      }));

  it("stops an answer where it is told to, keeps it, and answers on; a reload keeps the conversation", () =>
    onPage(async ({ page }) => {
      await ready(page, "CPU");
      await page.locator(".options summary").first().click();
      await page.getByLabel("Most tokens").fill("900");
      await page.getByLabel("Temperature", { exact: true }).fill("10");
      await say(page, "Write a very long story, and do not stop.");
      await page.locator(".assistant .text", { hasText: /\S.{20}/ }).waitFor();
      await page.getByRole("button", { name: "Stop" }).click();
      await page.locator(".stats", { hasText: "stopped" }).waitFor();
      const cut = (await page.locator(".assistant .text").textContent())!;
      await page.getByLabel("Temperature", { exact: true }).fill("");
      await anew(page);
      expect((await ask(page, question)).text).toBe(answer);
      expect(cut.length).toBeGreaterThan(20);
      await page.reload();
      expect(await page.locator(".assistant .text").textContent()).toBe(answer);
      await ready(page, "CPU");
      expect((await ask(page, "고마워")).text).not.toBe("");
    }));

  it("opens a model folder by a picker's handle and by a file field, and says what is wrong with one that is none", () =>
    onPage(async ({ page }) => {
      await ready(page, "CPU");
      // The picker itself is the system's; a folder in the browser's private file system has a handle of the same kind.
      await page.evaluate(async () => {
        const all = globalThis as unknown as { navigator: { storage: { getDirectory(): Promise<Folder> } }; showDirectoryPicker: unknown };
        interface Folder {
          getDirectoryHandle(name: string, options: object): Promise<Folder>;
          getFileHandle(
            name: string,
            options: object,
          ): Promise<{ createWritable(): Promise<{ write(b: unknown): unknown; close(): unknown }> }>;
        }
        const folder = await (await all.navigator.storage.getDirectory()).getDirectoryHandle("mine", { create: true });
        for (const name of ["config.json", "generation_config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"]) {
          const file = await (await folder.getFileHandle(name, { create: true })).createWritable();
          await file.write(await (await fetch(`./model/${name}`)).arrayBuffer());
          await file.close();
        }
        all.showDirectoryPicker = async () => folder;
      });
      await page.locator(".model summary").click();
      await page.getByRole("button", { name: "Open a model folder" }).click();
      await page.locator(".model-name", { hasText: "mine" }).waitFor();
      await ready(page, "CPU");
      expect((await ask(page, question)).text).toBe(answer);
      await anew(page);
      await page.locator("#folder").setInputFiles(model);
      await page.locator(".model-name", { hasText: "gureum-tiny-awq" }).waitFor();
      await ready(page, "CPU");
      expect((await ask(page, question)).text).toBe(answer);
      await page.locator("#folder").setInputFiles(pathOf("docs/decisions"));
      await page.getByRole("alert").filter({ hasText: "config.json" }).waitFor();
      expect(await page.locator(".assistant .text").first().textContent()).toBe(answer);
    }));

  for (const ranges of [true, false])
    it(`opens a folder of its own server ${ranges ? "by ranges" : "that knows no ranges"}`, async () => {
      const front = await before(server, ranges);
      try {
        await onPage(async ({ page }) => {
          await ready(page, "CPU");
          expect((await ask(page, question)).text).toBe(answer);
        }, `${front.url}?model=models/gureum-tiny-awq/`);
        const weights = front.asked.filter(({ path }) => path.endsWith("/models/gureum-tiny-awq/model.safetensors"));
        expect(weights.length).toBeGreaterThan(0);
        if (ranges) expect(weights.some(({ range }) => /^bytes=\d+-\d+$/.test(range ?? ""))).toBe(true);
      } finally {
        await front.close();
      }
    });

  it("says that WebAssembly is forbidden, and what that costs, where the policy has no wasm-unsafe-eval; and answers", async () => {
    const policy = policyOf(readFileSync(join(built, "index.html"), "utf8"));
    expect(policy).toContain("'wasm-unsafe-eval'");
    const strict = await serve({
      folders: { "/": built, "/model/": model },
      headers: pageHeaders(policy.replace(" 'wasm-unsafe-eval'", "")),
      port: 0,
    });
    try {
      const { page, context } = await open(browser, strict.url);
      await page.getByText("WebAssembly is forbidden on this page").waitFor();
      expect((await ask(page, question)).text).toBe(answer);
      await context.close();
    } finally {
      await strict.close();
    }
  });

  it("works where nothing isolates the page, as on static hosting under any path, and says what threads it lacks", async () => {
    const folder = mkdtempSync(join(tmpdir(), "gureum-page-"));
    const hosted = await serve({ folders: { "/some/where/": built, "/": folder }, headers: {}, port: 0 });
    try {
      await onPage(async ({ page }) => {
        await ready(page, "CPU");
        // Half of the logical cores are taken: with two of them nothing is lost.
        const cores = Number(await page.evaluate("navigator.hardwareConcurrency"));
        expect(await page.getByText("One thread computes").count()).toBe(cores > 2 ? 1 : 0);
        expect((await ask(page, question)).text).toBe(answer);
      }, `${hosted.url}some/where/index.html`);
    } finally {
      await hosted.close();
      rmSync(folder, { recursive: true });
    }
  });

  it("keeps the conversation when the GPU is lost, and goes on on the CPU", async () => {
    const own = await launch({ webgpu: true });
    try {
      const { page } = await open(own, server.url);
      await computeOn(page, "webgpu");
      await ready(page, "GPU");
      const hello = (await ask(page, "안녕하세요")).text;
      expect(hello).toBe("안녕하세요. 만나서 반가워요.");
      await (await own.newBrowserCDPSession()).send("Browser.crashGpuProcess").catch(() => {});
      await say(page, question);
      await page.getByRole("alert").filter({ hasText: "The GPU was lost" }).waitFor();
      expect(await page.locator(".turns .text").allTextContents()).toEqual(["안녕하세요", hello, question]);
      await page.getByRole("button", { name: "Go on on the CPU" }).click();
      await ready(page, "CPU");
      await page.getByRole("button", { name: "Answer again" }).click();
      await page.locator(".turns .assistant").nth(1).waitFor();
      await page.locator('.turns[aria-busy="false"]').waitFor();
      expect(await page.locator(".turns .assistant .text").nth(1).textContent()).toMatch(/\S/);
    } finally {
      await own.close();
    }
  });

  it("answers within a few seconds of opening on a warm cache", async () => {
    // Without WebGPU: its process may still be busy with what the test before left behind.
    const own = await launch({ webgpu: false });
    const context = await own.newContext({ locale: "en-US" });
    context.setDefaultTimeout(200_000);
    const took: number[] = [];
    for (let i = 0; i < 3; i++) {
      const page = await context.newPage();
      const began = performance.now();
      await page.goto(server.url);
      await page.getByRole("button", { name: question }).click();
      await page.locator('.turns[aria-busy="false"] .stats', { hasText: "first after" }).waitFor();
      took.push(performance.now() - began);
      await page.close();
    }
    await own.close();
    console.log(`opened and answered after ${took.map((ms) => (ms / 1000).toFixed(2)).join(", ")} s`);
    // It is to be 3 s on a quiet machine; here others compute beside it.
    expect(Math.min(...took.slice(1))).toBeLessThan(12_000);
  });
});

describe("without WebGPU", () => {
  it("the CPU computes and its speed is said; the other tabs say what they need", async () => {
    const own = await launch({ webgpu: false });
    try {
      await onPage(
        async ({ page }) => {
          await page
            .getByText("This browser gives no WebGPU device, so the CPU computes. Its speed is shown with the first answer.")
            .waitFor();
          expect((await ask(page, question)).text).toBe(answer);
          await page.getByText(/so the CPU computes\. It makes [\d.]+ tokens\/s\./).waitFor();
          await page.getByRole("tab", { name: "Diff" }).click();
          await page.getByRole("button", { name: "Compare" }).click();
          await page.getByRole("alert").filter({ hasText: "This needs WebGPU" }).waitFor();
          await page.getByRole("tab", { name: "Conformance" }).click();
          await page.getByLabel("Filter").fill("silu-mul");
          await page.getByLabel("Time").selectOption("all");
          await page.getByRole("button", { name: "Run", exact: true }).click();
          await page.getByText("Every law that was tried holds, on 2 variants.").waitFor();
        },
        server.url,
        {},
        own,
      );
    } finally {
      await own.close();
    }
  });
});

describe("the conformance tab", () => {
  it("runs for 20 s, says what it is about, and saves a certificate that tells the truth about the browser", () =>
    onPage(async ({ page }) => {
      await page.getByRole("tab", { name: "Conformance" }).click();
      await page.getByLabel("Time").selectOption("s20");
      await page.getByLabel("Subjects").selectOption("webgpu");
      await page.getByRole("button", { name: "Run", exact: true }).click();
      const certificate = JSON.parse(await savedBy(page, "Save certificate.json")) as Certificate;
      expect(certificate).toMatchObject({ format: "gureum-conformance/1", timeMs: 20_000, seed: 1 });
      expect(certificate.runtime).toBe(`Chrome ${browser.version().split(".")[0]}.0.0.0`);
      expect(certificate.devices[0]).toMatchObject({ backend: "webgpu", vendor: "google", architecture: "swiftshader" });
      expect(certificate.devices[0]!.implementation).toBe(`WebGPU of ${certificate.runtime}`);
      expect(certificate.rows.filter(({ cases }) => cases > 0).length).toBeGreaterThan(0);
      expect(certificate.rows.flatMap(({ failures }) => failures)).toEqual([]);
      await page.getByLabel("Compare with").selectOption("dawn-lavapipe");
      await page.getByRole("columnheader", { name: "headroom there" }).waitFor();
    }));

  it("stops, and goes on where it stopped, also after a reload", () =>
    onPage(async ({ page }) => {
      await page.getByRole("tab", { name: "Conformance" }).click();
      await page.getByLabel("Time").selectOption("all");
      await page.getByLabel("Subjects").selectOption("cpu");
      await page.getByLabel("Filter").fill("m*wasm");
      await page.getByRole("button", { name: "Run", exact: true }).click();
      await page.locator("#panel-suite tbody tr").first().waitFor();
      await page.getByRole("button", { name: "Stop" }).click();
      const [, done, total] = /^Stopped with (\d+) of (\d+) done/.exec((await page.getByText(/^Stopped with/).textContent())!)!.map(Number);
      expect(done).toBeGreaterThan(0);
      expect(done).toBeLessThan(total!);
      await page.reload();
      expect(await page.getByLabel("Filter").inputValue()).toBe("m*wasm");
      await page.getByRole("button", { name: "Go on", exact: true }).click();
      await page.getByText(`Every law that was tried holds, on ${total} variants.`).waitFor();
      expect(await page.locator("#panel-suite tbody tr").count()).toBe(total);
    }));

  it("catches a bad kernel that was planted, with a line that replays it here, and that holds where the kernel is right", async () => {
    const folder = mkdtempSync(join(tmpdir(), "gureum-page-"));
    cpSync(built, folder, { recursive: true });
    const right = "exp(-abs(g))";
    const planted = readdirSync(join(folder, "assets")).filter((name) => {
      const text = name.endsWith(".js") ? readFileSync(join(folder, "assets", name), "utf8") : "";
      if (!text.includes(right)) return false;
      writeFileSync(join(folder, "assets", name), text.replaceAll(right, "exp(-0.999 * abs(g))"));
      return true;
    });
    expect(planted.length).toBeGreaterThan(0);
    const wrong = await serve({ folders: { "/": folder }, headers: pageHeaders(policyOf(textOf("dist/page/index.html"))), port: 0 });
    const replay = async (page: Page, line: string): Promise<void> => {
      await page.getByLabel("Line", { exact: true }).fill(line);
      await page.getByRole("button", { name: "Replay" }).click();
    };
    try {
      let line = "";
      await onPage(async ({ page }) => {
        await page.getByRole("tab", { name: "Conformance" }).click();
        await page.getByLabel("Filter").fill("silu-mul webgpu");
        await page.getByLabel("Subjects").selectOption("webgpu");
        await page.getByRole("button", { name: "Run", exact: true }).click();
        await page.getByText("This device or browser computes something wrong.").waitFor();
        line = (await page.locator(".replay-line").first().textContent())!;
        await replay(page, line);
        await page.locator("form .notice.bad").waitFor();
      }, wrong.url);
      await onPage(async ({ page }) => {
        await page.getByRole("tab", { name: "Conformance" }).click();
        await replay(page, `npx gureum conformance --replay '${line}'`);
        await page.getByText("Holds here.").waitFor();
        await replay(page, "nonsense");
        await page.getByRole("alert").filter({ hasText: "--replay" }).waitFor();
      });
    } finally {
      await wrong.close();
      rmSync(folder, { recursive: true });
    }
  });
});

describe("the diff tab", () => {
  it("judges every step of the embedded model on the GPU against the CPU", () =>
    onPage(async ({ page }) => {
      await page.getByRole("tab", { name: "Diff" }).click();
      await page.getByLabel(/^Text/).fill("구름");
      await page.getByRole("button", { name: "Compare" }).click();
      await page.getByText(/^No step of \d{3} exceeds its bound\.$/).waitFor();
      expect(await page.locator("#panel-diff tbody tr").count()).toBeGreaterThan(100);
      await page.getByText(/^GPU: google swiftshader/).waitFor();
    }));
});

describe("the bench tab", () => {
  it("measures kernels under a roofline, and saves what `gureum bench compare` reads", () =>
    onPage(async ({ page }) => {
      await page.getByRole("tab", { name: "Bench" }).click();
      await page.getByLabel("Of what").selectOption("kernels");
      await page.getByLabel("Shape").selectOption("tiny");
      await page.locator("#benchfilter").fill("silu-mul ffn");
      await page.getByRole("button", { name: "Measure" }).click();
      // As if another tab were looked at meanwhile.
      await page.evaluate(`Object.defineProperty(document, "hidden", { configurable: true, get: () => globalThis.away });
        for (globalThis.away of [true, false]) document.dispatchEvent(new Event("visibilitychange"));`);
      await page.getByRole("button", { name: "Save results.json" }).waitFor();
      const results = checkResults(JSON.parse(await savedBy(page, "Save results.json")));
      expect(results.rows.length).toBeGreaterThan(0);
      expect(results).toMatchObject({ device: { architecture: "swiftshader" }, model: { name: "tiny" } });
      expect(results.host.runtime).toMatch(/^Chrome \d/);
      expect(Object.keys(results.limits.operationsPerSecond)).toContain("f32");
      await page.getByRole("alert").filter({ hasText: "The tab was in the background for 1 s" }).waitFor();
      await page.getByRole("img", { name: "Roofline" }).locator("canvas").waitFor();
    }));
});

describe("the page", () => {
  it("is at most 360 px wide on a narrow screen, in all tabs, both languages and with everything open", () =>
    onPage(
      async ({ page }) => {
        await ready(page, "CPU");
        await ask(page, "안녕하세요".repeat(40));
        for (let language = 0; language < 2; language++) {
          for (let tab = 0; tab < 4; tab++) {
            await page.getByRole("tab").nth(tab).click();
            await page.evaluate("for (const details of document.querySelectorAll('details')) details.open = true");
            expect(await page.evaluate("document.documentElement.scrollWidth"), `tab ${tab}`).toBe(360);
          }
          await page.locator(".language").click();
        }
      },
      server.url,
      { viewport: { width: 360, height: 700 } },
    ));

  it("is used by the keyboard alone: tabs by arrows, a message by Enter, focus that shows", () =>
    onPage(async ({ page }) => {
      await ready(page, "CPU");
      await page.getByRole("tab", { name: "Chat" }).focus();
      for (const name of ["Conformance", "Diff", "Bench", "Chat"]) {
        await page.keyboard.press("ArrowRight");
        expect(await page.evaluate("document.activeElement.textContent")).toBe(name);
        expect(await page.getByRole("tab", { selected: true }).textContent()).toBe(name);
      }
      expect(await page.evaluate("getComputedStyle(document.activeElement).outlineStyle")).toBe("solid");
      await page.getByLabel("Message", { exact: true }).focus();
      await page.keyboard.type("hello");
      await page.keyboard.press("Enter");
      await page.locator(".turns .assistant .stats:not(:empty)").waitFor();
      // Every control has a name.
      const nameless = await page.evaluate(
        `[...document.querySelectorAll("button, input:not([hidden]), select, textarea")].filter((e) => !e.labels?.length && !e.textContent.trim() && !e.ariaLabel).length`,
      );
      expect(nameless).toBe(0);
    }));

  it("is less than 400 kB of JavaScript, compressed, and has no address of another place", () => {
    const scripts = readdirSync(join(built, "assets")).filter((name) => name.endsWith(".js"));
    const bytes = scripts.reduce((sum, name) => sum + gzipSync(readFileSync(join(built, "assets", name)), { level: 9 }).length, 0);
    expect(scripts.length).toBeGreaterThan(5);
    expect(bytes).toBeLessThan(400_000);
    const html = readFileSync(join(built, "index.html"), "utf8");
    expect(
      [...html.matchAll(/(?:src|href)="([^"]*)"/g)].map(([, address]) => address).filter((address) => !address!.startsWith("./")),
    ).toEqual([]);
  });
});
