/** `gureum page`: the engine in a page, served on this machine. */
import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { basename, resolve } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { GureumError } from "../core/errors.ts";
import { embeddedModel } from "../index.ts";
import { modelPlace } from "./place.ts";
import { type Server, serve } from "./serve.ts";
import { note, printLine } from "./terminal.ts";
import { type Command, parseWords, usage } from "./words.ts";

const PORT = 8730;

/** Where the page was built: beside this file's folder in a build, in dist/ from a checkout's sources. */
function builtPage(): string {
  const folders = ["../page/", "../dist/page/"].map((relative) => fileURLToPath(new URL(relative, import.meta.url)));
  const built = folders.find((folder) => existsSync(resolve(folder, "assets")));
  if (!built) throw new GureumError("not-found", { where: "page", what: "the page is not built", remedy: "run npm run build" });
  return built;
}

/** The policy that the page brings as an element, to be sent as a header, where it can also keep others from framing it. */
export function policyOf(html: string): string {
  const policy = /http-equiv="Content-Security-Policy"\s+content="([^"]*)"/.exec(html)?.[1];
  if (policy === undefined) throw new GureumError("format", { where: "page", what: "index.html has no content security policy" });
  return `${policy}; frame-ancestors 'none'`;
}

/** What the page's own server sends with every file: threads need the isolation. */
export const pageHeaders = (policy: string): Record<string, string> => ({
  "content-security-policy": policy,
  "cross-origin-opener-policy": "same-origin",
  "cross-origin-embedder-policy": "require-corp",
  "cross-origin-resource-policy": "same-origin",
  "x-content-type-options": "nosniff",
  "referrer-policy": "no-referrer",
});

/** Serves the page, the embedded model and these model folders. */
export async function servePage(models: readonly string[], port: number): Promise<Server> {
  const page = builtPage();
  const html = await readFile(resolve(page, "index.html"), "utf8");
  const folders = Object.fromEntries(models.map((folder) => [`/models/${basename(resolve(folder))}/`, folder]));
  return serve({ folders: { "/": page, "/model/": embeddedModel(), ...folders }, headers: pageHeaders(policyOf(html)), port });
}

export const page: Command = {
  help: `usage: gureum page [options]

Serves the page on this machine (127.0.0.1) and prints its address: chat, conformance, diff and bench in a browser. It ends with Ctrl-C.

  --model DIR|NAME            a model folder, or a name on the hub, that the page opens first
  --port N                    (default: ${PORT}; 0: any that is free)`,
  async run(args) {
    const words = parseWords("page", args, { model: { type: "string" }, port: { type: "string" } }, 0);
    const port = words.number("port") ?? PORT;
    if (!(Number.isInteger(port) && port >= 0 && port < 65536)) throw usage("page", `--port takes a number from 0 to 65535, got ${port}`);
    const word = words.text("model");
    const models = word === undefined ? [] : [await modelPlace(word)];
    const server = await servePage(models, port);
    const query = models.map((folder) => `?model=models/${encodeURIComponent(basename(resolve(folder)))}/`).join("");
    await printLine(`${server.url}${query}`);
    note("serving; Ctrl-C ends it");
    await new Promise<void>((done) => {
      process.once("SIGINT", () => done());
      process.once("SIGTERM", () => done());
    });
    await server.close();
    return 0;
  },
};
