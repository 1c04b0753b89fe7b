/** Models behind an address, by a server on this machine. About 4 s of CPU. */
import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from "vitest";
import { type ByteSource, readBytes } from "../../../../core/checkpoint/byte-source.ts";
import { makeSha256 } from "../../../../core/sha256.ts";
import { embeddedModel, loadModel, openModelStore, type UrlOptions, urlStore } from "../../../../index.ts";
import { expectOwnError } from "../../fixtures/failing.ts";
import { type FileServer, fileServer } from "../../page/file-server.ts";

const bytesOf = (length: number, seed = 1): Uint8Array =>
  Uint8Array.from({ length }, (_, i) => ((i * 2654435761 + seed * 97) >>> 13) & 255);
const large = bytesOf(5_000_000);
const sha = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");
const quick = { tries: 3, waitMs: 1, stallMs: 300 };
let server: FileServer;
beforeAll(async () => {
  const files = new Map<string, Uint8Array>([["big/large.safetensors", large]]);
  for (const name of readdirSync(embeddedModel())) files.set(`model/${name}`, new Uint8Array(readFileSync(join(embeddedModel(), name))));
  server = await fileServer(files);
});
afterAll(() => server.close());
beforeEach(() => {
  server.asked.length = 0;
  server.files.set("big/large.safetensors", large);
  Object.assign(server, { ranges: true, version: "etag", headers: {}, fault: () => false });
  server.missing = (response) => void response.writeHead(404).end();
});
const openLarge = (options: UrlOptions = {}): Promise<ByteSource> =>
  urlStore(`${server.url}/big`, { patience: quick, ...options }).open("large.safetensors");

describe("a file behind an address", () => {
  for (const ranges of [true, false])
    it(`gives any range of its bytes, from a server ${ranges ? "with" : "without"} ranges`, async () => {
      server.ranges = ranges;
      const source = await openLarge();
      expect(source.byteLength).toBe(large.length);
      const piece = fc.tuple(fc.nat(large.length), fc.oneof(fc.nat(5000), fc.nat(2_500_000)));
      await fc.assert(
        fc.asyncProperty(piece, async ([from, most]) => {
          const length = Math.min(most, large.length - from);
          expect(sha(await readBytes(source, from, length))).toBe(sha(large.subarray(from, from + length)));
        }),
        { numRuns: 30, seed: 1 },
      );
      await expect(source.readInto(large.length - 3, new Uint8Array(4))).rejects.toMatchObject({ code: "io" });
      expect(server.asked.filter(({ range }) => range === null)).toEqual([]);
    });

  it("is read at several places at once", async () => {
    const source = await openLarge();
    const pieces = await Promise.all([0, 100, 1_100_000, 3_000_000, 50, 4_999_000].map((at) => readBytes(source, at, 1000)));
    expect(pieces.map(sha)).toEqual([0, 100, 1_100_000, 3_000_000, 50, 4_999_000].map((at) => sha(large.subarray(at, at + 1000))));
  });

  it("asks once for neighbours that are small", async () => {
    const source = await openLarge();
    for (let at = 2_100_000; at < 3_000_000; at += 9000) await readBytes(source, at, 9000);
    expect(server.asked.length).toBe(2);
  });

  it("of a server without ranges is fetched once, with a notice and its progress", async () => {
    server.ranges = false;
    const notes: string[] = [];
    const told: number[] = [];
    const source = await openLarge({ onNote: (text) => notes.push(text), onDownload: ({ bytesDone }) => told.push(bytesDone) });
    for (const at of [4_000_000, 7, 2_000_000]) expect(await readBytes(source, at, 10)).toEqual(large.slice(at, at + 10));
    expect(server.asked.length).toBe(1);
    expect(notes).toEqual([
      expect.stringMatching(/large\.safetensors: the server gives no ranges, so all 5.* are fetched before they are read/),
    ]);
    expect(told.at(-1)).toBe(large.length);
    expect(told).toEqual([...told].sort((a, b) => a - b));
  });

  it("that is fetched whole ends with the error of a callback, and is not asked for again", async () => {
    server.ranges = false;
    await expectOwnError((onNote) => openLarge({ onNote }));
    await expectOwnError((onDownload) => openLarge({ onDownload }));
    expect(server.asked.length).toBe(4);
    server.ranges = true;
    await expectOwnError((onDownload) => openLarge({ onDownload, hashes: { "large.safetensors": sha(large) } }));
    const listed = (onDownload: () => never) => urlStore(`${server.url}/model`, { patience: quick, onDownload });
    server.ranges = false;
    await expectOwnError((onDownload) => listed(onDownload).list());
    await expectOwnError((onDownload) => openModelStore(`${server.url}/model`, { onDownload }).then((store) => store.open("config.json")));
    let calls = 0;
    const onDownload = (): void => {
      if (calls++ === 0) throw new RangeError("the first alone");
    };
    await expect(openLarge({ onDownload })).rejects.toThrow(/^the first alone$/);
  });

  it("may be empty", async () => {
    server.files.set("big/none", new Uint8Array(0));
    expect((await urlStore(`${server.url}/big`).open("none")).byteLength).toBe(0);
  });

  it("whose name has other letters is found, and a query goes along", async () => {
    server.files.set("big/a b%#?.json", bytesOf(10));
    expect((await urlStore(`${server.url}/big/?token=1`).open("a b%#?.json")).byteLength).toBe(10);
  });
});

