import { describe, expect, it } from "vitest";
import { environment, type Globals, runtimeOf } from "../../certificate/environment.ts";

const agent = (userAgent: string): Globals => ({ navigator: { userAgent, platform: "MacIntel" } });
const mac = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7)";

describe("the runtime", () => {
  it.each<[string, Globals]>([
    [
      "Node 20.20.2",
      { process: { versions: { node: "20.20.2" }, platform: "linux", arch: "x64" }, navigator: { userAgent: "Node.js/20" } },
    ],
    [
      "Deno 2.9.6",
      {
        Deno: { version: { deno: "2.9.6", v8: "14" }, build: { os: "linux", arch: "x86_64" } },
        process: { versions: { node: "24.0.0" }, platform: "linux", arch: "x64" },
      },
    ],
    ["Bun 1.3.0", { process: { versions: { node: "24.0.0", bun: "1.3.0" }, platform: "linux", arch: "x64" } }],
    ["Chrome 142.0.0.0", agent(`${mac} AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36`)],
    ["Edge 142.0.0.0", agent(`${mac} AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36 Edg/142.0.0.0`)],
    ["Firefox 145.0", agent("Mozilla/5.0 (Macintosh; Intel Mac OS X 10.15; rv:145.0) Gecko/20100101 Firefox/145.0")],
    ["Safari 26.1", agent(`${mac} AppleWebKit/605.1.15 (KHTML, like Gecko) Version/26.1 Safari/605.1.15`)],
    ["SomethingElse/1", agent("SomethingElse/1")],
    ["unknown", {}],
  ])("is called %s", (name, globals) => {
    expect(runtimeOf(globals)).toBe(name);
  });

  it("never asks a browser for files or processes", async () => {
    const found = await environment(agent(`${mac} Chrome/142.0.0.0 Safari/537.36`));
    expect(found).toMatchObject({ commit: null, runtime: "Chrome 142.0.0.0", platform: "MacIntel", cpu: "unknown" });
  });
});
