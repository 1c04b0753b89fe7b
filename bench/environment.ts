/** Where and when results were made, for the record around the rows. */
import { execFile } from "node:child_process";
import { readFile } from "node:fs/promises";
import { cpus } from "node:os";
import { dirname, join, resolve } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { dawn } from "../gpu/device/dawn.ts";
import type { Gpu } from "../gpu/device/device.ts";
import type { BenchResults, DeviceIdentity, Limits, Row } from "./results.ts";

const here = dirname(fileURLToPath(import.meta.url));

/** The folder with package.json: above bench/ in a checkout, above dist/bench/ in a build. */
async function packageRoot(): Promise<{ root: string; version: string }> {
  for (const root of [resolve(here, ".."), resolve(here, "../..")]) {
    const text = await readFile(join(root, "package.json"), "utf8").catch(() => undefined);
    if (text !== undefined) return { root, version: (JSON.parse(text) as { version: string }).version };
  }
  return { root: here, version: "unknown" };
}

const git = (root: string, ...args: string[]): Promise<string | null> =>
  new Promise((done) => {
    execFile("git", ["-C", root, ...args], { timeout: 10_000 }, (error, stdout) => done(error ? null : stdout.trim()));
  });

/** The checkout's commit: null where git is missing, or where the package lies in a repository that is not its own. */
async function commitOf(root: string): Promise<string | null> {
  const top = await git(root, "rev-parse", "--show-toplevel");
  if (top === null || resolve(top) !== root) return null;
  return git(root, "describe", "--always", "--abbrev=40", "--exclude=*", "--dirty");
}

export function gpuIdentity({ capabilities, instance }: Gpu): DeviceIdentity {
  const { vendor, architecture, device, description, features } = capabilities;
  const started = [...dawn.instances].find(([, gpu]) => gpu === instance)?.[0];
  return {
    backend: "webgpu",
    name: [vendor, architecture, device].filter((word) => word !== "").join(" ") || "unnamed",
    driver: description,
    toggles: started ?? "",
    features,
  };
}

const cpuName = (): string => cpus()[0]?.model.trim() ?? "unknown";

export const cpuIdentity = (): DeviceIdentity => ({ backend: "cpu", name: cpuName(), driver: "", toggles: "", features: [] });

function runtime(): string {
  const { deno } = process.versions as { deno?: string };
  return deno === undefined ? `Node ${process.versions.node}` : `Deno ${deno}`;
}

/** @param words the command's own words, as they can be given again */
export async function makeResults(
  words: readonly string[],
  device: DeviceIdentity,
  limits: Limits,
  rows: readonly Row[],
  more: Pick<BenchResults, "facts" | "tokenTimes" | "skipped"> = {},
): Promise<BenchResults> {
  const { root, version } = await packageRoot();
  return {
    format: "gureum-bench-1",
    command: ["gureum", "bench", ...words]
      .map((word) => (/^[\w./:=,+-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`))
      .join(" "),
    version,
    commit: await commitOf(root),
    date: new Date().toISOString(),
    host: { runtime: runtime(), platform: `${process.platform} ${process.arch}`, cpu: cpuName() },
    device,
    limits,
    ...more,
    rows,
  };
}
