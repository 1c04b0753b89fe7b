/** The model on WebGPU: against the CPU reference, and the laws of sessions. Its goldens are in golden.test.ts. */
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Checkpoint, openCheckpoint, readWeights } from "../../../core/checkpoint/weights.ts";
import { embeddedModelPath } from "../../../core/host/embedded.ts";
import { directoryStore } from "../../../core/host/node.ts";
import { cpuModel } from "../../../core/model/cpu.ts";
import type { Model } from "../../../core/model/engine.ts";
import { tapNames, tapShape } from "../../../core/model/trace.ts";
import type { LlamaWeights } from "../../../core/model/weights.ts";
import { greedy, sample } from "../../../core/sample/sampler.ts";
import type { Gpu } from "../../../gpu/device/device.ts";
import { type GpuModel, loadGpuModel } from "../../../gpu/model/model.ts";
import type { VariantOptions } from "../../../gpu/programs/plan.ts";
import { wgsl } from "../../accuracy.ts";
import { describeWorst, divergence } from "../../compare.ts";
import { type DiffSide, diffModels, isAstray } from "../../watch/diff.ts";
import { checkSteps } from "../../watch/stepwise.ts";
import { memoryRefs } from "../fixtures/memory-refs.ts";
import { arbitraryConfig, randomModel } from "../fixtures/random-model.ts";
import { testDevice } from "./device.ts";

let gpu: Gpu;
let checkpoint: Checkpoint;
let weights: LlamaWeights;
let model: Model;
beforeAll(async () => {
  gpu = await testDevice();
  checkpoint = await openCheckpoint(directoryStore(embeddedModelPath()));
  weights = await readWeights(checkpoint.refs);
  model = await loadGpuModel(gpu, checkpoint.config, checkpoint.refs, { arithmetic: "f32" });
});
afterAll(async () => {
  model?.dispose();
  await checkpoint?.close();
});

/** Two layers have every kind of step. */
const layers = 2;
const loadShort = (options: VariantOptions): Promise<GpuModel> => {
  const refs = { ...checkpoint.refs, layers: checkpoint.refs.layers.slice(0, layers) };
  return loadGpuModel(gpu, { ...checkpoint.config, numHiddenLayers: layers }, refs, options);
};
const shortWeights = (): LlamaWeights => ({ ...weights, layers: weights.layers.slice(0, layers) });

/** Runs `ids` with everything watched and holds each step to its bound. */
async function expectSteps(model: GpuModel, ids: readonly number[]): Promise<void> {
  const session = model.createSession(ids.length);
  const { trace } = await session.forward(ids, everything);
  session.dispose();
  expect([...trace.keys()]).toEqual(tapNames(model.config));
  for (const [name, { shape, data }] of trace) {
    expect(shape, name).toEqual(tapShape(model.config, name, ids.length, ids.length));
    expect(data.length, name).toBe(shape.reduce((p, n) => p * n, 1));
  }
  for (const { name, worst } of checkSteps(model.config, shortWeights(), ids, trace, ids.length, wgsl, 1, model.plan.cache))
    if (worst && !(worst.headroom <= 1)) expect.fail(`${name}: ${describeWorst(worst)}`);
}

const everything = { logits: "all", trace: ["*", "layers.*.*"] } as const;
const prompt = Array.from({ length: 40 }, (_, i) => 3 + ((i * 97) % 4000));

