/** What the hub refuses, to whom it opens, and what is taken without it. Nothing here needs the internet. */
import { rm, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
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
  notes,
  options,
  repository,
  second,
  text,
} from "./small-model.ts";

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