describe("a transfer that is cut", () => {
  /** Sends `length` bytes of every answer and cuts the connection, so many times. */
  const cutAfter = (length: number, times: number): void => {
    let left = times;
    server.fault = (_, response, body) => {
      if (body.length <= length || left-- <= 0) return false;
      response.write(body.subarray(0, length), () => response.destroy());
      return true;
    };
  };

  it("goes on behind what came, by ranges", async () => {
    const source = await openLarge();
    cutAfter(400_000, 100);
    expect(sha(await readBytes(source, 1_000_000, 3_000_000))).toBe(sha(large.subarray(1_000_000, 4_000_000)));
    const starts = server.asked.slice(1).map(({ range }) => Number(/\d+/.exec(range!)![0]));
    expect(starts).toEqual([...starts].sort((a, b) => a - b));
    expect(new Set(starts).size).toBe(starts.length);
  });

  it("of a server without ranges begins again", async () => {
    server.ranges = false;
    cutAfter(400_000, 2);
    expect(sha(await readBytes(await openLarge(), 0, large.length))).toBe(sha(large));
  });

  it("that brings nothing new so many times ends in one line", async () => {
    const source = await openLarge();
    server.fault = (_, response) => {
      response.destroy();
      return true;
    };
    await expect(readBytes(source, 2_000_000, 2_000_000)).rejects.toMatchObject({
      code: "network",
      message: expect.stringMatching(/^http.*large\.safetensors: no answer from 127\.0\.0\.1.*, got .* — look at the connection$/),
    });
  });

  it("that stalls is taken for cut", async () => {
    const source = await openLarge();
    let stalls = 1;
    server.fault = (_, response, body) => {
      if (stalls-- <= 0) return false;
      response.write(body.subarray(0, 1000));
      return true;
    };
    expect(sha(await readBytes(source, 1_500_000, 1_200_000))).toBe(sha(large.subarray(1_500_000, 2_700_000)));
  });

  it("is asked for again where the server is busy, after the time that it names", async () => {
    let busy = 2;
    const source = await openLarge();
    server.fault = (_, response) => {
      if (busy-- <= 0) return false;
      response.removeHeader("content-length");
      response.writeHead(503).end();
      return true;
    };
    expect(sha(await readBytes(source, 1_500_000, 1_200_000))).toBe(sha(large.subarray(1_500_000, 2_700_000)));
  });
});

