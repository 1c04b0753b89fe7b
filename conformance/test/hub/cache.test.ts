/** Where models by name lie: the folder that Python's library shares, filled by one of several. */
import { mkdir, readdir, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { GureumError } from "../../../core/errors.ts";
import { etagOf } from "./fake-hub.ts";
import { environment, expectWhole, filesOf, first, get, home, hub, id, needed, notes, options, repository, shard } from "./small-model.ts";

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
