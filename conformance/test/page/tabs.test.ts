/** The page's tabs that measure the device, on WebGPU by SwiftShader. About 80 s of CPU, most of it SwiftShader's. */
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Page } from "playwright-core";
import { beforeAll, describe, expect, it } from "vitest";
import { checkResults } from "../../../bench/results.ts";
import { pageHeaders, policyOf } from "../../../cli/page.ts";
import { serve } from "../../../cli/serve.ts";
import type { Certificate } from "../../certificate/certificate.ts";
import { writeFirstLayers } from "../fixtures/first-layers.ts";
import { freshFolder } from "../fixtures/fresh-folder.ts";
import { textOf } from "../house/tree.ts";
import { built, pageTests, savedBy } from "./page-tests.ts";

const parent = freshFolder("tabs");
const twoLayers = join(parent, "two-layers");
beforeAll(() => writeFirstLayers(twoLayers, 2));
const { server, browser, onPage } = pageTests({ webgpu: true, folders: [twoLayers] });

describe("the conformance tab", () => {
  it("runs for 20 s, says what it is about, and saves a certificate that tells the truth about the browser", () =>
    onPage(async ({ page }) => {
      await page.getByRole("tab", { name: "Conformance" }).click();
      await page.getByLabel("Time").selectOption("s20");
      await page.getByLabel("Subjects").selectOption("webgpu");
      await page.getByRole("button", { name: "Run", exact: true }).click();
      const certificate = JSON.parse(await savedBy(page, "Save certificate.json")) as Certificate;
      expect(certificate).toMatchObject({ format: "gureum-conformance/1", timeMs: 20_000, seed: 1 });
      expect(certificate.runtime).toBe(`Chrome ${browser().version().split(".")[0]}.0.0.0`);
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
      await onPage(
        async ({ page }) => {
          await page.getByRole("tab", { name: "Conformance" }).click();
          await page.getByLabel("Filter").fill("silu-mul webgpu/silu-mul-two-workgroups");
          await page.getByLabel("Time").selectOption("s20");
          await page.getByLabel("Subjects").selectOption("webgpu");
          await page.getByRole("button", { name: "Run", exact: true }).click();
          await page.getByText("This device or browser computes something wrong.").waitFor();
          line = (await page.locator(".replay-line").first().textContent())!;
          await replay(page, line);
          await page.locator("form .notice.bad").waitFor();
        },
        { url: wrong.url },
      );
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
  it("judges every step of a model on the GPU against the CPU", () =>
    onPage(
      async ({ page }) => {
        await page.locator(".model-name", { hasText: "two-layers" }).waitFor();
        await page.getByRole("tab", { name: "Diff" }).click();
        await page.getByLabel(/^Text/).fill("구름");
        await page.getByRole("button", { name: "Compare" }).click();
        await page.getByText(/^No step of \d+ exceeds its bound\.$/).waitFor();
        expect(await page.locator("#panel-diff tbody tr").count()).toBeGreaterThan(25);
        await page.getByText(/^GPU: google swiftshader/).waitFor();
      },
      { url: `${server().url}?model=models/two-layers/` },
    ));
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
