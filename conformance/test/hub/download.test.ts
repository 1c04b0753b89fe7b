/** Models by name against a server that answers, and fails, as the hub does. Nothing here needs the internet. About 4 s. */
import { createHash } from "node:crypto";
import { mkdir, mkdtemp, readdir, readFile, readlink, rm, stat, symlink, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type HubOptions, modelFolder, modelStore } from "../../../hub/model.ts";
import { parseModelName } from "../../../hub/name.ts";
import { findModel, GureumError } from "../../../index.ts";
import { etagOf, type FakeHub, type Files, fakeHub } from "./fake-hub.ts";

const text = (s: string): Uint8Array => new TextEncoder().encode(s);
/** Bytes that no two seeds have in common. */
const bytesOf = (seed: string, length: number): Uint8Array => {
  const bytes = new Uint8Array(length);
  for (let at = 0; at < length; at += 32)
    bytes.set(
      createHash("sha256")
        .update(`${seed} ${at}`)
        .digest()
        .subarray(0, Math.min(32, length - at)),
      at,
    );
  return bytes;
};
const [first, second] = ["a".repeat(40), "b".repeat(40)];
const shard = (i: number): string => `model-0000${i}-of-00002.safetensors`;
const made = new Map<string, Files>();
const filesOf = (seed: string): Files => made.get(seed) ?? made.set(seed, makeFiles(seed)).get(seed)!;
const makeFiles = (seed: string): Files => ({
  "config.json": text(`{"seed":"${seed}"}`),
  "generation_config.json": text("{}"),
  "tokenizer.json": text('{"model":{}}'),
  "tokenizer.model": bytesOf("tokenizer", 1000),
  "tokenizer_config.json": text('{"legacy":true}'),
  // The same bytes as generation_config.json: one blob.
  "special_tokens_map.json": text("{}"),
  "chat_template.jinja": text("{{ messages }}"),
  "additional_chat_templates/tool_use.jinja": text("{{ tools }}"),
  "model.safetensors.index.json": text(JSON.stringify({ weight_map: { a: shard(1), b: shard(2), c: shard(1) } })),
  [shard(1)]: bytesOf(`${seed} 1`, 300_000),
  [shard(2)]: bytesOf(`${seed} 2`, 60_000),
  "README.md": text("not needed"),
  "pytorch_model.bin": bytesOf("bin", 5000),
  "consolidated.safetensors": bytesOf("duplicate", 5000),
  "original/model.safetensors": bytesOf("another", 5000),
});
const needed = (files: Files): string[] => Object.keys(files).filter((path) => !/^(README|pytorch|consolidated|original)/.test(path));

const id = "someone/small-awq";
let hub: FakeHub;
let home: string;
let notes: string[];
let options: HubOptions;
const environment = (more: Record<string, string> = {}): HubOptions => ({
  ...options,
  environment: { HF_HOME: home, HF_ENDPOINT: hub.url, ...more },
});
const get = (name = id, more: HubOptions = options, part: "all" | "text" = "all"): Promise<string> =>
  modelFolder(parseModelName(name)!, part, more);
const failure = async (name = id, more: HubOptions = options): Promise<GureumError> => {
  const error = await get(name, more).then(
    () => null,
    (e: unknown) => e,
  );
  expect(error).toBeInstanceOf(GureumError);
  expect((error as GureumError).message).not.toContain("\n");
  return error as GureumError;
};
const expectWhole = async (folder: string, files: Files): Promise<void> => {
  for (const path of needed(files)) expect(Buffer.compare(await readFile(join(folder, path)), files[path]!), path).toBe(0);
};
const repository = (): string => join(home, "hub", "models--someone--small-awq");

beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), "gureum-hub-"));
  hub = await fakeHub({
    [id]: { commits: { [first]: filesOf("first"), [second]: filesOf("second") }, refs: { main: first, "refs/pr/7": second, v2: second } },
  });
  notes = [];
  options = { onNote: (note) => notes.push(note), patience: { tries: 3, waitMs: 1, stallMs: 1000 } };
  options = environment();
});
afterEach(async () => {
  await hub.close();
  await rm(home, { recursive: true, force: true });
});

