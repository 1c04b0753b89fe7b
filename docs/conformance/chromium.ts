/**
 * The certificate of Chromium's device, made by the page's own tab as a person would: `node dist/docs/conformance/chromium.js FOLDER`. All
 * GPU kernels for 30 minutes; FOLDER keeps the browser's storage, so that the same command goes on where it was ended. `--for S` stops it
 * after the row that runs S seconds from now: exit code 3 where something is left, 0 with FOLDER/certificate.json where all is done.
 */
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { servePage } from "../../cli/page.ts";
import { launchKept } from "../../conformance/test/page/chromium.ts";

const { values, positionals } = parseArgs({ allowPositionals: true, options: { for: { type: "string", default: "Infinity" } } });
const folder = resolve(positionals[0] ?? "chromium-certificate");
const end = performance.now() + 1000 * Number(values.for);

// The storage belongs to the address: a port of its own.
const server = await servePage([], 8731);
const context = await launchKept(join(folder, "browser"));
context.setDefaultTimeout(0);
const page = await context.newPage();
await page.goto(`${server.url}#conformance`);
const goOn = page.getByRole("button", { name: "Go on", exact: true });
if (await goOn.isVisible()) await goOn.click();
else {
  await page.getByLabel("Time").selectOption("m30");
  await page.getByLabel("Subjects").selectOption("webgpu");
  await page.getByRole("button", { name: "Run", exact: true }).click();
}

const rows = page.locator("#panel-suite tbody tr");
const saved = page.getByRole("button", { name: "Save certificate.json" });
let seen = 0;
for (;;) {
  await page.waitForTimeout(1000);
  const texts = await rows.allInnerTexts();
  for (const text of texts.slice(seen)) console.log(text.replaceAll("\t", "  "));
  const [done, came] = [await saved.isVisible(), texts.length > seen];
  seen = texts.length;
  const trouble = await page.locator("#panel-suite > div > .notice.bad").allInnerTexts();
  if (trouble.length > 0) console.log(trouble.join("\n"));
  if (done) {
    const [download] = await Promise.all([page.waitForEvent("download"), saved.click()]);
    await download.saveAs(join(folder, "certificate.json"));
    break;
  }
  if (trouble.length > 0 || (came && performance.now() > end)) {
    process.exitCode = 3;
    break;
  }
}
await context.close();
await server.close();
