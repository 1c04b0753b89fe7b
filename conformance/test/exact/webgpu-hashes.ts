/**
 * Hashes of `exact` on a WebGPU device, for tests in this process and for Deno: `deno run -A webgpu-hashes.ts` prints one JSON line of name → hashes, of
 * ids fed at once; of the first two models one by one too, and where GUREUM_LONG=1 of all: wgpu compiles a minute and a half for those.
 */
import { createHash } from "node:crypto";
import process from "node:process";
import { type Gpu, openDevice } from "../../../gpu/device/device.ts";
import { loadExactGpuModel } from "../../../gpu/model/exact.ts";
import { type ExactCase, embeddedCase, randomCases } from "../fixtures/exact-models.ts";
import { memoryRefs } from "../fixtures/memory-refs.ts";

export const sha256 = (logits: Float32Array): string =>
  createHash("sha256")
    .update(new Uint8Array(logits.buffer, logits.byteOffset, logits.byteLength))
    .digest("hex");

/** The hash of all logits, once for each chunk size. */
export async function webgpuHashes(gpu: Gpu, { config, weights, ids }: ExactCase, chunks: readonly number[]): Promise<string[]> {
  const model = await loadExactGpuModel(gpu, config, memoryRefs(weights));
  try {
    const out: string[] = [];
    for (const chunk of chunks) {
      const session = model.createSession(32);
      const logits = new Float32Array(ids.length * config.vocabSize);
      for (let t = 0; t < ids.length; t += chunk)
        logits.set((await session.forward(ids.slice(t, t + chunk), { logits: "all" })).logits, t * config.vocabSize);
      session.dispose();
      out.push(sha256(logits));
    }
    return out;
  } finally {
    model.dispose();
  }
}

if ("Deno" in globalThis) {
  const gpu = await openDevice({ portable: true });
  const found: Record<string, readonly string[]> = {};
  for (const [i, c] of [...randomCases(), await embeddedCase()].entries())
    found[c.name] = await webgpuHashes(gpu, c, i < 2 || process.env.GUREUM_LONG === "1" ? [c.ids.length, 1] : [c.ids.length]);
  console.log(JSON.stringify(found));
  process.exit(0);
}