describe("a model by name", () => {
  it("comes with the files that the engine reads and no others, into the folder that Python's library shares", async () => {
    const folder = await get();
    expect(folder).toBe(join(repository(), "snapshots", first));
    const files = filesOf("first");
    await expectWhole(folder, files);
    const found = (await readdir(folder, { recursive: true })).sort();
    expect(found).toEqual([...needed(files), "additional_chat_templates"].sort());
    expect(await readFile(join(repository(), "refs/main"), "utf8")).toBe(first);
    for (const path of needed(files)) {
      expect(await readlink(join(folder, path))).toBe(
        join(path.includes("/") ? "../../../blobs" : "../../blobs", etagOf(path, files[path]!)),
      );
    }
    expect((await readdir(join(repository(), "blobs"))).sort()).toEqual(
      [...new Set(needed(files).map((path) => etagOf(path, files[path]!)))].sort(),
    );
  });

  it("is not downloaded twice, and of another commit only what differs", async () => {
    await get();
    const before = hub.asked.length;
    await get();
    expect(hub.asked.slice(before).filter(({ url }) => !url.startsWith("/api/models/"))).toEqual([]);
    hub.models[id]!.refs.main = second;
    const from = hub.asked.length;
    await expectWhole(await get(), filesOf("second"));
    expect(hub.asked.slice(from).filter(({ at }) => at === "cdn")).toHaveLength(2);
  });

  it.each([
    ["v2", second],
    ["refs/pr/7", second],
    [first, first],
  ])("is of the revision %s that is asked for", async (revision, commit) => {
    expect(await get(`${id}@${revision}`)).toBe(join(repository(), "snapshots", commit));
    if (revision !== commit) expect(await readFile(join(repository(), "refs", revision), "utf8")).toBe(commit);
  });

  it("of which only text is needed leaves the weights where they are; the whole comes later", async () => {
    const folder = await get(id, options, "text");
    expect(await readdir(folder)).toContain("tokenizer.json");
    expect((await readdir(folder)).filter((name) => name.endsWith(".safetensors"))).toEqual([]);
    await expectWhole(await get(), filesOf("first"));
  });

  it("tells its progress: every byte once, what is there from before included", async () => {
    const seen: [number, number][] = [];
    await get(id, { ...options, onDownload: ({ bytesDone, bytesTotal }) => seen.push([bytesDone, bytesTotal]) });
    const files = filesOf("first");
    const total = needed(files).reduce((sum, path) => sum + files[path]!.length, 0) - 2 - files["model.safetensors.index.json"]!.length;
    expect(seen.at(-1)).toEqual([total, total]);
    for (let i = 1; i < seen.length; i++) if (seen[i]![1] === seen[i - 1]![1]) expect(seen[i]![0]).toBeGreaterThanOrEqual(seen[i - 1]![0]);
  });

  it("to look at costs the weights' headers only", async () => {
    const store = await modelStore(parseModelName(id)!, options);
    expect((await store.list()).sort()).toEqual(
      Object.keys(filesOf("first"))
        .filter((path) => !path.includes("/"))
        .sort(),
    );
    const source = await store.open(shard(1));
    const target = new Uint8Array(100);
    await source.readInto(200_000, target);
    expect(target).toEqual(filesOf("first")[shard(1)]!.subarray(200_000, 200_100));
    expect(hub.asked.filter(({ at }) => at === "cdn").map(({ range }) => range)).toEqual(["bytes=200000-200099"]);
    expect(await readFile(join(repository(), "snapshots", first, "config.json"), "utf8").catch(() => "none")).toBe("none");
    await (await store.open("config.json")).close();
    expect(await readFile(join(repository(), "snapshots", first, "config.json"), "utf8")).toContain("first");
  });

  it("is the folder on disk where there is one of that name, and nothing is asked", async () => {
    const at = process.cwd();
    process.chdir(home);
    try {
      await mkdir(id, { recursive: true });
      expect(await findModel(id, options)).toBe(id);
      expect(await findModel(`./${id}`, options)).toBe(`./${id}`);
      expect(await findModel("/no/such", options)).toBe("/no/such");
      expect(hub.asked).toEqual([]);
    } finally {
      process.chdir(at);
    }
  });
});