describe("a file that changes while it is read", () => {
  for (const [version, length] of [
    ["etag", 5_000_000],
    ["date", 5_000_001],
    ["none", 5_000_001],
    ["none", 1_500_000],
  ] as const)
    it(`is named: ${version === "none" ? "no validator" : version}, ${length} bytes instead of ${large.length}`, async () => {
      server.version = version;
      const source = await openLarge();
      server.files.set("big/large.safetensors", bytesOf(length, 2));
      await expect(readBytes(source, 1_500_000, 2_000_000)).rejects.toMatchObject({
        code: "io",
        message: expect.stringMatching(/large\.safetensors: the file changed on the server while it was read, got .* — load again$/),
      });
    });

  it("is asked for under the condition that it did not, where the validator is strong", async () => {
    await readBytes(await openLarge(), 2_000_000, 2_000_000);
    expect(server.asked.at(-1)!.condition).toMatch(/^"/);
    server.version = "date";
    await readBytes(await openLarge(), 2_000_000, 2_000_000);
    expect(server.asked.at(-1)!.condition).toBe(null);
  });
});

describe("a hash that is given", () => {
  it("is compared before anything is read", async () => {
    const source = await openLarge({ hashes: { "large.safetensors": sha(large).toUpperCase() } });
    expect(sha(await readBytes(source, 0, large.length))).toBe(sha(large));
  });

  it("that differs ends in one line with both", async () => {
    await expect(openLarge({ hashes: { "large.safetensors": "0".repeat(64) } })).rejects.toMatchObject({
      code: "network",
      message: expect.stringMatching(new RegExp(`does not have the SHA-256 .* expected 0{64}, got ${sha(large)} — load again`)),
    });
  });

  it("is the same however the file is cut", () => {
    const hash = makeSha256();
    for (let at = 0; at < large.length; at += 77_777) hash.update(large.subarray(at, at + 77_777));
    expect(hash.digest()).toBe(sha(large));
  });
});

describe("a refusal", () => {
  it.each([
    [404, "not-found", /the server has no such file, got HTTP 404 — look at the address$/],
    [401, "access", /the server wants to know who asks, got HTTP 401 — give the headers/],
    [403, "access", /the server refuses, got HTTP 403 — give the headers/],
    [500, "network", /an answer that was not expected, got HTTP 500$/],
    [451, "network", /an answer that was not expected, got HTTP 451$/],
  ])("with status %i is named", async (status, code, message) => {
    server.missing = (response) => void response.writeHead(status).end();
    await expect(urlStore(`${server.url}/away`, { patience: quick }).open("config.json")).rejects.toMatchObject({
      code,
      message: expect.stringMatching(message),
    });
    expect(server.asked.length).toBe(status === 500 ? 3 : 1);
  });

  it("of the host itself is named", async () => {
    await expect(urlStore("http://127.0.0.1:9", { patience: quick }).open("config.json")).rejects.toMatchObject({
      code: "network",
      message: expect.stringMatching(
        /^http:\/\/127\.0\.0\.1:9\/config\.json: no answer from 127\.0\.0\.1:9, got .* — look at the connection$/,
      ),
    });
  });

  it("by CORS is told from a server that is away, as browsers leave it open", async () => {
    vi.stubGlobal("location", { origin: "https://page.example", href: "https://page.example/" });
    const real = globalThis.fetch;
    // What a browser does with an answer that the page may not read.
    vi.stubGlobal("fetch", (address: string, init: RequestInit) =>
      init.mode === "no-cors" ? real(address) : Promise.reject(new TypeError("Failed to fetch")),
    );
    try {
      const open = (url: string): Promise<ByteSource> => urlStore(url, { patience: quick }).open("config.json");
      await expect(open(`${server.url}/model`)).rejects.toMatchObject({
        code: "access",
        message: expect.stringMatching(
          /the server answers, but lets no page of https:\/\/page\.example read it \(CORS\) — serve the files with/,
        ),
      });
      await expect(open("http://127.0.0.1:9")).rejects.toMatchObject({ code: "network", message: expect.stringMatching(/connect-src/) });
    } finally {
      vi.unstubAllGlobals();
    }
  });

  it("is not asked of what is no address", () => {
    for (const address of ["", "models/x", "file:///x", "ftp://x/y"])
      expect(() => urlStore(address)).toThrow(expect.objectContaining({ code: "usage" }));
  });

  it("meets the headers that were given", async () => {
    const seen: unknown[] = [];
    const real = globalThis.fetch;
    vi.stubGlobal("fetch", (address: string, init: RequestInit) => {
      seen.push((init.headers as Record<string, string>).authorization);
      return real(address, init);
    });
    await readBytes(await openLarge({ headers: { authorization: "Bearer x" } }), 2_000_000, 2_000_000).finally(() => vi.unstubAllGlobals());
    expect(seen).toEqual(["Bearer x", "Bearer x"]);
  });
});

describe("a model folder behind an address", () => {
  const answer = async (place: string | ReturnType<typeof urlStore>): Promise<string> => {
    const model = await loadModel(place, { backend: "cpu", ops: "javascript" });
    const run = model.generate({ text: "구름" }, { maxNewTokens: 4, greedy: true });
    let text = "";
    for await (const { text: piece } of run) text += piece;
    model.dispose();
    return text;
  };
  for (const [ranges, missing] of [
    [true, 404],
    [false, 404],
    [true, 403],
    [true, 200],
  ] as const)
    it(`loads as the folder on disk does: ${ranges ? "ranges" : "no ranges"}, HTTP ${missing} for what is not there`, async () => {
      server.ranges = ranges;
      server.missing = (response) =>
        void response.writeHead(missing, { "content-type": "text/html" }).end("<!doctype html><title>x</title>");
      expect(await answer(`${server.url}/model`)).toBe(await answer(embeddedModel()));
    });

  it("lists what is there, and the shards of an index where there is no single file", async () => {
    const encode = (text: string): Uint8Array => new TextEncoder().encode(text);
    server.files.set("shards/config.json", encode("{}"));
    server.files.set("shards/model.safetensors.index.json", encode('{"weight_map": {"a": "x-1.safetensors", "b": "x-2.safetensors"}}'));
    expect((await urlStore(`${server.url}/shards`).list()).sort()).toEqual([
      "config.json",
      "model.safetensors.index.json",
      "x-1.safetensors",
      "x-2.safetensors",
    ]);
    const names = await urlStore(`${server.url}/model/`).list();
    expect(names).toContain("model.safetensors");
    expect(names).not.toContain("chat_template.jinja");
  });

  it("whose names are given is asked for nothing else", async () => {
    const files = ["config.json", "model.safetensors", "tokenizer.json", "templates/a.jinja"];
    const store = urlStore(`${server.url}/model`, { files });
    expect(await store.list()).toEqual(files.slice(0, 3));
    expect(await store.folder!("templates").list()).toEqual(["a.jinja"]);
    expect(server.asked).toEqual([]);
    await expect(store.open("other.json")).rejects.toMatchObject({ code: "not-found" });
  });

  it("is read anew by the next load, and says that nothing is there where nothing is", async () => {
    const store = urlStore(`${server.url}/model`);
    await answer(store);
    server.asked.length = 0;
    await answer(store);
    expect(server.asked.some(({ path }) => path === "model/config.json")).toBe(true);
    await expect(loadModel(`${server.url}/nothing`)).rejects.toMatchObject({
      code: "not-found",
      message: expect.stringMatching(/config\.json|checkpoint/),
    });
  });
});
