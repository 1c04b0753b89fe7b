/** Goldens on the CPU: by WebAssembly, as models run by default; and once by the JavaScript ops, whose bits must be the same. */
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { openCheckpoint, readWeights } from "../../../../core/checkpoint/weights.ts";
import { embeddedModelPath } from "../../../../core/host/embedded.ts";
import { directoryStore } from "../../../../core/host/node.ts";
import { cpuModel } from "../../../../core/model/cpu.ts";
import type { Model } from "../../../../core/model/engine.ts";
import { type CpuOps, referenceFixed16Ops, referenceOps } from "../../../../core/model/ops.ts";
import type { LlamaWeights } from "../../../../core/model/weights.ts";
import { dequantize } from "../../../../core/quant/awq-format.ts";
import { argmax, greedy } from "../../../../core/sample/sampler.ts";
import type { DenseMatrix, Linear } from "../../../../core/tensor.ts";
import { loadCpuModel } from "../../../../wasm/model.ts";
import { sameBits } from "../../../compare.ts";
import { dataFile, type LogitsGolden, largeFixtures, type ModelGolden, modelGolden } from "../../fixtures/golden.ts";
import { suiteOps } from "../../fixtures/ops.ts";

/** A folder as it is run by default, its weights where the kernels want them; or changed, or on other ops. */
async function load(folder: string, change?: (weights: LlamaWeights) => LlamaWeights, ops?: CpuOps): Promise<Model> {
  const checkpoint = await openCheckpoint(directoryStore(folder));
  try {
    if (!change) return (await loadCpuModel(checkpoint.config, checkpoint.refs)).model;
    return cpuModel(checkpoint.config, change(await readWeights(checkpoint.refs)), ops ?? (await suiteOps()));
  } finally {
    await checkpoint.close();
  }
}

/** max |a − b| over the positions that the golden holds. */
async function distance(
  model: Model,
  golden: ModelGolden,
  { name, input_ids, first_position, positions }: LogitsGolden,
): Promise<{ max: number; argmax: number[] }> {
  const session = model.createSession(input_ids.length);
  const { logits } = await session.forward(input_ids, { logits: "all" });
  const { data } = await golden.tensor(`logits.${name}`);
  const V = model.config.vocabSize;
  let max = 0;
  for (let i = 0; i < positions * V; i++) max = Math.max(max, Math.abs(logits[first_position * V + i]! - data[i]!));
  const best = Array.from({ length: positions }, (_, t) => argmax(logits.subarray((first_position + t) * V, (first_position + t + 1) * V)));
  return { max, argmax: best };
}

/** The tests of one checkpoint against what transformers computed for it in float64. */
function agreesWithFloat64(model: () => Promise<Model>, golden: () => Promise<ModelGolden>): void {
  it("gives logits within 1e-5 of the largest logit, the same ids on top", async () => {
    const g = await golden();
    const m = await model();
    for (const entry of g.logits) {
      const { max, argmax: best } = await distance(m, g, entry);
      expect(max, entry.name).toBeLessThanOrEqual(1e-5 * entry.max_abs_logit);
      expect(best, entry.name).toEqual(entry.argmax);
    }
  });

  it("gives the same hidden states", async () => {
    const g = await golden();
    const m = await model();
    const { input_ids } = g.logits.find(({ name }) => name === "ko_chat")!;
    const { trace } = await m.createSession(64).forward(input_ids, { trace: ["embeddings", "layers.*.residual", "finalNorm"] });
    const { shape, data } = await g.tensor("hidden.ko_chat");
    const states = [...trace.values()].map((v) => v.data);
    const size = shape[1]! * shape[2]!;
    expect(states).toHaveLength(shape[0]! + 1);
    const largest = (values: Float32Array): number => values.reduce((max, v) => Math.max(max, Math.abs(v)), 0);
    const check = (actual: Float32Array, expected: Float32Array): void => {
      let max = 0;
      for (let i = 0; i < expected.length; i++) max = Math.max(max, Math.abs(actual[i]! - expected[i]!));
      expect(max).toBeLessThanOrEqual(1e-5 * largest(expected));
    };
    for (let i = 0; i < shape[0]!; i++) check(states[i]!, data.subarray(i * size, (i + 1) * size));
    check(states[shape[0]!]!, (await g.tensor("final_norm.ko_chat")).data);
  });

  it("continues every prompt greedily with the same 64 ids", async () => {
    const m = await model();
    for (const { name, variant, prompt_ids, ids } of (await golden()).generate) {
      const session = m.createSession(prompt_ids.length + ids.length);
      await session.prefill(prompt_ids);
      const { ids: sampled } = await session.decode(greedy, ids.length);
      expect(sampled, `${name} ${variant}`).toEqual(ids);
    }
  });
}