describe("a download that is cut", () => {
  it("goes on from where it stopped, within one call", async () => {
    let cuts = 0;
    hub.fault = (file, body, response) => {
      if (file !== shard(1) || cuts++ >= 2) return false;
      response.write(body.subarray(0, 100_000), () => response.destroy());
      return true;
    };
    await expectWhole(await get(), filesOf("first"));
    const ranges = hub.asked.filter(({ url }) => url.slice(1) === etagOf(shard(1), filesOf("first")[shard(1)]!)).map(({ range }) => range);
    expect(ranges[0]).toBeNull();
    expect(ranges).toHaveLength(3);
    for (const range of ranges.slice(1)) expect(Number(/bytes=(\d+)-/.exec(range!)![1])).toBeGreaterThan(0);
  });

  it("is kept as a part when it is given up, and taken up by the next call", async () => {
    let sent = 0;
    hub.fault = (file, body, response) => {
      if (file !== shard(1)) return false;
      response.write(body.subarray(0, sent++ === 0 ? 150_000 : 0), () => response.destroy());
      return true;
    };
    const { code, message } = await failure();
    expect(code).toBe("network");
    expect(message).toMatch(/model-00001-of-00002.*broke 3 times.*bytes are kept: run it again/);
    const partial = join(repository(), "blobs", `${etagOf(shard(1), filesOf("first")[shard(1)]!)}.gureum.incomplete`);
    const kept = (await stat(partial)).size;
    expect(kept).toBeGreaterThan(0);
    hub.fault = () => false;
    const from = hub.asked.length;
    await expectWhole(await get(), filesOf("first"));
    const again = hub.asked.slice(from).filter(({ at }) => at === "cdn");
    expect(again.map(({ range }) => range)).toContain(`bytes=${kept}-299999`);
    expect((await readdir(join(repository(), "blobs"))).filter((name) => name.endsWith(".incomplete"))).toEqual([]);
  });

  it("is noticed where the connection stays open and brings nothing", async () => {
    let stalls = 0;
    hub.fault = (file, body, response) => {
      if (file !== shard(2) || stalls++ > 0) return false;
      response.write(body.subarray(0, 20_000));
      return true;
    };
    await expectWhole(await get(id, { ...options, patience: { tries: 3, waitMs: 1, stallMs: 200 } }), filesOf("first"));
    expect(stalls).toBe(2);
  });

  it("goes on with a server that sends the whole file whatever range it is asked for", async () => {
    hub.ignoresRanges = true;
    let cuts = 0;
    hub.fault = (file, body, response) => {
      if (file !== shard(1) || cuts++ > 0) return false;
      response.write(body.subarray(0, 100_000), () => response.destroy());
      return true;
    };
    await expectWhole(await get(), filesOf("first"));
  });

  it("starts over where the branch has moved on, and leaves the old commit as it was", async () => {
    await get();
    let sent = 0;
    hub.fault = (file, body, response) => {
      if (file !== shard(1)) return false;
      response.write(body.subarray(0, sent++ === 0 ? 100_000 : 0), () => response.destroy());
      return true;
    };
    hub.models[id]!.refs.main = second;
    await failure();
    hub.fault = () => false;
    expect(await get(id, environment({ HF_HUB_OFFLINE: "1" }))).toBe(join(repository(), "snapshots", first));
    await expectWhole(await get(), filesOf("second"));
    await expectWhole(join(repository(), "snapshots", first), filesOf("first"));
  });
});

