/** The page's chat in a real browser, on the CPU: answers, folders, servers. About 30 s of CPU. */
import { join } from "node:path";
import type { Page } from "playwright-core";
import { describe, expect, it } from "vitest";
import { freshFolder } from "../fixtures/fresh-folder.ts";
import { pathOf } from "../house/tree.ts";
import { broken, drop, wounded } from "./folders.ts";
import { answer, model, pageTests, question } from "./page-tests.ts";
import { inFront } from "./plain-server.ts";
import { anew, ask, goldens, ready, say } from "./talk.ts";

const { server, onPage } = pageTests({ webgpu: false });

describe("an answer", () => {
  it("to a golden question is the golden text", () =>
    onPage(async ({ page }) => {
      await ready(page, "CPU");
      const known = await goldens();
      expect(known.length).toBeGreaterThan(3);
      for (const { asked, tokens, text } of known) {
        const given = await ask(page, asked);
        expect(given.text).toBe(text);
        expect(given.stats).toMatch(new RegExp(`^${tokens} tokens · [\\d.]+ tokens/s · first after [\\d.]+ s$`));
        await anew(page);
      }
    }));

  it("is stopped where it is told to, and kept; a reload keeps the conversation", () =>
    onPage(async ({ page }) => {
      await ready(page, "CPU");
      await page.locator(".options summary").first().click();
      await page.getByLabel("Most tokens").fill("900");
      await page.getByLabel("Temperature", { exact: true }).fill("10");
      await say(page, "Write a very long story, and do not stop.");
      await page.locator(".assistant .text", { hasText: /\S.{20}/ }).waitFor();
      await page.getByRole("button", { name: "Stop" }).click();
      await page.locator(".stats", { hasText: "stopped" }).waitFor();
      expect((await page.locator(".assistant .text").textContent())!.length).toBeGreaterThan(20);
      await page.getByLabel("Most tokens").fill("40");
      await page.getByLabel("Temperature", { exact: true }).fill("");
      await anew(page);
      expect((await ask(page, question)).text).toBe(answer);
      await page.reload();
      expect(await page.locator(".assistant .text").textContent()).toBe(answer);
      await ready(page, "CPU");
      expect((await ask(page, "고마워")).text).not.toBe("");
    }));

  it("that a reload cuts off stands there as far as it came, and is answered again", () =>
    onPage(async ({ page }) => {
      await ready(page, "CPU");
      await page.locator(".options summary").first().click();
      await page.getByLabel("Most tokens").fill("900");
      await page.getByLabel("Temperature", { exact: true }).fill("10");
      await say(page, question);
      await page.locator(".assistant .text", { hasText: /\S.{20}/ }).waitFor();
      await page.reload();
      await page.locator(".stats", { hasText: "broken off" }).waitFor();
      expect(await page.locator(".user .text").textContent()).toBe(question);
      await ready(page, "CPU");
      await page.locator(".options summary").first().click();
      await page.getByLabel("Temperature", { exact: true }).fill("");
      await page.getByRole("button", { name: "Answer again" }).click();
      await page.locator(".stats", { hasText: "first after" }).waitFor();
      await page.locator('.turns[aria-busy="false"]').waitFor();
      expect(await page.locator(".assistant .text").textContent()).toBe(answer);
    }));

  it("comes in each of two tabs, which keep a conversation each", () =>
    onPage(async ({ page, context }) => {
      const other = await context.newPage();
      await other.goto(server().url);
      await Promise.all([ready(page, "CPU"), ready(other, "CPU")]);
      const [one, two] = await Promise.all([ask(page, question), ask(other, "안녕하세요")]);
      expect([one.text, two.text]).toEqual([answer, "안녕하세요. 만나서 반가워요."]);
      await other.reload();
      expect(await other.locator(".user .text").allTextContents()).toEqual(["안녕하세요"]);
    }));
});

describe("a model folder", () => {
  const parent = freshFolder("folders");

  const isOpen = async (page: Page, name: string): Promise<void> => {
    await page.locator(".model-name", { hasText: name }).waitFor();
    await ready(page, "CPU");
    expect((await ask(page, question)).text).toBe(answer);
    await anew(page);
  };

  it("is opened by a picker's handle, by a file field, and by being dropped", () =>
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
      await isOpen(page, "mine");
      await page.locator("#folder").setInputFiles(model);
      await isOpen(page, "gureum-tiny-awq");
      await drop(
        page,
        wounded(join(parent, "dropped"), () => {}),
      );
      await isOpen(page, "dropped");
      // Firefox and Safari give no handle of what is dropped.
      await page.evaluate("delete DataTransferItem.prototype.getAsFileSystemHandle");
      await drop(
        page,
        wounded(join(parent, "without-handle"), () => {}),
      );
      await isOpen(page, "without-handle");
    }));

  it("in which something is wrong is said in a line, and nothing is lost", () =>
    onPage(async ({ page }) => {
      await ready(page, "CPU");
      await ask(page, question);
      for (const [i, [what, wound, said]] of broken.entries()) {
        await drop(page, wounded(join(parent, `broken-${i}`), wound));
        await page.locator(".model-name", { hasText: `broken-${i}` }).waitFor();
        const alert = page.locator(".model").getByRole("alert");
        await alert.waitFor();
        expect(await alert.locator("p").first().textContent(), what).toMatch(said);
      }
      await page.locator("#folder").setInputFiles(pathOf("docs/decisions"));
      await page.getByRole("alert").filter({ hasText: "config.json" }).waitFor();
      expect(await page.locator(".assistant .text").textContent()).toBe(answer);
      await page.getByRole("button", { name: "Use the embedded model" }).click();
      await ready(page, "CPU");
      await anew(page);
      expect((await ask(page, question)).text).toBe(answer);
    }));
});

describe("a model on the page's own server", () => {
  it("is fetched once: the embedded one's bytes come by no request twice", async () => {
    const front = await inFront(server(), true);
    try {
      await onPage(
        async ({ page }) => {
          await ready(page, "CPU");
          expect((await ask(page, question)).text).toBe(answer);
        },
        { url: front.url },
      );
      const asked = front.asked.filter(({ path }) => path.startsWith("/model/")).map(({ path, range }) => `${path} ${range ?? "all"}`);
      expect(asked.length).toBeGreaterThan(3);
      expect(new Set(asked).size).toBe(asked.length);
    } finally {
      await front.close();
    }
  });

  for (const ranges of [true, false])
    it(`is opened ${ranges ? "by ranges" : "also without ranges"}`, async () => {
      const front = await inFront(server(), ranges);
      try {
        await onPage(
          async ({ page }) => {
            await ready(page, "CPU");
            expect((await ask(page, question)).text).toBe(answer);
          },
          { url: `${front.url}?model=models/gureum-tiny-awq/` },
        );
        const weights = front.asked.filter(({ path }) => path.endsWith("/models/gureum-tiny-awq/model.safetensors"));
        expect(weights.length).toBeGreaterThan(0);
        if (ranges) expect(weights.some(({ range }) => /^bytes=\d+-\d+$/.test(range ?? ""))).toBe(true);
      } finally {
        await front.close();
      }
    });
});
