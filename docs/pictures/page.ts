/**
 * Pictures of the page, from the page: part of `npm run pictures`. A Chromium without a window opens what `gureum page` serves, asks, runs
 * the CPU's laws for a minute, and is photographed.
 */
import { fileURLToPath } from "node:url";
import type { Page } from "playwright-core";
import { servePage } from "../../cli/page.ts";
import { launch } from "../../conformance/test/page/chromium.ts";
import { ask, ready } from "../../conformance/test/page/talk.ts";

const here = (name: string): string => fileURLToPath(new URL(`../../../docs/pictures/${name}`, import.meta.url));

const server = await servePage([], 0);
const browser = await launch({ webgpu: true });
const newPage = async (options: object): Promise<Page> => {
  const context = await browser.newContext({ locale: "en-US", viewport: { width: 960, height: 620 }, deviceScaleFactor: 1, ...options });
  context.setDefaultTimeout(600_000);
  const page = await context.newPage();
  await page.goto(server.url);
  return page;
};

const chat = await newPage({});
await ready(chat, "CPU");
await ask(chat, "고려대학교에 대해서 알고 있니?");
await ask(chat, "What is AWQ?");
await chat.getByRole("tab", { name: "Chat" }).focus();
await chat.screenshot({ path: here("page-chat.png") });

const narrow = await newPage({ locale: "ko-KR", viewport: { width: 360, height: 620 }, colorScheme: "dark" });
await narrow.locator(".badge").waitFor();
await narrow.locator("#message").fill("AWQ가 뭐야?");
await narrow.keyboard.press("Enter");
await narrow.locator(".stats:not(:empty)").waitFor();
await narrow.locator('.turns[aria-busy="false"]').waitFor();
await narrow.screenshot({ path: here("page-narrow.png") });

const suite = await newPage({ viewport: { width: 960, height: 900 } });
await suite.getByRole("tab", { name: "Conformance" }).click();
await suite.getByLabel("Time").selectOption("m1");
await suite.getByLabel("Subjects").selectOption("cpu");
await suite.getByRole("button", { name: "Run", exact: true }).click();
await suite.getByRole("button", { name: "Save certificate.json" }).waitFor();
await suite.getByLabel("Compare with").selectOption("dawn-lavapipe");
await suite.getByRole("columnheader", { name: "headroom there" }).waitFor();
await suite.screenshot({ path: here("page-conformance.png") });

await browser.close();
await server.close();