describe("wrong bytes", () => {
  it("of a part from before are thrown away, and the whole file is asked for once more", async () => {
    const etag = etagOf(shard(1), filesOf("first")[shard(1)]!);
    await mkdir(join(repository(), "blobs"), { recursive: true });
    await writeFile(join(repository(), "blobs", `${etag}.gureum.incomplete`), bytesOf("another file", 100_000));
    await expectWhole(await get(), filesOf("first"));
  });

  it("of a part that is longer than the file, too", async () => {
    const etag = etagOf(shard(2), filesOf("first")[shard(2)]!);
    await mkdir(join(repository(), "blobs"), { recursive: true });
    await writeFile(join(repository(), "blobs", `${etag}.gureum.incomplete`), bytesOf("another file", 100_000));
    await expectWhole(await get(), filesOf("first"));
  });

  it.each([
    ["a large file", shard(2), "SHA-256"],
    ["a small file", "tokenizer_config.json", "git SHA-1"],
  ])("from the server, of %s, are an error that names file and hash, and nothing is kept", async (_what, path, hash) => {
    hub.fault = (file, body, response) => {
      if (file !== path) return false;
      const wrong = body.slice();
      wrong[0]! ^= 1;
      response.end(wrong);
      return true;
    };
    const { code, message } = await failure();
    expect(code).toBe("network");
    expect(message).toContain(path);
    expect(message).toContain(hash);
    const etag = etagOf(path, filesOf("first")[path]!);
    const blobs = await readdir(join(repository(), "blobs"));
    expect(blobs.filter((name) => name.startsWith(etag))).toEqual([]);
  });

  it("that are a file changed between two connections are an error, not a mixture", async () => {
    let sends = 0;
    hub.fault = (file, body, response) => {
      if (file !== shard(1)) return false;
      if (sends++ === 0) response.write(body.subarray(0, 100_000), () => response.destroy());
      else response.end(bytesOf("changed", body.length));
      return true;
    };
    expect((await failure()).message).toMatch(/SHA-256.*thrown away/);
    expect(sends).toBe(3);
  });
});

