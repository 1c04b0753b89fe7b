/** Callbacks of the library that fail: the call ends with their error. About 5 s. */
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { hostCompetitor, measure, shortPlan } from "../../bench/harness.ts";
import { synth } from "../../core/checkpoint/synth.ts";
import { writeFolder } from "../../core/host/write.ts";
import { greedy } from "../../core/sample/sampler.ts";
import { convert, embeddedModel, type LoadedModel, loadModel, quantize } from "../../index.ts";
import { runConformance } from "../certificate/checked-run.ts";
import { smallShape } from "./core/checkpoint/small-checkpoint.ts";
import { drain } from "./fixtures/drain.ts";
import { expectHandled, expectOwnError } from "./fixtures/failing.ts";
import { freshFolder } from "./fixtures/fresh-folder.ts";

// biome-ignore lint/suspicious/noExplicitAny: what types forbid is what is tried.
type Any = any;

let model: LoadedModel;
beforeAll(async () => {
  model = await loadModel(embeddedModel(), { backend: "cpu" });
});
afterAll(() => model.dispose());

describe("a callback that fails, at once or later than it returns", () => {
  const folder = freshFolder("failing");
  const text = (): Any => ({ text: "구름" });
  const calls: Readonly<Record<string, (callback: () => never) => Promise<unknown>>> = {
    "loadModel, weights": (onProgress) => loadModel(embeddedModel(), { backend: "cpu", onProgress }),
    "loadModel, before": (before) => loadModel(embeddedModel(), { backend: "cpu", before }),
    convert: (onProgress) => convert(embeddedModel(), { to: join(folder, "to"), format: "gptq-v2", onProgress }),
    "quantize, steps": (onStep) => quantize(join(folder, "float"), { to: join(folder, "a"), ...few, onStep }),
    "quantize, layers": (onLayer) => quantize(join(folder, "float"), { to: join(folder, "b"), ...few, onLayer }),
    prefill: (onProgress) => model.createSession(8).prefill([1, 2], onProgress),
    "generate, the prompt": (onPrefill) => drain(model.generate(text(), { maxNewTokens: 1, onPrefill })),
    "generateAll, tokens": (onToken) => model.generateAll([text()], { maxNewTokens: 1, onToken }),
    "generateAll, ends": (onOutcome) => model.generateAll([text()], { maxNewTokens: 1, onOutcome }),
    "generateAll, prompts": (onProgress) => model.generateAll([text()], { maxNewTokens: 1, onProgress }),
    perplexity: (onProgress) => model.perplexity("구름이 간다", { onProgress }),
    synth: (onProgress) => writeFolder(join(folder, "synth"), (to) => synth(smallShape, to, { seed: 1, onProgress })),
    "runConformance, the start": (onStart) => runConformance({ ...oneLaw, onStart }),
    "runConformance, rows": (onRow) => runConformance({ ...oneLaw, onRow }),
    "runConformance, progress": (onProgress) => runConformance({ ...oneLaw, onProgress }),
    measure: (onMeasured) => measure([hostCompetitor("a", () => {})], shortPlan, undefined, onMeasured),
  };
  const few = { method: "rtn", samples: 1, tokens: 16, calibration: "builtin", backend: "cpu" } as Any;
  const oneLaw = { backend: "cpu", filter: "silu-mul cpu/reference", runs: 1 } as const;
  beforeAll(() => convert(embeddedModel(), { to: join(folder, "float"), format: "float16" }));
  it.each(Object.keys(calls))("ends the call with its own error, and no rejection is left unhandled: %s", (name) =>
    expectOwnError(calls[name]!),
  );

  it("is told of as what it gave, a promise, by a hook that gives a value", () =>
    expectHandled(async () => {
      const hook: Any = async () => {
        throw new RangeError("the caller's own");
      };
      const work = model.createBatch(1, 8);
      await work.prefill(0, [1]);
      const [outcome] = await work.decode([{ slot: 0, sampling: greedy, choose: hook }], 1);
      work.dispose();
      const refused = expect.objectContaining({ code: "usage", message: expect.stringMatching(/got a promise/) });
      expect(outcome!.error).toEqual(refused);
      await expect(drain(model.generate(text(), { processLogits: hook }))).rejects.toEqual(refused);
      await expect(model.forward([1], { steer: { "layers.0.residual": hook } })).rejects.toEqual(refused);
    }));
});
