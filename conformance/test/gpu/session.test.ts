/** The rules of a session's use on WebGPU, and conversations in one. A few seconds on software Vulkan. */
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { generate } from "../../../core/generate/generate.ts";
import type { Model } from "../../../core/model/engine.ts";
import { greedy } from "../../../core/sample/sampler.ts";
import { loadGpuModel } from "../../../gpu/model/model.ts";
import { memoryRefs } from "../fixtures/memory-refs.ts";
import { arbitraryConfig, randomModel } from "../fixtures/random-model.ts";
import { sessionLaws } from "../session-laws.ts";
import { testDevice } from "./device.ts";

const [config] = fc.sample(arbitraryConfig, { numRuns: 1, seed: 7 });
let model: Model;
beforeAll(async () => {
  model = await loadGpuModel(await testDevice(), config!, memoryRefs(randomModel(config!, 1).weights));
});
afterAll(() => model?.dispose());

describe("a session on WebGPU", () => {
  sessionLaws(async () => model);

  it("continues a conversation after batches that went beyond the answer", async () => {
    const options = { sampling: greedy, maxNewTokens: 5, stopIds: new Set<number>(), stop: [], topLogprobs: 0 };
    const ids = async (session: ReturnType<Model["createSession"]>, prompt: number[]): Promise<readonly number[]> => {
      const run = generate(session, prompt, { ...options, decoder: { push: () => "", flush: () => "" } });
      for (;;) {
        const step = await run.next();
        if (step.done) return step.value.ids;
      }
    };
    const [one, fresh] = [model.createSession(40), model.createSession(40)];
    const first = await ids(one, [1, 2, 3]);
    const next = [1, 2, 3, ...first, 4, 2];
    expect(await ids(one, next)).toEqual(await ids(fresh, next));
    expect(one.ids.slice(0, next.length)).toEqual(next);
    one.dispose();
    fresh.dispose();
  });
});
