/** The chat tab in a real browser: on the CPU, and on WebGPU by SwiftShader. */
import type { Browser } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { servePage } from "../../../cli/page.ts";
import type { Server } from "../../../cli/serve.ts";
import { dataFile, modelGolden } from "../fixtures/golden.ts";
import { launch, open } from "./chromium.ts";
import { anew, ask, computeOn, ready } from "./talk.ts";

let server: Server;
let browser: Browser;
beforeAll(async () => {
  server = await servePage([], 0);
  browser = await launch({ webgpu: true });
});
afterAll(async () => {
  await browser?.close();
  await server?.close();
});

describe("the chat tab", () => {
  for (const on of ["CPU", "GPU"] as const)
    it(`answers golden questions on the ${on} with the golden text, and asks no other server`, async () => {
      const { page, complaints, requests, context } = await open(browser, server.url);
      if (on === "GPU") await computeOn(page, "webgpu");
      await ready(page, on);
      const { generate } = await modelGolden(dataFile("model/gureum-tiny-awq"));
      const goldens = generate.filter(({ variant, stop_at }) => variant === "default_system" && stop_at !== null);
      expect(goldens.length).toBeGreaterThan(3);
      // Software takes a second or two for each token of a prompt's first pass.
      for (const { prompt, stop_at, text } of on === "CPU" ? goldens : goldens.slice(0, 2)) {
        const question = prompt.slice(prompt.lastIndexOf("\n\n") + 2, prompt.indexOf(" [/INST]"));
        const answer = await ask(page, question);
        expect(answer.text).toBe(text);
        expect(answer.stats).toMatch(new RegExp(`^${stop_at} tokens · [\\d.]+ tokens/s · first after [\\d.]+ s$`));
        await anew(page);
      }
      expect(complaints).toEqual([]);
      expect(requests.length).toBeGreaterThan(5);
      expect(requests.filter((address) => !address.startsWith(server.url) && !address.startsWith("blob:"))).toEqual([]);
      await context.close();
    });
});
