/** What a person does in the chat tab. */
import type { Page } from "playwright-core";
import { dataFile, modelGolden } from "../fixtures/golden.ts";

/** Waits until a model is ready on this backend. */
export const ready = (page: Page, on: "CPU" | "GPU"): Promise<void> => page.locator(".badge", { hasText: on }).waitFor();

export async function computeOn(page: Page, backend: "auto" | "cpu" | "webgpu"): Promise<void> {
  const card = page.locator(".model details");
  if ((await card.getAttribute("open")) === null) await card.locator("summary").click();
  await page.getByLabel("Compute on").selectOption(backend);
}

/** Sends a message. */
export async function say(page: Page, text: string): Promise<void> {
  await page.getByLabel("Message", { exact: true }).fill(text);
  await page.getByRole("button", { name: "Send", exact: true }).click();
}

/** The answer to a message, when it is complete, and what stands under it. */
export async function ask(page: Page, text: string): Promise<{ readonly text: string; readonly stats: string }> {
  const before = await page.locator(".turns .assistant").count();
  await say(page, text);
  const answer = page.locator(".turns .assistant").nth(before);
  await answer.waitFor();
  await page.locator('.turns[aria-busy="false"]').waitFor();
  return { text: (await answer.locator(".text").textContent())!, stats: (await answer.locator(".stats").textContent())! };
}

export const anew = (page: Page): Promise<void> => page.getByRole("button", { name: "New conversation" }).click();

/** Questions to the embedded model under its own system prompt, with the answers on record and how many tokens they have. */
export async function goldens(): Promise<readonly { readonly asked: string; readonly text: string; readonly tokens: number }[]> {
  const { generate } = await modelGolden(dataFile("model/gureum-tiny-awq"));
  return generate.flatMap(({ variant, prompt, text, stop_at }) =>
    variant === "default_system" && stop_at !== null
      ? [{ asked: prompt.slice(prompt.lastIndexOf("\n\n") + 2, prompt.indexOf(" [/INST]")), text, tokens: stop_at }]
      : [],
  );
}
