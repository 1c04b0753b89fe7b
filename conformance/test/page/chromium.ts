/** A real Chromium without a window, started once per file of tests; and pages that answer to nobody but this machine. */
import { existsSync } from "node:fs";
import { delimiter, join } from "node:path";
import process from "node:process";
import { type Browser, type BrowserContext, type BrowserContextOptions, chromium, type Page } from "playwright-core";

/** @throws where there is none */
export function chromiumPath(): string {
  const names = ["chromium", "chromium-browser", "google-chrome", "chrome"];
  const folders = (process.env.PATH ?? "").split(delimiter);
  const found = folders.flatMap((folder) => names.map((name) => join(folder, name))).find((path) => existsSync(path));
  if (found === undefined) throw new Error("no Chromium on PATH: .ci/setup installs it");
  return found;
}

/** With `--enable-unsafe-webgpu` SwiftShader answers where there is no GPU; without it no adapter does. */
const optionsOf = (webgpu: boolean, args: readonly string[] = []): { executablePath: string; args: string[] } => ({
  executablePath: chromiumPath(),
  args: [
    ...args,
    ...(webgpu ? ["--enable-unsafe-webgpu"] : []),
    // The sandbox does not start for root, as whom containers run.
    ...(process.getuid?.() === 0 ? ["--no-sandbox"] : []),
  ],
});

/** @param args further words of its command line */
export const launch = ({ webgpu, args }: { readonly webgpu: boolean; readonly args?: readonly string[] }): Promise<Browser> =>
  chromium.launch(optionsOf(webgpu, args));

/** The same with a profile that is kept in a folder. */
export const launchKept = (folder: string): Promise<BrowserContext> => chromium.launchPersistentContext(folder, optionsOf(true));

/** A page, and what it did that it should not. */
export interface Opened {
  readonly context: BrowserContext;
  readonly page: Page;
  /** Errors, and lines of the console that speak of the policy. */
  readonly complaints: string[];
  /** Every address that was asked for, also by workers. */
  readonly requests: string[];
}

export async function open(browser: Browser, url: string, options: BrowserContextOptions = {}): Promise<Opened> {
  const context = await browser.newContext({ locale: "en-US", viewport: { width: 1100, height: 800 }, ...options });
  const complaints: string[] = [];
  const requests: string[] = [];
  context.on("request", (request) => requests.push(request.url()));
  // SwiftShader compiles for seconds, and more where the machine is busy.
  context.setDefaultTimeout(500_000);
  const page = await context.newPage();
  page.on("pageerror", (error) => complaints.push(String(error)));
  page.on("console", (message) => {
    // A server lists no files: those that a model may have are asked for, and some are not there.
    if (message.type() === "error" && !/404 \(Not Found\)/.test(message.text())) complaints.push(message.text());
  });
  await page.goto(url);
  return { context, page, complaints, requests };
}