describe("gureum-tiny-awq on WebGPU", () => {
  it("computes every step within the bound of its op, from the values it was given", async () => {
    const short = await loadShort({ arithmetic: "f32" });
    await expectSteps(short, prompt.slice(0, 9));
    short.dispose();
  });

  it("does so on repacked weights and an f16 cache", async () => {
    const short = await loadShort({ arithmetic: "fixed16" });
    expect(short.plan).toMatchObject({ layout: "repacked", cache: "f16" });
    await expectSteps(short, prompt.slice(0, 9));
    short.dispose();
  });

  it("shows no step beyond its bound in a comparison with the CPU, which names the kernels", async () => {
    const short = await loadShort({});
    const reference = { model: cpuModel(short.config, shortWeights()) };
    const side = { model: short, plan: short.plan };
    const { steps, unwatched, first } = await diffModels(reference, side, shortWeights(), [1, 5]);
    expect(unwatched.map(({ way }) => way)).toEqual(["as a prompt", "token by token"]);
    expect(unwatched.filter(isAstray)).toEqual([]);
    expect(first).toBeNull();
    const kernels = Object.fromEntries(steps.map(({ name, kernels }) => [name, kernels]));
    expect(kernels["layers.0.q"]).toEqual({ a: null, b: "awq-tiles" });
    expect(kernels["layers.1.attention"]).toEqual({ a: null, b: "attention-mix" });
    expect(kernels.logits).toEqual({ a: null, b: "matmul-tiles" });
    // A fault of the kernels that nobody can watch: the steps hold, the unwatched runs do not.
    const spoilt: DiffSide = {
      plan: short.plan,
      model: {
        ...short,
        createSession(maxContext) {
          const session = short.createSession(maxContext);
          return {
            ...session,
            async forward(ids, options = {}) {
              const { logits, trace } = await session.forward(ids, options);
              return { logits: options.trace ? logits : logits.map((y, i) => (i % 2 === 0 ? y : 0.9 * y)), trace };
            },
          };
        },
      },
    };
    const faulty = await diffModels(reference, spoilt, shortWeights(), [1, 5]);
    expect(faulty.first).toBeNull();
    expect(faulty.unwatched.filter(isAstray)).toHaveLength(2);
    short.dispose();
  });

  it("draws the tokens that the CPU draws, from the GPU's own logits", async () => {
    const options = { ...greedy, temperature: 0.8, topP: 0.9, repetitionPenalty: 1.1, seed: 42n };
    const [one, other] = [model.createSession(80), model.createSession(80)];
    await one.prefill(prompt);
    const { ids } = await one.decode(options, 12);
    let feed = prompt;
    for (const id of ids) {
      const { logits } = await other.forward(feed);
      expect(sample(logits, options, other.ids, other.ids.length)).toBe(id);
      feed = [id];
    }
    one.dispose();
    other.dispose();
  });
});

describe("random models on WebGPU", () => {
  it("compute every step within the bound of its op, whatever the config", () =>
    fc.assert(
      fc.asyncProperty(arbitraryConfig, fc.nat(999), fc.integer({ min: 1, max: 20 }), async (config, seed, T) => {
        const { weights } = randomModel(config, seed);
        const random = await loadGpuModel(gpu, config, memoryRefs(weights), { cache: "f32" });
        try {
          const ids = Array.from({ length: T }, (_, i) => (seed + 7 * i) % config.vocabSize);
          const { trace, logits } = await random.createSession(32).forward(ids, everything);
          for (const { name, worst } of checkSteps(config, weights, ids, trace, 32, wgsl, 1))
            if (worst && !(worst.headroom <= 1)) expect.fail(`${name}: ${describeWorst(worst)}`);
          // Nobody watching: attention is one kernel. The logits may differ in bits, the choice of the likeliest may
          // not.
          const { trace: fused } = await random.createSession(32).forward(ids, { ...everything, trace: fusedTaps });
          for (const { name, worst } of checkSteps(config, weights, ids, fused, 32, wgsl, 1))
            if (worst && !(worst.headroom <= 1)) expect.fail(`${name}: ${describeWorst(worst)}`);
          expect(logits.length).toBe(T * config.vocabSize);
        } finally {
          random.dispose();
        }
      }),
      { numRuns: 12 },
    ));
});

/** Every tap point but the attention weights, which choose another kernel. */
const fusedTaps = ["embeddings", "finalNorm", "logits"].concat(
  ["inputLayernorm", "q", "k", "v", "q*", "k*", "kRope", "attention", "attentionOutput", "attentionResidual"].map((n) => `layers.*.${n}`),
  ["postAttentionLayernorm", "gate", "up", "siluMul", "mlp", "residual"].map((n) => `layers.*.${n}`),
);

