/** What `gureum page` serves: files of the page and of models by range, under its headers, to this machine alone. About 2 s of CPU. */
import { spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { request } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { rangeOf, type Server, serve } from "../../../cli/serve.ts";
import { cli, expectFailure, gureum } from "./gureum.ts";

let folder: string;
let server: Server;
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "gureum-serve-"));
  mkdirSync(join(folder, "open/inner"), { recursive: true });
  mkdirSync(join(folder, "model"));
  writeFileSync(join(folder, "secret.txt"), "secret");
  writeFileSync(join(folder, "open/index.html"), "<!doctype html>");
  writeFileSync(join(folder, "open/a.js"), "0123456789");
  writeFileSync(join(folder, "open/empty.json"), "");
  writeFileSync(join(folder, "model/w.safetensors"), "weights");
  symlinkSync(join(folder, "secret.txt"), join(folder, "open/link.txt"));
  const folders = { "/": join(folder, "open"), "/model/": join(folder, "model") };
  server = await serve({ folders, headers: { "x-mine": "1" }, port: 0 });
});
afterAll(async () => {
  await server.close();
  rmSync(folder, { recursive: true });
});

const get = (path: string, headers: Record<string, string> = {}, method = "GET"): Promise<Response> =>
  fetch(new URL(path, server.url), { headers, method });

/** As a client sends it that does not tidy up addresses. */
const raw = (path: string, host: string): Promise<number> =>
  new Promise((done, fail) => {
    const { hostname, port } = new URL(server.url);
    request({ hostname, port, path, headers: { host } }, (response) => {
      response.resume();
      done(response.statusCode!);
    })
      .on("error", fail)
      .end();
  });

describe("the server of the page", () => {
  it("gives each file with its type, and its own headers with every answer", async () => {
    const page = await get("/");
    expect([page.status, page.headers.get("content-type"), page.headers.get("x-mine")]).toEqual([200, "text/html; charset=utf-8", "1"]);
    expect((await get("/a.js")).headers.get("content-type")).toBe("text/javascript; charset=utf-8");
    expect((await get("/model/w.safetensors")).headers.get("content-type")).toBe("application/octet-stream");
    const missing = await get("/nothing");
    expect([missing.status, missing.headers.get("x-mine")]).toEqual([404, "1"]);
    expect((await get("/a.js", {}, "POST")).status).toBe(405);
    expect(await (await get("/empty.json")).text()).toBe("");
  });

  it("gives ranges, the whole where none is asked for, and nothing where a copy is up to date", async () => {
    const part = await get("/a.js", { range: "bytes=2-4" });
    expect([part.status, part.headers.get("content-range"), await part.text()]).toEqual([206, "bytes 2-4/10", "234"]);
    expect((await get("/a.js", { range: "bytes=10-" })).status).toBe(416);
    const whole = await get("/a.js");
    expect(await whole.text()).toBe("0123456789");
    expect((await get("/a.js", { "if-none-match": whole.headers.get("etag")! })).status).toBe(304);
    expect((await get("/a.js", {}, "HEAD")).headers.get("content-length")).toBe("10");
  });

  it.each<[string | undefined, ReturnType<typeof rangeOf>]>([
    [undefined, null],
    ["bytes=0-0", [0, 0]],
    ["bytes=3-", [3, 9]],
    ["bytes=-4", [6, 9]],
    ["bytes=-40", [0, 9]],
    ["bytes=5-99", [5, 9]],
    ["bytes=7-3", "wrong"],
    ["bytes=-0", "wrong"],
    ["bytes=-", null],
    ["bytes=0-1,4-5", null],
    ["lines=0-1", null],
  ])("reads the range %s of ten bytes", (header, expected) => {
    expect(rangeOf(header, 10)).toEqual(expected);
  });

  it("gives nothing outside its folders, by dots or links, and nothing to a page of another name", async () => {
    const { host } = new URL(server.url);
    for (const path of ["/../secret.txt", "/%2e%2e/secret.txt", "/inner/..%2f..%2fsecret.txt", "/link.txt", "/inner", "/%00", "/%"])
      expect([path, await raw(path, host)]).toEqual([path, 404]);
    expect(await raw("/a.js", host)).toBe(200);
    expect(await raw("/a.js", "evil.example")).toBe(421);
  });
});

describe("gureum page", () => {
  it("prints its address, serves the page isolated and under a policy, with a model of one's own, and ends with SIGTERM", async () => {
    const child = spawn(process.execPath, [cli, "page", "--port", "0", "--model", join(folder, "model")]);
    const line = await new Promise<string>((done) => child.stdout.once("data", (bytes: Buffer) => done(bytes.toString())));
    expect(line).toMatch(/^http:\/\/127\.0\.0\.1:\d+\/\?model=models\/model\/\n$/);
    const url = new URL(line.trim());
    const response = await fetch(url);
    const html = await response.text();
    const policy = response.headers.get("content-security-policy")!;
    expect(policy).toContain("default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'");
    expect(html).toContain(`content="${policy.replace("; frame-ancestors 'none'", "")}"`);
    expect(response.headers.get("cross-origin-opener-policy")).toBe("same-origin");
    expect(response.headers.get("cross-origin-embedder-policy")).toBe("require-corp");
    expect(await (await fetch(new URL("models/model/w.safetensors", url.origin))).text()).toBe("weights");
    expect((await (await fetch(new URL("model/config.json", url.origin))).json()) as object).toMatchObject({ model_type: "llama" });
    const ended = new Promise((done) => child.once("exit", done));
    child.kill("SIGTERM");
    expect(await ended).toBe(0);
  });

  it("says in one line that a port is taken, or none", async () => {
    const { port } = new URL(server.url);
    expectFailure(
      await gureum(["page", "--port", port]),
      1,
      /^gureum: port \d+: cannot be listened on, got EADDRINUSE — give another one with --port/,
    );
    expectFailure(await gureum(["page", "--port", "70000"]), 2, /--port takes a number from 0 to 65535/);
  });
});
