/**
 * The full KULLM3 shape without its 5.96 GB: the synthetic checkpoint's own headers over sparse files. Holds inspect to
 * its limits of time and memory, and the loader to the published layout.
 */
import { open } from "node:fs/promises";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import type { FolderWriter } from "../../../../core/checkpoint/byte-sink.ts";
import { formatReport, inspectFolder } from "../../../../core/checkpoint/inspect.ts";
import { synth } from "../../../../core/checkpoint/synth.ts";
import { synthShapes } from "../../../../core/checkpoint/synth-shapes.ts";
import { openCheckpoint } from "../../../../core/checkpoint/weights.ts";
import { directoryStore } from "../../../../core/host/node.ts";
import { freshFolder } from "../../fixtures/fresh-folder.ts";

const headerWritten = new Error("header written");

/** Writes each shard's header and leaves its tensors a hole of the right length. */
function sparseFolder(folder: string): FolderWriter {
  return {
    async file(fileName, body) {
      const handle = await open(join(folder, fileName), "w");
      try {
        await body(async (bytes) => {
          await handle.write(bytes);
          if (!fileName.endsWith(".safetensors")) return;
          const header = JSON.parse(new TextDecoder().decode(bytes.subarray(8))) as Record<string, { data_offsets?: [number, number] }>;
          const end = Math.max(...Object.values(header).map((entry) => entry.data_offsets?.[1] ?? 0));
          await handle.truncate(bytes.length + end);
          throw headerWritten;
        }).catch((error: unknown) => {
          if (error !== headerWritten) throw error;
        });
      } finally {
        await handle.close();
      }
    },
  };
}

describe("a checkpoint of the full KULLM3 shape", () => {
  const folder = freshFolder("full");
  beforeAll(async () => {
    await synth(synthShapes["solar-10.7b"], sparseFolder(folder), { seed: 0 });
  });

  it("is inspected in under 2 seconds, with under 300 MB more memory, as two shards of the published sizes", async () => {
    const before = process.memoryUsage().rss;
    const started = performance.now();
    const report = await inspectFolder(directoryStore(folder));
    const text = formatReport(report);
    expect(performance.now() - started).toBeLessThan(2000);
    expect(process.memoryUsage().rss - before).toBeLessThan(300e6);
    expect(report.tensors.length).toBe(1107);
    expect(report.tensorBytes).toBe(5_964_046_336);
    expect(report.files.map(({ byteLength }) => `${(byteLength / 1e9).toFixed(3)} GB`)).toEqual(["4.992 GB", "0.973 GB"]);
    expect(report.problems.filter(({ severity }) => severity === "error")).toEqual([]);
    expect(text).toContain("AWQ int4, groups of 128, 336 of 336 linears");
  });

  it("opens, and gives ranges beyond 4 GiB of a file", async () => {
    const { config, refs, close } = await openCheckpoint(directoryStore(folder));
    expect(config).toEqual(synthShapes["solar-10.7b"].config);
    const last = new Uint8Array(16);
    await refs.lmHead.readInto(refs.lmHead.byteLength - 16, last);
    await close();
  });
});
