/**
 * Many sequences on a device that no test runner reaches: the embedded model's goldens, together and one by one, in every arithmetic; where texts
 * part, whether that is a near tie. Then what a hook costs a token, and the time of each kernel in a step, on a shape of made-up weights. Prints JSON, a line each.
 *
 * usage: batch-run [SHAPE [SEQUENCES,… [DEPTH]]]
 */
import process from "node:process";
import { drawAll, fillBatch } from "../../../bench/sequences.ts";
import { openShape } from "../../../bench/shapes.ts";
import { syntheticRefs } from "../../../bench/synthetic.ts";
import { openCheckpoint } from "../../../core/checkpoint/weights.ts";
import { type GenerateOptions, generate } from "../../../core/generate/generate.ts";
import { generateAll } from "../../../core/generate/generate-all.ts";
import { embeddedModelPath } from "../../../core/host/embedded.ts";
import { directoryStore } from "../../../core/host/node.ts";
import type { Model } from "../../../core/model/engine.ts";
import { greedy } from "../../../core/sample/sampler.ts";
import { closeDevice, openDevice } from "../../../gpu/device/device.ts";
import { makeProfiler } from "../../../gpu/device/profile.ts";
import { loadGpuModel } from "../../../gpu/model/model.ts";
import { isNearTie } from "../../accuracy/near-tie.ts";
import { dataFile, modelGolden } from "../fixtures/golden.ts";

const [shape, counts = "16,64", depth = "512"] = process.argv.slice(2);
const print = (value: unknown): void => void process.stdout.write(`${JSON.stringify(value)}\n`);
const gpu = await openDevice({ robustness: false });
const decoder = { push: () => "", flush: () => "" };
const options: GenerateOptions = { sampling: greedy, maxNewTokens: 40, stopIds: new Set(), stop: [], topLogprobs: 0, decoder };

/** The last row's logits of `ids`, fed one by one or at once. */
async function logitsOf(model: Model, ids: readonly number[], atOnce: boolean): Promise<Float32Array> {
  const session = model.createSession(ids.length);
  try {
    for (const id of atOnce ? [] : ids.slice(0, -1)) await session.forward([id]);
    return (await session.forward(atOnce ? ids : ids.slice(-1))).logits;
  } finally {
    session.dispose();
  }
}

const golden = await modelGolden(dataFile("model/gureum-tiny-awq"));
const checkpoint = await openCheckpoint(directoryStore(embeddedModelPath()));
for (const arithmetic of ["f32", "auto"] as const) {
  const model = await loadGpuModel(gpu, checkpoint.config, checkpoint.refs, { arithmetic });
  for (const sequences of [5, 16, 40]) {
    const items = Array.from({ length: 40 }, (_, i) => {
      const { prompt_ids: ids, ids: more } = golden.generate[i % golden.generate.length]!;
      return { prompt: [...ids, ...more.slice(0, i % 7)], options };
    });
    const outcomes = await generateAll(model, items, { sequences });
    const told = {
      arithmetic,
      program: model.plan.batch.name,
      sequences,
      texts: items.length,
      same: 0,
      nearTies: 0,
      wrong: [] as string[],
    };
    for (const [i, { prompt }] of items.entries()) {
      const outcome = outcomes[i]!;
      if (!outcome.ok) {
        told.wrong.push(`${i}: ${outcome.error}`);
        continue;
      }
      const session = model.createSession(prompt.length + options.maxNewTokens);
      const run = generate(session, prompt, options);
      let step = await run.next();
      while (!step.done) step = await run.next();
      session.dispose();
      const { ids } = step.value;
      const at = ids.findIndex((id, n) => id !== outcome.ids[n]);
      if (at < 0) told.same++;
      else {
        const context = [...prompt, ...ids.slice(0, at)];
        const [one, rows] = [await logitsOf(model, context, false), await logitsOf(model, context, true)];
        const delta = one.reduce((most, l, id) => Math.max(most, Math.abs(l - rows[id]!)), 0);
        if (isNearTie(one, greedy, 0, delta)) told.nearTies++;
        else told.wrong.push(`${i}: token ${at}: ${ids[at]}, together ${outcome.ids[at]}; delta ${delta}`);
      }
    }
    print(told);
  }
  model.dispose();
}
await checkpoint.close();

if (shape !== undefined) {
  const { name, config } = await openShape(shape);
  const profiler = makeProfiler(gpu, () => performance.now());
  const model = await loadGpuModel(profiler.gpu, config, syntheticRefs(config));
  const hooked = async (given: Partial<GenerateOptions>): Promise<number> => {
    const session = model.createSession(600);
    const run = generate(session, [1, 2, 3], { ...options, ...given, maxNewTokens: 129 });
    await run.next();
    const started = performance.now();
    for (let step = await run.next(); !step.done; ) step = await run.next();
    const ms = (performance.now() - started) / 128;
    session.dispose();
    return ms;
  };
  for (let round = 0; round < 3; round++)
    print({
      name,
      msPerToken: await hooked({}),
      withHook: await hooked({ processLogits: () => undefined }),
      withLogprobs: await hooked({ topLogprobs: 1 }),
    });
  for (const count of counts.split(",").map(Number)) {
    const batch = await fillBatch(model, { count, depth: Number(depth), newTokens: 40 });
    await drawAll(batch, 8);
    await profiler.take();
    profiler.watch("kernels");
    await drawAll(batch, 8);
    const { kernels } = await profiler.take();
    profiler.watch("nothing");
    const started = performance.now();
    await drawAll(batch, 16);
    const msPerStep = (performance.now() - started) / 16;
    const each = [...kernels]
      .map(([kernel, { ms, dispatches }]) => [kernel, +(ms / 8).toFixed(3), dispatches / 8] as const)
      .sort((a, b) => b[1] - a[1]);
    print({ name, program: model.plan.batch.name, sequences: count, depth, msPerStep, kernels: each });
    batch.dispose();
  }
  model.dispose();
  profiler.close();
}
closeDevice(gpu);
