import { readdirSync, readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import type { Certificate } from "../../certificate/certificate.ts";
import { matrixTable } from "../../certificate/matrix.ts";
import { laws } from "../../laws.ts";

const folder = new URL("../../../docs/conformance/", import.meta.url);
const certificates = readdirSync(folder)
  .filter((name) => name.endsWith(".json"))
  .sort()
  .map((name) => [name.slice(0, -5), JSON.parse(readFileSync(new URL(name, folder), "utf8")) as Certificate] as const);

describe("the committed certificates", () => {
  it("are certificates, of ops that have a kit", () => {
    expect(certificates.length).toBeGreaterThan(0);
    for (const [, c] of certificates) {
      expect(c.format).toBe("gureum-conformance/1");
      expect(c.rows.filter((row) => !Object.hasOwn(laws, row.op))).toEqual([]);
    }
  });

  it("are what the table in docs/conformance.md shows", () => {
    const text = readFileSync(new URL("../conformance.md", folder), "utf8");
    expect(/<!-- matrix -->\n\n([\s\S]*?)\n\n<!-- end -->/.exec(text)?.[1]).toBe(matrixTable(certificates));
  });
});
