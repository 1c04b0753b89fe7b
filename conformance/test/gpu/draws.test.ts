/** A seed means the same text on the CPU reference and on WebGPU in f32, but for near ties (docs/sampling.md). */
import process from "node:process";
import { expect, it } from "vitest";
import { openCheckpoint, readWeights } from "../../../core/checkpoint/weights.ts";
import { embeddedModelPath } from "../../../core/host/embedded.ts";
import { directoryStore } from "../../../core/host/node.ts";
import { cpuModel } from "../../../core/model/cpu.ts";
import type { Session } from "../../../core/model/engine.ts";
import { uniformAt } from "../../../core/sample/random.ts";
import { greedy, sample } from "../../../core/sample/sampler.ts";
import { loadGpuModel } from "../../../gpu/model/model.ts";
import { isNearTie } from "../../accuracy/near-tie.ts";
import { drawDelta, wgsl } from "../../accuracy.ts";
import { dataFile, modelGolden } from "../fixtures/golden.ts";
import { suiteOps } from "../fixtures/ops.ts";
import { testDevice } from "./device.ts";

/** All of it where GUREUM_LONG=1, a share that takes seconds otherwise. */
const [seeds, NEW_TOKENS] = process.env.GUREUM_LONG === "1" ? [200, 32] : [8, 8];
/**
 * Of the largest logit: what each backend's logits may be off by, as golden.test.ts and model.test.ts hold them
 * to.
 */
const LOGIT_ERROR = 1e-5;

it(
  `draws the same ${NEW_TOKENS} ids as the CPU from each of ${seeds} seeds, except at near ties`,
  async () => {
    const golden = await modelGolden(dataFile("model/gureum-tiny-awq"));
    const checkpoint = await openCheckpoint(directoryStore(embeddedModelPath()));
    const cpu = cpuModel(checkpoint.config, await readWeights(checkpoint.refs), await suiteOps());
    const gpu = await loadGpuModel(await testDevice(), checkpoint.config, checkpoint.refs, { arithmetic: "f32" });
    const counts = { seeds, tokens: 0, identical: 0, nearTies: 0, differAtNearTie: 0, largestError: 0 };
    for (let seed = 0; seed < seeds; seed++) {
      const prompt = golden.generate[seed % golden.generate.length]!.prompt_ids;
      const options = { ...greedy, temperature: 0.8, topP: 0.9, seed: BigInt(seed) };
      const [a, b] = [cpu, gpu].map((model) => model.createSession(prompt.length + NEW_TOKENS)) as [Session, Session];
      const ids: number[] = [];
      for (let feed = prompt; ids.length < NEW_TOKENS; feed = ids.slice(-1)) {
        const { logits } = await a.forward(feed);
        const { logits: other } = await b.forward(feed);
        const { largest, distance } = compared(logits, other);
        const where = `seed ${seed}, token ${ids.length}`;
        expect(distance, where).toBeLessThanOrEqual(2 * LOGIT_ERROR * largest);
        counts.largestError = Math.max(counts.largestError, distance / largest);
        const id = sample(logits, options, a.ids, a.ids.length);
        const u = uniformAt(options.seed, a.ids.length);
        const isTie = isNearTie(logits, options, u, drawDelta(logits, options, distance, wgsl));
        const drawn = (await b.decode(options, 1)).ids[0]!;
        counts.tokens++;
        if (isTie) counts.nearTies++;
        if (drawn !== id) {
          expect(isTie, `${where}: ${drawn}, not ${id}`).toBe(true);
          break;
        }
        ids.push(id);
      }
      if (ids.length === NEW_TOKENS) counts.identical++;
      else counts.differAtNearTie++;
      // One draw at a time, to look at the logits, draws what a batch does.
      if (seed % 10 === 0 && ids.length === NEW_TOKENS) {
        b.truncate(0);
        await b.prefill(prompt);
        expect((await b.decode(options, NEW_TOKENS)).ids).toEqual(ids);
      }
      a.dispose();
      b.dispose();
    }
    console.info(JSON.stringify(counts));
    // The rule must not excuse everything.
    expect(counts.identical).toBeGreaterThan(seeds / 2);
    gpu.dispose();
    await checkpoint.close();
  },
  seeds > 8 ? 3_600_000 : 120_000,
);

function compared(a: Float32Array, b: Float32Array): { largest: number; distance: number } {
  let largest = 0;
  let distance = 0;
  for (let i = 0; i < a.length; i++) {
    largest = Math.max(largest, Math.abs(a[i]!));
    const d = Math.abs(a[i]! - b[i]!);
    if (!(d <= distance)) distance = d;
  }
  return { largest, distance };
}
