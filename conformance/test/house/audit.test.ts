/** `.ci/audit` against registries that know a fault, none, or nothing of faults. About 4 s of CPU. */
import { execFile } from "node:child_process";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { describe, expect, it } from "vitest";
import { pathOf } from "./tree.ts";

/** What the script says and its exit code, with a registry that gives this answer to every question for advisories. */
async function audited(status: number, advisories: unknown): Promise<{ code: number; said: string }> {
  const registry = createServer((request, response) => {
    const known = request.url?.endsWith("/advisories/bulk");
    response.writeHead(known ? status : 404, { "content-type": "application/json" }).end(JSON.stringify(known ? advisories : {}));
  });
  await new Promise<void>((ready) => registry.listen(0, "127.0.0.1", ready));
  const { port } = registry.address() as AddressInfo;
  try {
    return await new Promise((done) =>
      execFile(pathOf(".ci/audit"), [`--registry=http://127.0.0.1:${port}`, "--fetch-retries=0"], (error, _, said) =>
        done({ code: error ? Number(error.code) : 0, said }),
      ),
    );
  } finally {
    registry.close();
  }
}

describe("the audit of packages", () => {
  it("fails for a known fault of a package of the lock file, and names it", async () => {
    const fault = { id: 1, url: "https://example.org/1", title: "a fault", severity: "high", vulnerable_versions: "*" };
    const { code, said } = await audited(200, { preact: [fault] });
    expect(said).toMatch(/npm audit: preact .*: high\n/);
    expect(code).toBe(1);
  });

  it("passes where the registry knows none", async () => {
    expect(await audited(200, {})).toEqual({ code: 0, said: "npm audit: no known fault\n" });
  });

  it("says that nothing was checked where the registry gives no advisories", async () => {
    const { code, said } = await audited(405, {});
    expect(said).toMatch(/^npm audit: NOT CHECKED, the registry gives no advisories: 405 Method Not Allowed/);
    expect(code).toBe(0);
  });
});
