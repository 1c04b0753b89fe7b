/**
 * What the tests hold a device to, for devices that no test runner reaches: Deno, whose own WebGPU is wgpu
 * (deno.test.ts), and machines with nothing but `node`. Compiles every kernel, runs the embedded model against its
 * goldens in every arithmetic that the device offers, and the law of equal block sums. Prints one JSON object.
 *
 * usage: goldens-run [--no-robustness] [--portable] [--positions N]
 * N: compare as many positions of the goldens' texts, token by token, with the CPU reference.
 */
import process from "node:process";
import { parseArgs } from "node:util";
import { openCheckpoint, readWeights } from "../../../core/checkpoint/weights.ts";
import { GureumError } from "../../../core/errors.ts";
import { embeddedModelPath } from "../../../core/host/embedded.ts";
import { directoryStore } from "../../../core/host/node.ts";
import { cpuModel } from "../../../core/model/cpu.ts";
import type { Model } from "../../../core/model/engine.ts";
import { argmax, greedy } from "../../../core/sample/sampler.ts";
import { closeDevice, openDevice } from "../../../gpu/device/device.ts";
import { loadGpuModel } from "../../../gpu/model/model.ts";
import { compile } from "../../../gpu/pipeline/compile.ts";
import { checkKernel } from "../../check.ts";
import { divergence } from "../../compare.ts";
import { allKernels } from "../../host/kernels.ts";
import { kitOf } from "../../laws.ts";
import { webgpuSubjects } from "../../subjects/webgpu.ts";
import { dataFile, modelGolden } from "../fixtures/golden.ts";
import { suiteOps } from "../fixtures/ops.ts";

const { values: words } = parseArgs({
  options: { "no-robustness": { type: "boolean" }, portable: { type: "boolean" }, positions: { type: "string", default: "0" } },
});
const gpu = await openDevice({ robustness: !words["no-robustness"], ...(words.portable ? { portable: true } : {}) });

const refused: Record<string, string> = {};
const compiled: string[] = [];
for (const kernel of (await allKernels()).values()) {
  if (kernel.features?.some((feature) => !gpu.capabilities.features.includes(feature))) continue;
  try {
    await compile(gpu, kernel);
    compiled.push(kernel.name);
  } catch (error) {
    refused[kernel.name] = String(error);
  }
}

const blockSums = { cases: 0, failures: [] as unknown[] };
for (const subject of webgpuSubjects({ gpu }).filter(({ op }) => op === "awq-block-sums")) {
  const { cases, failures } = await checkKernel(kitOf(subject.op), subject, { runs: 40, seed: 20261123 });
  blockSums.cases += cases;
  blockSums.failures.push(...failures);
}

const golden = await modelGolden(dataFile("model/gureum-tiny-awq"));
const { config, refs, close } = await openCheckpoint(directoryStore(embeddedModelPath()));
const V = config.vocabSize;
const model = await loadGpuModel(gpu, config, refs, { arithmetic: "f32" });

const logits: { name: string; error: number; largest: number }[] = [];
for (const { name, input_ids, first_position, positions, max_abs_logit } of golden.logits.filter((g) => g.input_ids.length < 100)) {
  const session = model.createSession(input_ids.length);
  const { logits: all } = await session.forward(input_ids, { logits: "all" });
  session.dispose();
  const { data } = await golden.tensor(`logits.${name}`);
  let error = 0;
  for (let i = 0; i < positions * V; i++) error = Math.max(error, Math.abs(all[first_position * V + i]! - data[i]!));
  logits.push({ name, error, largest: max_abs_logit });
}

// Whatever the device allows by itself, "auto", brings f16 for prompts where there are subgroup matrices.
const automatic = await loadGpuModel(gpu, config, refs);
const fixed = await loadGpuModel(gpu, config, refs, { arithmetic: "fixed16" });
// Prompts in exact integers, which no device takes by itself.
const exact = await loadGpuModel(gpu, config, refs, { kernels: { "linear-prefill": "fixed16-matrix" } }).catch((error) => {
  if (error instanceof GureumError && error.code === "missing-feature") return null;
  throw error;
});
const arithmetics: Readonly<Record<string, Model>> = {
  f32: model,
  fixed16: fixed,
  auto: automatic,
  ...(exact ? { "fixed16-matrix": exact } : {}),
};
const texts: { name: string; same: boolean }[] = [];
const some = words.positions === "0" ? golden.generate.slice(0, 4) : golden.generate;
for (const [arithmetic, on] of Object.entries(arithmetics)) {
  for (const { name, variant, prompt_ids, ids } of some) {
    const session = on.createSession(prompt_ids.length + ids.length);
    await session.prefill(prompt_ids);
    const { ids: sampled } = await session.decode(greedy, ids.length);
    session.dispose();
    texts.push({ name: `${arithmetic} ${name} ${variant}`, same: sampled.join() === ids.join() });
  }
}

/** Of next-token distributions: KL of the CPU reference's to the device's, and how often the same id is on top. */
const agreement: Record<string, { positions: number; meanKl: number; worstKl: number; sameTop: number }> = {};
const wanted = Number(words.positions);
if (wanted > 0) {
  const cpu = cpuModel(config, await readWeights(refs), await suiteOps());
  const sequences = [
    ...golden.generate.map(({ prompt_ids, ids }) => [...prompt_ids, ...ids]),
    ...golden.logits.map(({ input_ids }) => input_ids.slice(0, 700)),
  ];
  const ways: Readonly<Record<string, (to: Model, ids: readonly number[], row: (t: number, y: Float32Array) => void) => Promise<void>>> = {
    // The prompt up to each position anew: rows of many lengths through the kernels of prefill.
    async prompts(on, ids, row) {
      const session = on.createSession(ids.length);
      for (let t = 8; t <= ids.length; t++) {
        session.truncate(0);
        row(t - 1, (await session.forward(ids.slice(0, t))).logits);
      }
      session.dispose();
    },
    async tokens(on, ids, row) {
      const session = on.createSession(ids.length);
      for (const [t, id] of ids.entries()) row(t, (await session.forward([id])).logits);
      session.dispose();
    },
  };
  for (const [name, on, way] of [
    ["auto, prompts", automatic, "prompts"],
    ["fixed16, token by token", fixed, "tokens"],
    ["fixed16-matrix, prompts", exact, "prompts"],
  ] as const) {
    if (!on) continue;
    let [positions, sum, worst, same] = [0, 0, 0, 0];
    for (const ids of sequences) {
      if (positions >= wanted) break;
      const reference = cpu.createSession(ids.length);
      const { logits: all } = await reference.forward(ids, { logits: "all" });
      reference.dispose();
      await ways[way]!(on, ids, (t, y) => {
        const x = all.subarray(t * V, (t + 1) * V);
        const kl = divergence(x, y);
        positions++;
        sum += kl;
        worst = Math.max(worst, kl);
        if (argmax(x) === argmax(y)) same++;
      });
    }
    agreement[name] = { positions, meanKl: sum / positions, worstKl: worst, sameTop: same / positions };
  }
  cpu.dispose();
}

const session = model.createSession(64);
await session.prefill([1, 5, 9]);
const { ids: drawn } = await session.decode({ ...greedy, temperature: 0.8, topP: 0.9, seed: 11n }, 16);

for (const on of Object.values(arithmetics)) on.dispose();
await close();
closeDevice(gpu);
console.log(JSON.stringify({ compiled, refused, blockSums, logits, texts, agreement, drawn }));
process.exit(0);