const once = <T>(make: () => Promise<T>): (() => Promise<T>) => {
  let made: Promise<T> | undefined;
  return () => {
    made ??= make();
    return made;
  };
};

describe("gureum-tiny-awq on the CPU", () => {
  agreesWithFloat64(
    once(() => load(embeddedModelPath())),
    once(() => modelGolden(dataFile("model/gureum-tiny-awq"))),
  );
});

describe("gureum-tiny-awq in fixed16 on the CPU", () => {
  it("continues every prompt greedily with the same 64 ids", async () => {
    const m = await load(embeddedModelPath(), (w) => w, await suiteOps("fixed16"));
    for (const { name, variant, prompt_ids, ids } of (await modelGolden(dataFile("model/gureum-tiny-awq"))).generate) {
      const session = m.createSession(prompt_ids.length + ids.length);
      await session.prefill(prompt_ids);
      expect((await session.decode(greedy, ids.length)).ids, `${name} ${variant}`).toEqual(ids);
    }
  });

  it("gives the bits of the JavaScript ops", async () => {
    const { logits } = await modelGolden(dataFile("model/gureum-tiny-awq"));
    const { input_ids } = logits.find(({ name }) => name === "ko_chat")!;
    const run = async (ops: CpuOps): Promise<Float32Array> =>
      (await (await load(embeddedModelPath(), (w) => w, ops)).createSession(64).forward(input_ids, { logits: "all" })).logits;
    expect(sameBits(await run(await suiteOps("fixed16")), await run(referenceFixed16Ops))).toBeNull();
  });
});

describe("gureum-tiny-awq on the JavaScript ops", () => {
  it("gives the bits of WebAssembly", async () => {
    const g = await modelGolden(dataFile("model/gureum-tiny-awq"));
    const [javascript, wasm] = [await load(embeddedModelPath(), (w) => w, referenceOps), await load(embeddedModelPath())];
    for (const { name, input_ids } of g.logits.filter(({ input_ids: { length } }) => length <= 256)) {
      const logits = async (model: Model): Promise<Float32Array> =>
        (await model.createSession(input_ids.length).forward(input_ids, { logits: "all" })).logits;
      expect(sameBits(await logits(javascript), await logits(wasm)), name).toBeNull();
    }
  });
});

describe("gureum-tiny-awq dequantized, through the dense ops", () => {
  const dense = ({ weight, bias }: Linear): Linear => {
    if (weight.kind === "dense") return { weight, bias };
    const { inFeatures: K, outFeatures: N } = weight;
    const byInput = dequantize(weight);
    const data = new Float32Array(N * K);
    for (let k = 0; k < K; k++) for (let n = 0; n < N; n++) data[n * K + k] = byInput[k * N + n]!;
    return { weight: { kind: "dense", dtype: "F32", outFeatures: N, inFeatures: K, data } satisfies DenseMatrix, bias };
  };
  agreesWithFloat64(
    once(() =>
      load(embeddedModelPath(), (weights) => ({
        ...weights,
        layers: weights.layers.map((layer) => ({
          ...layer,
          qProj: dense(layer.qProj),
          kProj: dense(layer.kProj),
          vProj: dense(layer.vProj),
          oProj: dense(layer.oProj),
          gateProj: dense(layer.gateProj),
          upProj: dense(layer.upProj),
          downProj: dense(layer.downProj),
        })),
      })),
    ),
    once(() => modelGolden(dataFile("model/gureum-tiny-awq"))),
  );
});

describe.skipIf(!largeFixtures)("gureum-tiny (float16, two shards) on the CPU", () => {
  agreesWithFloat64(
    once(() => load(join(largeFixtures!, "models/gureum-tiny"))),
    once(() => modelGolden(join(largeFixtures!, "golden/model/gureum-tiny"))),
  );
});
