/** The page as a whole: how it looks on a narrow screen, is used by keyboard, how large it is, and what its policy forbids. About 8 s of CPU. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { describe, expect, it } from "vitest";
import { open } from "./chromium.ts";
import { built, pageTests } from "./page-tests.ts";
import { ask, ready } from "./talk.ts";

const { server, browser, onPage } = pageTests({ webgpu: false });

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
      { options: { viewport: { width: 360, height: 700 } } },
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

  it("may load and run nothing but its own files: other addresses, scripts in the page, eval, frames", async () => {
    const { page, context, complaints } = await open(browser(), server().url);
    const tried = (script: string): Promise<string> =>
      page.evaluate(`new Promise((done) => { ${script} }).then(() => "allowed", (error) => "forbidden: " + error.name)`);
    expect(await tried(`fetch("http://127.0.0.1:9/").then(done, (e) => done(Promise.reject(e)))`)).toBe("forbidden: TypeError");
    expect(await tried(`setTimeout(() => { try { done(eval("1")); } catch (error) { done(Promise.reject(error)); } })`)).toBe(
      "forbidden: EvalError",
    );
    await page.evaluate(`const script = document.createElement("script"); script.textContent = "globalThis.ran = true"; document.body.append(script);
      const image = new Image(); image.src = "http://127.0.0.1:9/x.png"; document.body.append(image);`);
    expect(await page.evaluate("globalThis.ran")).toBeUndefined();
    const framed = await context.newPage();
    framed.on("console", (message) => complaints.push(message.text()));
    await framed.setContent(`<iframe src="${server().url}"></iframe>`);
    for (const directive of ["connect-src", "script-src", "img-src", "frame-ancestors"])
      await expect.poll(() => complaints.filter((line) => line.includes(directive)).length, { message: directive }).toBeGreaterThan(0);
    expect(await framed.frames()[1]!.locator("#app").count()).toBe(0);
    await context.close();
  });
});
