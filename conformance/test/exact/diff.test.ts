/** `diff` in `exact`: it names the first word that differs, its step and both words, or the way of feeding that nobody watched. Some 20 s, compiling. */
import { expect, it } from "vitest";
import { exactCpuModel } from "../../../core/exact/model.ts";
import { bitsOf } from "../../../core/exact/numbers.ts";
import type { ForwardResult, Model, Session } from "../../../core/model/engine.ts";
import { loadExactGpuModel } from "../../../gpu/model/exact.ts";
import { allKernels } from "../../host/kernels.ts";
import { diffExact, type ExactDiff } from "../../watch/exact-diff.ts";
import { randomCases } from "../fixtures/exact-models.ts";
import { memoryRefs } from "../fixtures/memory-refs.ts";
import { testDevice } from "../gpu/device.ts";

const { config, weights } = randomCases().find(({ name }) => name === "int4, groups of 32")!;
const ids = [1, 20, 25, 5];
const sound = exactCpuModel(config, weights);

/** The same number with its last bit turned. */
const beside = (value: number): number => new Float32Array(new Uint32Array([bitsOf(value) ^ 1]).buffer)[0]!;
/** Everything as it was, but two elements of some numbers. */
const spoilt = (data: Float32Array, at: readonly number[]): Float32Array => data.map((v, i) => (at.includes(i) ? beside(v) : v));

/** A model whose sessions are fed in another way. */
const fedBy = (forward: (session: Session, ...given: Parameters<Session["forward"]>) => Promise<ForwardResult>): Model => ({
  ...sound,
  createSession(maxContext) {
    const session = sound.createSession(maxContext);
    return { ...session, forward: (...given) => forward(session, ...given) };
  },
});

it("finds nothing between a model and itself, in any of its words", async () => {
  const { steps, words, first } = await diffExact(sound, sound, ids);
  expect(first).toBeNull();
  expect(steps).toBe(1 + 2 * 16 + 2);
  expect(words).toBeGreaterThan(steps * ids.length);
});

it.each(["embeddings", "layers.0.inputLayernorm", "layers.0.k", "layers.1.qRope", "layers.0.attention", "layers.1.siluMul", "logits"])(
  "names the step, and the first of its words, in which one bit is another: %s",
  async (name) => {
    const steered = fedBy((session, given, options) =>
      session.forward(given, { ...options, steer: { [name]: ({ data }) => spoilt(data, [9, 5]) } }),
    );
    const right = (await sound.createSession(ids.length).forward(ids, { trace: [name], logits: "all" })).trace.get(name)!.data;
    const { first } = await diffExact(sound, steered, ids);
    expect(first).toEqual({ name, index: 5, a: bitsOf(right[5]!), b: bitsOf(right[5]!) ^ 1, differ: 2, words: right.length });
  },
);

it("names the side and the way of a run that nobody watched", async () => {
  /** One bit of the logits is another where so many ids are fed at once after so many, unwatched. */
  const wrong = (count: number, fed: number): Model =>
    fedBy(async (session, given, options) => {
      const before = session.ids.length;
      const result = await session.forward(given, options);
      return options?.trace || given.length !== count || before !== fed ? result : { ...result, logits: spoilt(result.logits, [3]) };
    });
  const found = async (a: Model, b: Model): Promise<Partial<ExactDiff["first"]>> => (await diffExact(a, b, ids)).first!;
  expect(await found(sound, wrong(4, 0))).toMatchObject({ name: "logits, as a prompt, of side b", index: 3, differ: 1 });
  expect(await found(wrong(1, 2), sound)).toMatchObject({ name: "logits of position 2, token by token, of side a", index: 3, differ: 1 });
});

/** The CPU against WebGPU, a kernel of which has a fault. */
async function diffWithFault(name: string, from: string, to: string): Promise<ExactDiff> {
  const kernel = (await allKernels()).get(name)! as { wgsl: string };
  const right = kernel.wgsl;
  expect(right).toContain(from);
  kernel.wgsl = right.replace(from, to);
  try {
    const model = await loadExactGpuModel(await testDevice(), config, memoryRefs(weights));
    return await diffExact(sound, model, ids).finally(() => model.dispose());
  } finally {
    kernel.wgsl = right;
  }
}

/** Every eighth product or so is 0. */
const fault = ["fn mulf(a: u32, b: u32) -> u32 {", "fn mulf(a: u32, b: u32) -> u32 { if ((a & 7u) == 1u) { return 0u; }"] as const;

it("names the step that a bad kernel computes on a device", async () => {
  expect((await diffWithFault("exact-silu-mul", ...fault)).first).toMatchObject({ name: "layers.0.siluMul" });
});

it("names the run token by token where only a kernel of one row is bad", async () => {
  const { first } = await diffWithFault("exact-awq-words", ...fault);
  expect(first!.name).toMatch(/^logits of position 0, token by token, of side b$/);
});