describe("a WebGPU session", () => {
  const logitsAfter = async (feed: (s: ReturnType<Model["createSession"]>) => Promise<void>, last = 3005): Promise<Float32Array> => {
    const session = model.createSession(200);
    try {
      await feed(session);
      return (await session.forward([last])).logits;
    } finally {
      session.dispose();
    }
  };
  const long = Array.from({ length: 150 }, (_, i) => 3 + ((i * 61) % 4000));

  it("gives the same bits when it runs twice", async () => {
    const run = (): Promise<Float32Array> => logitsAfter((s) => s.prefill(long));
    expect(await run()).toEqual(await run());
  });

  it("gives the same bits for every way to cut a prompt into parts of many rows", async () => {
    const whole = await logitsAfter((s) => s.prefill(long));
    for (const cuts of [[128], [8, 20, 140], [60]]) {
      const parts = await logitsAfter(async (s) => {
        for (let i = 0; i <= cuts.length; i++) await s.prefill(long.slice(cuts[i - 1] ?? 0, cuts[i]));
      });
      expect(parts).toEqual(whole);
    }
  });

  it("gives a forward's logits the bits of prefill and forward", async () => {
    const session = model.createSession(200);
    const { logits } = await session.forward(long, { logits: "all" });
    const V = model.config.vocabSize;
    const again = model.createSession(200);
    const last = await again.forward(long);
    expect(last.logits.length).toBe(V);
    // The last chunk's rows go through the same kernels; the head does not (one row, or all).
    const { max } = distance(last.logits, logits.subarray((long.length - 1) * V));
    expect(max).toBeLessThanOrEqual(1e-5 * largest(last.logits));
    session.dispose();
    again.dispose();
  });

  it("samples the same ids however the count is divided", async () => {
    const session = model.createSession(200);
    const run = async (counts: readonly number[]): Promise<number[]> => {
      session.truncate(0);
      await session.prefill(prompt);
      const ids: number[] = [];
      for (const count of counts) ids.push(...(await session.decode({ ...greedy, temperature: 1, seed: 8n }, count)).ids);
      expect(session.ids).toEqual([...prompt, ...ids]);
      return ids;
    };
    const whole = await run([21]);
    expect(whole).toHaveLength(21);
    expect(await run([1, 7, 8, 5])).toEqual(whole);
    expect(await run([17, 4])).toEqual(whole);
    session.dispose();
  });

  it("drops what it sampled ahead where the sequence goes another way", async () => {
    const session = model.createSession(prompt.length + 40);
    const fresh = model.createSession(prompt.length + 40);
    const options = { ...greedy, temperature: 1, seed: 8n };
    await session.prefill(prompt);
    // The second call finds a caller who comes back, and runs on.
    const first = [...(await session.decode(options, 3)).ids, ...(await session.decode(options, 3)).ids];
    const other = [...(await session.decode({ ...options, seed: 9n }, 3)).ids, ...(await session.decode({ ...options, seed: 9n }, 2)).ids];
    // A sampled id that was not fed yet is dropped when something else is fed.
    await session.prefill([7, 8]);
    const last = (await session.decode(options, 4)).ids;

    await fresh.prefill([...prompt, ...first]);
    expect((await fresh.decode({ ...options, seed: 9n }, 5)).ids).toEqual(other);
    fresh.truncate(0);
    await fresh.prefill([...prompt, ...first, ...other.slice(0, -1), 7, 8]);
    expect((await fresh.decode(options, 4)).ids).toEqual(last);
    // At the end of the context nothing more is sampled ahead than fits.
    expect((await session.decode(options, 100)).ids).toHaveLength(40 - 16);
    session.dispose();
    fresh.dispose();
  });

  it("goes on after truncate as if the rest had never been", async () => {
    const session = model.createSession(200);
    await session.prefill(prompt);
    const { ids: first } = await session.decode(greedy, 10);
    session.truncate(prompt.length);
    await expect(session.decode(greedy, 1)).rejects.toMatchObject({ code: "usage" });
    session.truncate(20);
    await session.prefill(prompt.slice(20));
    expect((await session.decode(greedy, 10)).ids).toEqual(first);
    await session.prefill([5, 6]);
    session.dispose();
  });

  it("stops at the end of its context", async () => {
    const session = model.createSession(prompt.length + 5);
    await session.prefill(prompt);
    expect((await session.decode(greedy, 20)).ids).toHaveLength(5);
    expect((await session.decode(greedy, 20)).ids).toHaveLength(0);
    await expect(session.prefill([1, 2])).rejects.toMatchObject({ code: "context" });
    session.dispose();
  });

  it("refuses what the CPU refuses, with the same code", async () => {
    const cpu = cpuModel(checkpoint.config, weights);
    for (const [ids, code] of [
      [[], "range"],
      [[-1], "range"],
      [[4096], "range"],
      [[1.5], "range"],
      [new Array(60).fill(1), "context"],
    ] as const) {
      for (const m of [cpu, model]) {
        const session = m.createSession(50);
        await expect(session.forward(ids)).rejects.toMatchObject({ code });
        await expect(session.prefill(ids)).rejects.toMatchObject({ code });
        session.dispose();
      }
    }
  });

  it("feeds a steered value on, as the CPU does", async () => {
    const cpu = cpuModel(checkpoint.config, weights);
    const ids = prompt.slice(0, 12);
    const steer = {
      "layers.2.residual": ({ data }: { data: Float32Array }) => data.map((x, i) => (i % 3 === 0 ? -x : x)),
      "layers.4.attentionWeights": ({ data }: { data: Float32Array }) => data.map((x) => x * 0.5),
      "layers.5.siluMul": ({ data }: { data: Float32Array }) => data.fill(0),
      finalNorm: ({ data }: { data: Float32Array }) => data.map((x) => x * 1.25),
      logits: ({ data }: { data: Float32Array }) => data.map((x, i) => (i % 4096 === 7 ? 1000 : x)),
    };
    for (const logits of ["last", "all"] as const) {
      const a = model.createSession(50);
      const b = cpu.createSession(50);
      const options = { steer, logits, trace: ["layers.3.residual", "logits"] };
      const x = await a.forward(ids, options);
      const y = await b.forward(ids, options);
      for (const name of options.trace) {
        const { max } = distance(x.trace.get(name)!.data, y.trace.get(name)!.data);
        expect(max, name).toBeLessThanOrEqual(1e-5 * largest(y.trace.get(name)!.data));
      }
      // A steered logit decides the next token.
      expect((await a.decode(greedy, 1)).ids).toEqual([7]);
      expect((await b.decode(greedy, 1)).ids).toEqual([7]);
      a.dispose();
    }
  });
});

