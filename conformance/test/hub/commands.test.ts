/** Models by name where people meet them: the commands, the library, Deno. About 15 s of CPU, most of it Deno's start. */
import { execFile } from "node:child_process";
import { lstat, mkdtemp, readdir, readFile, readlink, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from "vitest";
import { isCompanion } from "../../../core/checkpoint/needed.ts";
import { sha256 } from "../../../core/host/hash.ts";
import { type DownloadProgress, embeddedModel, findModel, loadModel, openChat, openTokenizer, readTensor } from "../../../index.ts";
import { gureum } from "../cli/gureum.ts";
import { expectOwnError } from "../fixtures/failing.ts";
import { root, sources, textOf } from "../house/tree.ts";
import { type FakeHub, fakeHub } from "./fake-hub.ts";

const commit = "c".repeat(40);
const id = "someone/gureum-tiny-awq";
let hub: FakeHub;
let home: string;
let env: Record<string, string>;
beforeAll(async () => {
  const files: Record<string, Uint8Array> = {};
  for (const name of await readdir(embeddedModel())) files[name] = new Uint8Array(await readFile(join(embeddedModel(), name)));
  hub = await fakeHub({ [id]: { commits: { [commit]: files }, refs: { main: commit } } });
  home = await mkdtemp(join(tmpdir(), "gureum-hub-cli-"));
  env = { HF_HOME: home, HF_ENDPOINT: hub.url };
});
afterEach(() => vi.unstubAllEnvs());
afterAll(async () => {
  await hub.close();
  await rm(home, { recursive: true, force: true });
});
const weights = (): number => hub.asked.filter(({ at, url }) => at === "cdn" && url.length > 60).length;

describe("a command", () => {
  it("that needs no weights downloads none", async () => {
    const tokenized = await gureum(["tokenize", "안녕하세요", "--model", id], "", undefined, env);
    expect(tokenized.err).toBe("");
    expect(tokenized.out).toBe((await gureum(["tokenize", "안녕하세요"])).out);
    const seen = await gureum(["inspect", id], "", undefined, env);
    expect(seen.code, seen.err).toBe(0);
    expect(seen.out).toMatch(/187 tensors|187/);
    const snapshot = join(home, "hub/models--someone--gureum-tiny-awq/snapshots", commit);
    expect((await readdir(snapshot)).filter((name) => name.endsWith(".safetensors"))).toEqual([]);
  });

  it("takes the model by name, once, and offline thereafter", async () => {
    const words = ["generate", "구름", "--model", id, "--max-new-tokens", "6", "--backend", "cpu"];
    const named = await gureum(words, "", undefined, env);
    expect(named.code, named.err).toBe(0);
    expect(named.out).toBe((await gureum(["generate", "구름", "--max-new-tokens", "6", "--backend", "cpu"])).out);
    const before = weights();
    const again = await gureum([...words.slice(0, 3), `${id}@${commit}`, ...words.slice(4)], "", undefined, {
      ...env,
      HF_HUB_OFFLINE: "1",
    });
    expect(again.out, again.err).toBe(named.out);
    expect(weights()).toBe(before);
  });

  it("looks a name up once, so that what it hashes is what it ran", async () => {
    const from = hub.asked.length;
    const receipt = join(home, "receipt.json");
    const words = ["generate", "구름", "--model", id, "--max-new-tokens", "1", "--backend", "cpu", "--arithmetic", "exact"];
    const { code, err } = await gureum([...words, "--receipt", receipt], "", undefined, env);
    expect(code, err).toBe(0);
    expect(JSON.parse(await readFile(receipt, "utf8")).model).toBeDefined();
    expect(hub.asked.slice(from).filter(({ url }) => url.includes("/revision/"))).toHaveLength(1);
  });

  it("says in one line why not", async () => {
    const { code, out, err } = await gureum(["chat", "안녕", "--model", "no/model"], "", undefined, env);
    expect([code, out]).toEqual([1, ""]);
    expect(err).toMatch(/^gureum: no\/model: no folder on this disk, and no public model at http:.*\n$/);
  });
});

describe("the cache", () => {
  /** A line per link and file, as fixtures/scripts/hub_cache.py prints them. */
  async function listing(at: string): Promise<string[]> {
    const paths = (await readdir(at, { recursive: true })).filter((path) => !path.startsWith(".locks"));
    const lines = await Promise.all(
      paths.map(async (path) => {
        const info = await lstat(join(at, path));
        if (info.isSymbolicLink()) return [`./${path} -> ${await readlink(join(at, path))}`];
        return info.isFile() ? [`./${path} ${sha256(await readFile(join(at, path))).slice(0, 8)}`] : [];
      }),
    );
    return lines.flat().sort();
  }

  it("is, link by link and hash by hash, the one that Python's library makes of the same answers", async () => {
    const empty = await mkdtemp(join(tmpdir(), "gureum-hub-cache-"));
    try {
      const environment = { HF_HOME: empty, HF_ENDPOINT: hub.url };
      await expectOwnError((onDownload) => findModel(id, { environment, onDownload }));
      await findModel(id, { environment });
      const python = await readFile(new URL("../fixtures/data/hub/python-cache.txt", import.meta.url), "utf8");
      expect(await listing(join(empty, "hub"))).toEqual(python.trim().split("\n").sort());
    } finally {
      await rm(empty, { recursive: true, force: true });
    }
  });
});

describe("a callback that fails", () => {
  it("ends the download: its error is no cut connection, to be tried again", async () => {
    const empty = await mkdtemp(join(tmpdir(), "gureum-hub-callback-"));
    try {
      hub.asked.length = 0;
      const onDownload = ({ fileName }: DownloadProgress): void => {
        if (fileName.endsWith(".safetensors")) throw new Error("the caller's own");
      };
      const environment = { HF_HOME: empty, HF_ENDPOINT: hub.url };
      await expect(findModel(id, { environment, onDownload })).rejects.toThrow(/^the caller's own$/);
      // The weights' and the tokenizer's, once each.
      expect(hub.asked.filter(({ at }) => at === "cdn")).toHaveLength(2);
    } finally {
      await rm(empty, { recursive: true, force: true });
    }
  });
});

describe("the library", () => {
  it("takes the same names, and tells of the download", async () => {
    const empty = await mkdtemp(join(tmpdir(), "gureum-hub-library-"));
    vi.stubEnv("HF_HOME", empty);
    vi.stubEnv("HF_ENDPOINT", hub.url);
    try {
      expect((await openTokenizer(id)).encode("구름")).toEqual((await openTokenizer(embeddedModel())).encode("구름"));
      const messages = [{ role: "user", content: "안녕" }];
      expect((await openChat(id)).render(messages)).toBe((await openChat(embeddedModel())).render(messages));
      const seen: number[] = [];
      const model = await loadModel(`${id}@main`, {
        backend: "cpu",
        onDownload: ({ bytesDone, bytesTotal }) => seen.push(bytesDone / bytesTotal),
      });
      expect(seen.at(-1)).toBe(1);
      expect(model.notes).toEqual([]);
      model.dispose();
      await expect(loadModel("no/model", { backend: "cpu" })).rejects.toMatchObject({ code: "not-found" });
    } finally {
      await rm(empty, { recursive: true, force: true });
    }
  });
});

describe("a part of a model by name", () => {
  it("costs its bytes and no download of the weights", async () => {
    const empty = await mkdtemp(join(tmpdir(), "gureum-hub-part-"));
    vi.stubEnv("HF_HOME", empty);
    vi.stubEnv("HF_ENDPOINT", hub.url);
    try {
      const from = hub.asked.length;
      expect(await readTensor(id, "model.norm.weight")).toEqual(await readTensor(embeddedModel(), "model.norm.weight"));
      const cdn = hub.asked.slice(from).filter(({ at }) => at === "cdn");
      const bytes = cdn.map(({ range }) => /bytes=(\d+)-(\d+)/.exec(range!)!).reduce((sum, [, a, b]) => sum + Number(b) + 1 - Number(a), 0);
      expect(bytes).toBeLessThan(100_000);
      expect((await readdir(empty, { recursive: true })).filter((path) => path.endsWith("model.safetensors"))).toEqual([]);
    } finally {
      await rm(empty, { recursive: true, force: true });
    }
  });
});

describe("Deno", () => {
  it("downloads, checks and runs a model by name as Node does", async () => {
    const empty = await mkdtemp(join(tmpdir(), "gureum-hub-deno-"));
    let cuts = 0;
    hub.fault = (path, body, response) => {
      if (path !== "model.safetensors" || cuts++ > 1) return false;
      response.write(body.subarray(0, 2_000_000), () => response.destroy());
      return true;
    };
    try {
      const words = ["generate", "구름", "--model", id, "--max-new-tokens", "6", "--backend", "cpu"];
      const run = await promisify(execFile)("npx", ["deno", "run", "-A", fileURLToPath(new URL("cli.ts", root)), ...words], {
        env: { ...process.env, HF_HOME: empty, HF_ENDPOINT: hub.url },
      });
      expect(run.stdout).toBe((await gureum(["generate", "구름", "--max-new-tokens", "6", "--backend", "cpu"])).out);
      expect(cuts).toBeGreaterThan(2);
    } finally {
      hub.fault = () => false;
      await rm(empty, { recursive: true, force: true });
    }
  });
});

describe("the files that are downloaded", () => {
  it("are all that core and tokenizer name", () => {
    const named = sources()
      .filter((path) => /^(core|tokenizer)\//.test(path) && !/synth|^core\/quant\//.test(path))
      .flatMap((path) =>
        [...textOf(path).matchAll(/"([a-z_]+\.(?:json|jinja|model|txt)|model\.safetensors\.index\.json)"/g)].map(([, name]) => name!),
      );
    expect(named.length).toBeGreaterThan(8);
    expect([...new Set(named)].filter((name) => !isCompanion(name, false))).toEqual([]);
  });
});
