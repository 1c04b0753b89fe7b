/** What tests of the page share: its server, and one Chromium in which each of them gets a page of its own. */
import { readFileSync } from "node:fs";
import type { Browser, BrowserContextOptions, Page } from "playwright-core";
import { afterAll, beforeAll, expect, vi } from "vitest";
import { servePage } from "../../../cli/page.ts";
import type { Server } from "../../../cli/serve.ts";
import { embeddedModelPath } from "../../../core/host/embedded.ts";
import { pathOf } from "../house/tree.ts";
import { launch, type Opened, open } from "./chromium.ts";

export const model: string = embeddedModelPath();
export const question = "너는 누구니?";
export const answer = "저는 gureum 엔진에 들어 있는 작은 데모 모델 gureum-tiny입니다.";
export const built: string = pathOf("dist/page");

interface Where {
  /** The page's own server where absent. */
  readonly url?: string;
  readonly options?: BrowserContextOptions;
  readonly browser?: Browser;
}

export interface PageTests {
  readonly server: () => Server;
  readonly browser: () => Browser;
  /**
   * Runs a test on a page of its own, which must not complain (errors, the policy) and must ask nobody but its own server.
   */
  readonly onPage: (body: (opened: Opened) => Promise<void>, where?: Where) => Promise<void>;
}

/** @param folders models that the page's server has */
export function pageTests({ webgpu, folders = [model] }: { readonly webgpu: boolean; readonly folders?: readonly string[] }): PageTests {
  // SwiftShader shares the cores with whatever else runs.
  vi.setConfig({ testTimeout: 600_000 });
  let server: Server;
  let browser: Browser;
  beforeAll(async () => {
    server = await servePage(folders, 0);
    browser = await launch({ webgpu });
  });
  afterAll(async () => {
    await browser?.close();
    await server?.close();
  });
  return {
    server: () => server,
    browser: () => browser,
    async onPage(body, { url = server.url, options = {}, browser: from = browser } = {}) {
      const opened = await open(from, url, options);
      if (!webgpu) opened.context.setDefaultTimeout(60_000);
      try {
        await body(opened);
        expect(opened.complaints).toEqual([]);
        const { origin } = new URL(url);
        expect(opened.requests.filter((address) => !address.startsWith(`${origin}/`) && !address.startsWith(`blob:${origin}/`))).toEqual(
          [],
        );
      } finally {
        await opened.context.close();
      }
    },
  };
}

/** The text of the file that a button saves. */
export async function savedBy(page: Page, button: string): Promise<string> {
  const [download] = await Promise.all([page.waitForEvent("download"), page.getByRole("button", { name: button }).click()]);
  return readFileSync(await download.path(), "utf8");
}
