/**
 * llama.cpp as WebAssembly: the npm package @wllama/wllama in a headless Chromium of the caller's, one thread. A page from a server of our
 * own asks for work, does it and answers. CPU time is that of the browser's processes, read from /proc (Linux).
 */
import { type ChildProcess, spawn } from "node:child_process";
import { createReadStream, readFileSync, statSync } from "node:fs";
import { readdir, readFile } from "node:fs/promises";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { GureumError } from "../../core/errors.ts";
import type { Peer } from "./llama-cpp.ts";

/** What the page does with one piece of work: completes `prompt` by `count` tokens. */
interface Work {
  /** A text, since wllama takes no ids: each of these letters is a token by its byte (gguf.ts). */
  readonly prompt: string;
  readonly count: number;
  readonly cached: boolean;
}

interface Answer {
  readonly tokens?: number;
  readonly fed?: number;
  readonly error?: string;
}

/** The page: loads the model, then asks for work until the server is gone. */
const page = (contextSize: number): string => `<!doctype html><script type="module">
import { Wllama } from "/wllama/index.js";
const post = (path, body) => fetch(path, { method: "POST", body: JSON.stringify(body) });
try {
  const wllama = new Wllama({ default: "/wllama/wasm/wllama.wasm" }, { suppressNativeLog: true });
  const model = await (await fetch("/model")).blob();
  await wllama.loadModel([model], { n_ctx: ${contextSize}, n_threads: 1, n_gpu_layers: 0, n_parallel: 1, warmup: false });
  await post("/done", {});
  for (;;) {
    const { prompt, count, cached } = await (await fetch("/work")).json();
    const { usage } = await wllama.createCompletion({ prompt, max_tokens: count, temperature: 0, cache_prompt: cached, ignore_eos: true });
    await post("/done", { tokens: usage.completion_tokens, fed: usage.prompt_tokens });
  }
} catch (error) {
  await post("/done", { error: String(error) });
}
</script>`;

/** CPU time of a process and all below it, milliseconds. */
async function treeCpuMs(root: number): Promise<number> {
  const TICK_MS = 10;
  const processes = new Map<number, { parent: number; ms: number }>();
  for (const name of await readdir("/proc")) {
    if (!/^\d+$/.test(name)) continue;
    const text = await readFile(`/proc/${name}/stat`, "utf8").catch(() => "");
    const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
    if (fields.length > 14)
      processes.set(Number(name), { parent: Number(fields[1]), ms: TICK_MS * (Number(fields[11]) + Number(fields[12])) });
  }
  const within = (pid: number): boolean => pid === root || (processes.has(pid) && within(processes.get(pid)!.parent));
  return [...processes].reduce((sum, [pid, { ms }]) => sum + (within(pid) ? ms : 0), 0);
}

/** The package's folder. @throws GureumError "not-found" where it is not installed */
export function findWllama(): string {
  const specifier = "@wllama/wllama";
  try {
    return fileURLToPath(new URL(".", import.meta.resolve(specifier)));
  } catch (error) {
    const remedy = "npm install --no-save @wllama/wllama@3.13.0";
    throw new GureumError("not-found", { where: "bench peers", what: "@wllama/wllama is not installed", remedy }, error);
  }
}

/** @throws GureumError "io" where the browser ends or the page reports an error */
export async function openWllama(folder: string, modelPath: string, name: string, contextSize: number, browserPath: string): Promise<Peer> {
  const waiting: { work?: (work: Work) => void; done?: (answer: Answer) => void } = {};
  const files: Readonly<Record<string, string>> = { js: "text/javascript", wasm: "application/wasm" };
  const server = createServer((request: IncomingMessage, response: ServerResponse) => {
    const { pathname } = new URL(request.url ?? "/", "http://localhost");
    response.setHeader("Cross-Origin-Opener-Policy", "same-origin");
    response.setHeader("Cross-Origin-Embedder-Policy", "require-corp");
    if (pathname === "/") response.setHeader("Content-Type", "text/html").end(page(contextSize));
    else if (pathname === "/model") {
      response.setHeader("Content-Length", statSync(modelPath).size);
      createReadStream(modelPath).pipe(response);
    } else if (pathname === "/work") waiting.work = (work) => response.end(JSON.stringify(work));
    else if (pathname === "/done") {
      let body = "";
      request.on("data", (chunk) => {
        body += chunk;
      });
      request.on("end", () => {
        response.end();
        waiting.done?.(JSON.parse(body));
      });
    } else if (/^\/wllama\/[\w/-]+(\.[\w]+)+$/.test(pathname)) {
      try {
        const bytes = readFileSync(join(folder, pathname.slice("/wllama/".length)));
        response.setHeader("Content-Type", files[pathname.slice(pathname.lastIndexOf(".") + 1)] ?? "application/octet-stream").end(bytes);
      } catch {
        response.writeHead(404).end();
      }
    } else response.writeHead(404).end();
  });
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  const { port } = server.address() as AddressInfo;
  const profile = join(tmpdir(), `gureum-browser-${process.pid}`);
  const options = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", `--user-data-dir=${profile}`];
  const browser: ChildProcess = spawn(browserPath, [...options, `http://127.0.0.1:${port}/`], { stdio: "ignore" });
  const ended = new Promise<never>((_, reject) => {
    const fail = (why: string): void => reject(new GureumError("io", { where: browserPath, what: "the browser ended", got: why }));
    browser.on("error", (error) => fail(String(error)));
    browser.on("exit", (code, signal) => fail(`${signal ?? `exit ${code}`}`));
  });
  ended.catch(() => {}); // reported to whoever waits for an answer
  const answer = (): Promise<Answer> =>
    Promise.race([
      new Promise<Answer>((done) => {
        waiting.done = done;
      }),
      ended,
    ]);
  const complete = async (work: Work): Promise<void> => {
    const answered = answer();
    while (!waiting.work) await new Promise((later) => setTimeout(later, 1));
    const give = waiting.work;
    delete waiting.work;
    give(work);
    const { tokens, fed: read, error } = await answered;
    if (error === undefined && read !== work.prompt.length)
      throw new GureumError("no-output", { where: name, what: "tokens read", expected: `${work.prompt.length}`, got: `${read}` });
    if (error !== undefined || tokens !== work.count)
      throw new GureumError("io", { where: name, what: error ?? "tokens", expected: `${work.count}`, got: `${tokens}` });
  };
  const { error } = await answer();
  if (error !== undefined) throw new GureumError("io", { where: name, what: error });
  const letters = (ids: readonly number[]): string => ids.map((id) => String.fromCharCode(97 + (id % 26))).join("");
  let fed: readonly number[] = [];
  return {
    name,
    said: false,
    cpuMs: () => treeCpuMs(browser.pid!),
    async prefill(ids) {
      fed = ids;
      await complete({ prompt: letters(ids), count: 1, cached: false });
    },
    async decode(last, count) {
      await complete({ prompt: letters([...fed, last]), count, cached: true });
      return [];
    },
    async close() {
      browser.kill("SIGKILL");
      server.closeAllConnections();
      server.close();
    },
  };
}
