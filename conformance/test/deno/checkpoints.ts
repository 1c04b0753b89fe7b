/**
 * The checkpoints of fixtures/data/checkpoints in this runtime, from the sources: `deno run -A conformance/test/deno/checkpoints.ts`.
 * Logits on the CPU and, where an adapter answers (software will do), on WebGPU, against the float64 pass beside each, within bounds
 * composed over the steps; on WebGPU every step within its own. Exit code 1 where one is beyond.
 */
import { readdirSync, readFileSync } from "node:fs";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { openCheckpoint, readWeights } from "../../../core/checkpoint/weights.ts";
import { GureumError } from "../../../core/errors.ts";
import { directoryStore } from "../../../core/host/node.ts";
import { cpuModel } from "../../../core/model/cpu.ts";
import type { Model } from "../../../core/model/engine.ts";
import type { LlamaWeights } from "../../../core/model/weights.ts";
import { closeDevice, type Gpu, openDevice } from "../../../gpu/device/device.ts";
import { loadGpuModel } from "../../../gpu/model/model.ts";
import { type Arithmetic, f64, wgsl } from "../../accuracy.ts";
import { logitBounds } from "../../watch/composed.ts";
import { checkSteps } from "../../watch/stepwise.ts";

const root = fileURLToPath(new URL("../fixtures/data/checkpoints/", import.meta.url));

async function adapter(): Promise<Gpu | undefined> {
  try {
    return await openDevice({ portable: true });
  } catch (error) {
    if (error instanceof GureumError && error.code === "no-adapter") return undefined;
    throw error;
  }
}

/** What is wrong with a model's logits, or its steps; null for nothing. */
async function fault(model: Model, weights: LlamaWeights, name: string, a: Arithmetic): Promise<string | null> {
  const { ids, logits: right } = JSON.parse(readFileSync(`${root}${name}/expected.json`, "utf8")) as { ids: number[]; logits: number[] };
  const { config } = model;
  const { logits, trace } = await model.createSession(16).forward(ids, { logits: "all", trace: ["*", "layers.*.*"] });
  for (const { name: step, worst } of checkSteps(config, weights, ids, trace, 16, a, 1))
    if (worst && !(worst.headroom <= 1)) return `${step}: ${worst.headroom} of its bound`;
  const bounds = logitBounds(config, weights, ids, trace, a);
  const last = (ids.length - 1) * config.vocabSize;
  for (const [id, logit] of right.entries())
    if (!(Math.abs(logits[last + id]! - logit) <= bounds[last + id]!)) return `logit ${id}: ${logits[last + id]}, expected ${logit}`;
  return null;
}

const gpu = await adapter();
const device = gpu ? gpu.capabilities.description : "no WebGPU adapter";
process.stdout.write(`${device}\n`);
for (const name of readdirSync(root).filter((entry) => !entry.includes("."))) {
  const checkpoint = await openCheckpoint(directoryStore(root + name));
  const weights = await readWeights(checkpoint.refs);
  const models: [Model, Arithmetic][] = [[cpuModel(checkpoint.config, weights), f64]];
  if (gpu) models.push([await loadGpuModel(gpu, checkpoint.config, checkpoint.refs, { arithmetic: "f32" }), wgsl]);
  for (const [model, arithmetic] of models) {
    const found = await fault(model, weights, name, arithmetic);
    process.stdout.write(`${name} on ${model.backend}: ${found ?? "right"}\n`);
    if (found !== null) process.exitCode = 1;
    model.dispose();
  }
  await checkpoint.close();
}
if (gpu) closeDevice(gpu);