describe("a WebGPU session in fixed16", () => {
  let fixed: GpuModel;
  beforeAll(async () => {
    fixed = await loadGpuModel(gpu, checkpoint.config, checkpoint.refs, { arithmetic: "fixed16" });
  });
  afterAll(() => fixed?.dispose());

  it("attends across the border of its splits as the f32 kernels do", async () => {
    const ids = Array.from({ length: 131 }, (_, i) => 3 + ((i * 97) % 4000));
    const a = fixed.createSession(300);
    const b = model.createSession(300);
    for (const count of [62, 1, 1, 1, 61, 1, 1, 1, 1, 1]) {
      const part = ids.slice(a.ids.length, a.ids.length + count);
      const [x, y] = [await a.forward(part), await b.forward(part)];
      expect(divergence(y.logits, x.logits), `position ${a.ids.length - 1}`).toBeLessThanOrEqual(1e-5);
    }
    a.dispose();
    b.dispose();
  });
});

describe("a device with small bindings", () => {
  it("gives the same bits with embedding, head and linears in several buffers", async () => {
    const limits = { ...gpu.capabilities.limits, maxStorageBufferBindingSize: 40_000 };
    const small: Gpu = { ...gpu, capabilities: { ...gpu.capabilities, limits } };
    const split = await loadGpuModel(small, checkpoint.config, checkpoint.refs, { arithmetic: "f32" });
    // Activations are not split: their 12 rows of 768 fit.
    const ids = prompt.slice(0, 12);
    const [a, b] = [split.createSession(12), model.createSession(12)];
    expect((await a.forward(ids)).logits).toEqual((await b.forward(ids)).logits);
    a.dispose();
    b.dispose();
    split.dispose();
  });
});

const largest = (values: Float32Array): number => values.reduce((max, v) => Math.max(max, Math.abs(v)), 0);

function distance(a: Float32Array, b: Float32Array): { max: number } {
  expect(a.length).toBe(b.length);
  let max = 0;
  for (let i = 0; i < b.length; i++) {
    const error = Math.abs(a[i]! - b[i]!);
    if (!(error <= max)) max = error;
  }
  return { max };
}
