/**
 * Run by Deno (deno.test.ts), whose own WebGPU is wgpu: compiles every kernel there, and runs the embedded model against the goldens.
 * Prints one JSON object.
 */
import { readdirSync } from "node:fs";
import { openCheckpoint } from "../../core/checkpoint/weights.ts";
import { greedy } from "../../core/generate/sampler.ts";
import { embeddedModelPath } from "../../core/host/embedded.ts";
import { directoryStore } from "../../core/host/node.ts";
import { closeDevice, openDevice } from "../../gpu/device.ts";
import { compile, type Kernel } from "../../gpu/kernel.ts";
import { loadGpuModel } from "../../gpu/model/model.ts";
import { dataFile, modelGolden } from "../fixtures/golden.ts";

const gpu = await openDevice({ portable: true });

const refused: Record<string, string> = {};
const compiled: string[] = [];
const folder = new URL("../../gpu/kernels/", import.meta.url);
for (const file of readdirSync(folder, { recursive: true, encoding: "utf8" }).filter((name) => name.endsWith(".ts"))) {
  const module = (await import(new URL(file, folder).href)) as Record<string, Kernel>;
  for (const kernel of Object.values(module)) {
    if (typeof kernel?.wgsl !== "string" || (kernel.features?.length ?? 0) > 0) continue;
    try {
      await compile(gpu, kernel);
      compiled.push(kernel.name);
    } catch (error) {
      refused[kernel.name] = String(error);
    }
  }
}

const golden = await modelGolden(dataFile("model/gureum-tiny-awq"));
const checkpoint = await openCheckpoint(directoryStore(embeddedModelPath()));
const model = await loadGpuModel(gpu, checkpoint.config, checkpoint.refs, { arithmetic: "f32" });

const logits: { name: string; error: number; largest: number }[] = [];
for (const { name, input_ids, first_position, positions, max_abs_logit } of golden.logits.filter((g) => g.input_ids.length < 100)) {
  const session = model.createSession(input_ids.length);
  const { logits: all } = await session.forward(input_ids, { logits: "all" });
  session.dispose();
  const { data } = await golden.tensor(`logits.${name}`);
  let error = 0;
  const V = checkpoint.config.vocabSize;
  for (let i = 0; i < positions * V; i++) error = Math.max(error, Math.abs(all[first_position * V + i]! - data[i]!));
  logits.push({ name, error, largest: max_abs_logit });
}

const texts: { name: string; same: boolean }[] = [];
const fixed = await loadGpuModel(gpu, checkpoint.config, checkpoint.refs, { arithmetic: "fixed16" });
for (const [arithmetic, on] of Object.entries({ f32: model, fixed16: fixed })) {
  for (const { name, variant, prompt_ids, ids } of golden.generate.slice(0, 4)) {
    const session = on.createSession(prompt_ids.length + ids.length);
    await session.prefill(prompt_ids);
    const { ids: sampled } = await session.decode(greedy, ids.length);
    session.dispose();
    texts.push({ name: `${arithmetic} ${name} ${variant}`, same: sampled.join() === ids.join() });
  }
}
fixed.dispose();
const session = model.createSession(64);
await session.prefill([1, 5, 9]);
const { ids: drawn } = await session.decode({ ...greedy, temperature: 0.8, topP: 0.9, seed: 11n }, 16);

model.dispose();
await checkpoint.close();
closeDevice(gpu);
console.log(JSON.stringify({ compiled, refused, logits, texts, drawn }));
