import { readdirSync, readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { type Certificate, table } from "../../certificate/certificate.ts";
import { reportHtml } from "../../certificate/report.ts";
import { laws } from "../../laws.ts";

const folder = new URL("../../../docs/conformance/", import.meta.url);
const certificates = readdirSync(folder)
  .filter((name) => name.endsWith(".json") && name !== "mutation.json")
  .map((name) => [name, JSON.parse(readFileSync(new URL(name, folder), "utf8")) as Certificate] as const);

/** Ops that have another name since a certificate was made. */
const renamed: Readonly<Record<string, string>> = { "head-f16": "dense-head" };

describe("the committed certificates", () => {
  it("are certificates, of ops that have a kit", () => {
    expect(certificates.length).toBeGreaterThan(0);
    for (const [, c] of certificates) {
      expect(c.format).toBe("gureum-conformance/1");
      expect(c.rows.filter((row) => !Object.hasOwn(laws, renamed[row.op] ?? row.op))).toEqual([]);
    }
  });

  it.each(certificates)("read as a table and as a page: %s", (_name, c) => {
    expect(table(c.rows).split("\n")).toHaveLength(c.rows.length + 1);
    expect(reportHtml(c)).toContain(c.runtime);
  });
});
