import { readdirSync, readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { closeDevice, openDevice } from "../../../gpu/device/device.ts";
import { type Certificate, table } from "../../certificate/certificate.ts";
import { reportHtml } from "../../certificate/report.ts";
import { laws } from "../../laws.ts";
import { webgpuSubjects } from "../../subjects/webgpu.ts";

const folder = new URL("../../../docs/conformance/", import.meta.url);
const certificates = readdirSync(folder)
  .filter((name) => name.endsWith(".json") && name !== "mutation.json")
  .map((name) => [name, JSON.parse(readFileSync(new URL(name, folder), "utf8")) as Certificate] as const);

const whole = ({ op, variant }: { readonly op: string; readonly variant: string }): string => `${op} ${variant}`;

describe("the committed certificates", () => {
  it("are certificates, of ops that have a kit", () => {
    expect(certificates.length).toBeGreaterThan(0);
    for (const [, c] of certificates) {
      expect(c.format).toBe("gureum-conformance/1");
      expect(c.rows.filter((row) => !Object.hasOwn(laws, row.op))).toEqual([]);
    }
  });

  it("speak of kernels and variants that there are", async () => {
    // Dawn's null backend names every subject but those of a device with larger workgroups.
    const nothing = await openDevice({ backend: "null" });
    const { capabilities } = nothing;
    const limits = { ...capabilities.limits, maxComputeInvocationsPerWorkgroup: 1024 };
    const now = new Set(webgpuSubjects({ gpu: { ...nothing, capabilities: { ...capabilities, limits } } }).map(whole));
    closeDevice(nothing);
    const gone = certificates.flatMap(([file, { rows }]) =>
      rows.filter((row) => row.backend === "webgpu" && !now.has(whole(row))).map((row) => `${file}: ${whole(row)}`),
    );
    expect(gone, "rename the rows of a certificate with the variant, or take them out: npm run docs writes the matrix of them").toEqual([]);
  });

  it.each(certificates)("read as a table and as a page: %s", (_name, c) => {
    expect(table(c.rows).split("\n")).toHaveLength(c.rows.length + 1);
    expect(reportHtml(c)).toContain(c.runtime);
  });
});