describe("a refusal", () => {
  it.each([
    [
      "a model that is not there",
      "no/model",
      {},
      "not-found",
      /no\/model: no folder on this disk, and no public model at .*look at the spelling/,
    ],
    ["a revision that is not there", `${id}@v3`, {}, "not-found", /@v3: the model has no such revision/],
    ["a private model without a token", "someone/private", {}, "not-found", /for a private model set HF_TOKEN/],
    ["a gated model without a token", "someone/gated", {}, "access", /gated.*someone\/gated, then set HF_TOKEN/],
    ["a token that is not valid", id, { HF_TOKEN: "hf_bad" }, "access", /does not take the token/],
  ] as const)("of %s says what it is", async (_what, name, env, code, message) => {
    hub.models["someone/private"] = { ...hub.models[id]!, private: true };
    hub.models["someone/gated"] = { ...hub.models[id]!, gated: true };
    const error = await failure(name, environment(env));
    expect(error.message).toMatch(message);
    expect(error.code).toBe(code);
  });

  it.each([
    ["an endpoint that is no address", { HF_ENDPOINT: "huggingface" }, "usage", /HF_ENDPOINT: not an address/],
    ["an endpoint of another kind", { HF_ENDPOINT: "file:///x" }, "usage", /HF_ENDPOINT: not an address/],
    ["a token with letters that no header takes", { HF_TOKEN: "hf_구름" }, "usage", /HF_TOKEN: holds characters/],
    ["a cache below a file", { HF_HUB_CACHE: "/etc/hostname/x" }, "not-found", /hostname.*a part of the path is not a folder/],
  ] as const)("of %s is one named line", async (_what, env, code, message) => {
    const error = await failure(id, environment(env));
    expect(error.message).toMatch(message);
    expect(error.code).toBe(code);
  });

  it("of a page that is not the hub's, as public networks send it, names the address", async () => {
    const portal = createServer((_request, response) =>
      response.writeHead(200, { "content-type": "text/html" }).end("<html>log in</html>"),
    );
    await new Promise<void>((resolve) => portal.listen(0, "127.0.0.1", () => resolve()));
    try {
      const url = `http://127.0.0.1:${(portal.address() as AddressInfo).port}`;
      const { code, message } = await failure(id, environment({ HF_ENDPOINT: url }));
      expect(code).toBe("format");
      expect(message).toMatch(/small-awq: an answer that is not the hub's from http:\/\/127.*look at HF_ENDPOINT/);
    } finally {
      portal.close();
    }
  });

  it("of a busy server is waited for, and told when it lasts", async () => {
    hub.busy = 2;
    await expectWhole(await get(), filesOf("first"));
    await rm(home, { recursive: true });
    hub.busy = 3;
    const { code, message } = await failure();
    expect(code).toBe("network");
    expect(message).toMatch(/HTTP 503/);
  });

  it("of a repository without safetensors names what is there, before anything large is fetched", async () => {
    hub.models["someone/gguf"] = {
      commits: { [first]: { "config.json": text("{}"), "model-q4.gguf": bytesOf("gguf", 1000) } },
      refs: { main: first },
    };
    const error = await failure("someone/gguf");
    expect(error.code).toBe("not-found");
    expect(error.message).toMatch(/model-q4.gguf.*take the safetensors release/);
    expect(hub.asked.filter(({ at }) => at === "cdn")).toEqual([]);
  });
});

describe("the token", () => {
  it.each([
    ["HF_TOKEN", async () => ({ HF_TOKEN: "hf_good\n" })],
    ["a mirror's, of another form", async () => ({ HF_TOKEN: "other_good" })],
    [
      "the file of a login",
      async () => {
        await writeFile(join(home, "token"), "hf_good\n");
        return {};
      },
    ],
  ] as const)("is %s, opens gated and private models, and goes to the hub alone", async (_what, env) => {
    hub.models["someone/private"] = { ...hub.models[id]!, private: true, gated: true };
    const folder = await get("someone/private", environment(await env()));
    await expectWhole(folder, filesOf("first"));
    for (const { at, authorization } of hub.asked)
      if (at === "cdn") expect(authorization).toBeNull();
      else expect(authorization).toMatch(/^Bearer (hf|other)_good$/);
  });
});

describe("offline", () => {
  it("takes what was downloaded and asks nothing", async () => {
    await get();
    await get(`${id}@v2`);
    const before = hub.asked.length;
    const off = environment({ HF_HUB_OFFLINE: "1" });
    expect(await get(id, off)).toBe(join(repository(), "snapshots", first));
    expect(await get(`${id}@v2`, off)).toBe(join(repository(), "snapshots", second));
    expect(await get(`${id}@${second}`, off)).toBe(join(repository(), "snapshots", second));
    expect(hub.asked.length).toBe(before);
    expect(notes).toEqual([]);
  });

  it("names what is not in the cache", async () => {
    await get(id, options, "text");
    const off = environment({ HF_HUB_OFFLINE: "yes" });
    expect((await failure(id, off)).message).toMatch(/model-00001-of-00002.safetensors of commit a+ is not in .*HF_HUB_OFFLINE is set/);
    expect((await failure("no/model", off)).message).toMatch(/no\/model: not in .*hub, and HF_HUB_OFFLINE is set/);
  });

  it("without being asked to, since the hub is not reached, takes the same and says so", async () => {
    await get();
    await hub.close();
    expect(await get()).toBe(join(repository(), "snapshots", first));
    expect(notes.join()).toMatch(/as it was downloaded before, since .*no answer from 127.0.0.1/);
    expect((await failure("no/model")).message).toMatch(/no answer from 127.0.0.1:\d+, got .*ECONNREFUSED/);
  });
});

describe("the cache folder", () => {
  it.each([
    ["HF_HUB_CACHE", (at: string) => ({ HF_HUB_CACHE: at }), ""],
    ["HUGGINGFACE_HUB_CACHE", (at: string) => ({ HUGGINGFACE_HUB_CACHE: at }), ""],
    ["HF_HOME", (at: string) => ({ HF_HOME: at }), "hub"],
    ["XDG_CACHE_HOME", (at: string) => ({ HF_HOME: "", XDG_CACHE_HOME: at }), "huggingface/hub"],
    ["HOME", (at: string) => ({ HF_HOME: "", HOME: at }), ".cache/huggingface/hub"],
    ["a path with ~", (at: string) => ({ HF_HUB_CACHE: "~/models", HOME: at }), "models"],
    ["a path with a variable", (at: string) => ({ HF_HUB_CACHE: "$PLACE/models", PLACE: at }), "models"],
  ])("is that of %s", async (_what, env, inside) => {
    const at = join(home, "elsewhere");
    expect(await get(id, environment(env(at)), "text")).toBe(join(at, inside, "models--someone--small-awq/snapshots", first));
  });

  it("as Python fills it is found: links, refs and blobs", async () => {
    const files = filesOf("first");
    for (const path of needed(files)) {
      const pointer = join(repository(), "snapshots", first, path);
      const etag = etagOf(path, files[path]!);
      await mkdir(join(pointer, ".."), { recursive: true });
      await mkdir(join(repository(), "blobs"), { recursive: true });
      await writeFile(join(repository(), "blobs", etag), files[path]!);
      await symlink(join(path.includes("/") ? "../../../blobs" : "../../blobs", etag), pointer).catch(() => {});
    }
    await mkdir(join(repository(), "refs"), { recursive: true });
    await writeFile(join(repository(), "refs/main"), first);
    expect(await get(id, environment({ HF_HUB_OFFLINE: "1" }))).toBe(join(repository(), "snapshots", first));
    await get();
    expect(hub.asked.filter(({ url }) => !url.startsWith("/api/models/"))).toEqual([]);
  });

  it("is filled once by two that ask at the same time", async () => {
    await Promise.all([get(), get(), get()]);
    await expectWhole(await get(), filesOf("first"));
    expect(hub.asked.filter(({ at }) => at === "cdn")).toHaveLength(3);
    expect(notes.some((note) => /another process downloads/.test(note))).toBe(true);
    expect(await readdir(join(home, "hub/.locks/models--someone--small-awq"))).toEqual([]);
  });

  it("is not blocked by a lock whose process is gone", async () => {
    const path = join(home, "hub/.locks/models--someone--small-awq", `${etagOf(shard(1), filesOf("first")[shard(1)]!)}.gureum.lock`);
    await mkdir(join(path, ".."), { recursive: true });
    const { hostname } = await import("node:os");
    await writeFile(path, `999999999 ${hostname()} 0`);
    await get();
    expect(notes).toEqual([]);
  });

  it("too small for the model is said before the download", async () => {
    const error = await get(id, { ...options, environment: { HF_HUB_CACHE: "/proc/nowhere", HF_ENDPOINT: hub.url } }).catch(
      (e: unknown) => e,
    );
    expect(error).toBeInstanceOf(GureumError);
    expect(hub.asked.filter(({ at }) => at === "cdn")).toEqual([]);
  });
});

describe("what is a name", () => {
  it.each(["org/name", "org/name@main", "nlpai-lab/KULLM3", "Qwen/Qwen2.5-0.5B-Instruct-AWQ", "a/b@refs/pr/3"])("%s is one", (name) => {
    expect(parseModelName(name)).not.toBeNull();
  });
  it.each([
    "name",
    "./org/name",
    "/org/name",
    "../name/x",
    "org/name/",
    "org/name/more",
    "org\\name",
    "~/models",
    "org/name.git",
    "org/a..b",
    "",
    "org/na me",
  ])("%s is a path", (path) => {
    expect(parseModelName(path)).toBeNull();
  });
  it.each(["org/name@", "org/name@../x", "org/name@a b", "org/name@/x", "org/name@a//b", "org/name@.x", "org/name@x.lock"])(
    "%s has no revision",
    (name) => {
      expect(() => parseModelName(name)).toThrow(/not a revision/);
    },
  );
});
