import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { afterAll, describe, expect, it } from "vitest";
import type { Kernel } from "../../../gpu/pipeline/kernel.ts";
import { allKernels } from "../../host/kernels.ts";

const folder = mkdtempSync(join(tmpdir(), "gureum-bare-"));
afterAll(() => rmSync(folder, { recursive: true }));
const root = join(import.meta.dirname, "..", "..", "..");

/** The tokens of a text, as far as spaces part them. */
const tokens = (wgsl: string): string =>
  wgsl
    .replace(/\/\/.*$/gm, "")
    .replace(/\s+/g, " ")
    .replace(/ ?([^\w ]) ?/g, "$1")
    .trim();

describe("a kernel in the page", () => {
  it("has the tokens and the record that it has elsewhere, and is shorter", async () => {
    // By its path: the page is a project of its own.
    const page = pathToFileURL(join(root, "page", "bare-kernels.ts")).href;
    const { bareKernels } = (await import(/* @vite-ignore */ page)) as { bareKernels(code: string, texts: boolean): string };
    cpSync(join(root, "dist"), join(folder, "dist"), { recursive: true });
    cpSync(join(root, "package.json"), join(folder, "package.json"));
    symlinkSync(join(root, "node_modules"), join(folder, "node_modules"));
    for (const room of ["wgsl", "kernels"])
      for (const name of readdirSync(join(folder, "dist", "gpu", room), { recursive: true, encoding: "utf8" })) {
        const file = join(folder, "dist", "gpu", room, name);
        if (name.endsWith(".js")) writeFileSync(file, bareKernels(readFileSync(file, "utf8"), true));
      }
    const built = (await import(/* @vite-ignore */ pathToFileURL(join(folder, "dist", "conformance", "host", "kernels.js")).href)) as {
      allKernels(): Promise<ReadonlyMap<string, Kernel>>;
    };
    const [bare, kernels] = [await built.allKernels(), await allKernels()];
    expect([...bare.keys()].sort()).toEqual([...kernels.keys()].sort());
    let [before, after] = [0, 0];
    for (const [name, { wgsl, bindings, params, overrides }] of kernels) {
      const inPage = bare.get(name)!;
      expect(tokens(inPage.wgsl), name).toBe(tokens(wgsl));
      expect([inPage.bindings, inPage.params, inPage.overrides], name).toEqual([bindings, params, overrides]);
      before += wgsl.length;
      after += inPage.wgsl.length;
    }
    expect(after).toBeLessThan(0.9 * before);
  });
});
