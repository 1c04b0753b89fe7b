/** A model by name is fetched from a server that answers, and fails, as the hub does. Nothing here needs the internet. About 3 s. */
import { mkdir, readdir, readFile, readlink, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { modelStore } from "../../../hub/model.ts";
import { parseModelName } from "../../../hub/name.ts";
import { findModel } from "../../../index.ts";
import { etagOf } from "./fake-hub.ts";
import {
  bytesOf,
  environment,
  expectWhole,
  failure,
  filesOf,
  first,
  get,
  home,
  hub,
  id,
  needed,
  options,
  repository,
  second,
  shard,
} from "./small-model.ts";

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
