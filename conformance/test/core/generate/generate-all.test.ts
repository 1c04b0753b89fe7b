/** Many sequences together give what each gives alone, whatever the others do. A few seconds. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { LlamaConfig } from "../../../../core/config.ts";
import { contextLimit, type GenerateOptions, generate, type TokenEvent } from "../../../../core/generate/generate.ts";
import { type AllOptions, generateAll, type Item, type Outcome } from "../../../../core/generate/generate-all.ts";
import { nodeThreads } from "../../../../core/host/node-threads.ts";
import { cpuModel } from "../../../../core/model/cpu.ts";
import type { Batch, Model, SamplingOptions } from "../../../../core/model/engine.ts";
import { referenceOps } from "../../../../core/model/ops.ts";
import { greedy } from "../../../../core/sample/sampler.ts";
import { openWasmCpu, type WasmCpu } from "../../../../wasm/cpu.ts";
import { arithmetics, inBlocks, letters, plainOptions } from "../../fixtures/generating.ts";
import { arbitraryConfig, randomModel } from "../../fixtures/random-model.ts";
import { tableModel } from "../../fixtures/table-model.ts";

const options = (more: Partial<GenerateOptions> = {}): GenerateOptions => plainOptions(8, more);

/** What `generate` gives for an item alone. */
async function alone(model: Model, { prompt, options: given }: { prompt: readonly number[]; options: GenerateOptions }) {
  const events: TokenEvent[] = [];
  let session: ReturnType<Model["createSession"]> | undefined;
  try {
    session = model.createSession(Math.min(contextLimit(model.config), prompt.length + given.maxNewTokens));
    const run = generate(session, prompt, { ...given, decoder: letters() });
    for (;;) {
      const step = await run.next();
      if (step.done) return { events, outcome: { ok: true, promptTokens: prompt.length, ...step.value } as Outcome };
      events.push(step.value);
    }
  } catch (error) {
    return { events, outcome: { ok: false, error } as Outcome };
  } finally {
    session?.dispose();
  }
}

async function together(model: Model, items: readonly Item[], how: AllOptions = {}) {
  const events: TokenEvent[][] = items.map(() => []);
  const outcomes = await generateAll(model, items, { ...how, onToken: (index, event) => void events[index]!.push(event) });
  return { events, outcomes };
}

const arbitrarySampling: fc.Arbitrary<SamplingOptions> = fc.record({
  temperature: fc.constantFrom(0, 0, 0.5, 1.1),
  topK: fc.constantFrom(0, 3),
  topP: fc.constantFrom(1, 0.9),
  minP: fc.constantFrom(0, 0.05),
  repetitionPenalty: fc.constantFrom(1, 1.2),
  seed: fc.bigInt({ min: 0n, max: (1n << 64n) - 1n }),
});

describe.each(Object.entries(arithmetics))("many sequences in %s", (name, make) => {
  const arbitraryItem = fc.record({
    // Now and then no id, one outside the vocabulary, or more than the model has positions for.
    prompt: fc.oneof(
      { weight: 12, arbitrary: fc.array(fc.nat(4), { minLength: 1, maxLength: 12 }) },
      { weight: 1, arbitrary: fc.constantFrom<number[][]>([], [1, 99], new Array(140).fill(2)) },
    ),
    sampling: arbitrarySampling,
    maxNewTokens: fc.oneof(fc.integer({ min: 1, max: 12 }), fc.constant(70)),
    topLogprobs: fc.constantFrom(0, 0, 2),
    stopIds: fc.array(fc.nat(4), { maxLength: 2 }).map((ids) => new Set(ids)),
    stop: fc.array(fc.constantFrom("A", "BC", "DDD"), { maxLength: 1 }),
  });

  it("give the events and outcomes that each gives alone, bit for bit", async () => {
    await fc.assert(
      fc.asyncProperty(
        name === "fixed16" ? arbitraryConfig.map(inBlocks) : arbitraryConfig,
        fc.nat(1e6),
        fc.array(arbitraryItem, { maxLength: 7 }),
        fc.integer({ min: 1, max: 5 }),
        async (config, seed, given, sequences) => {
          const model = make(config, seed);
          const items = given.map(({ prompt, ...own }) => ({ prompt, options: options(own) }));
          const all = await together(model, items, { sequences });
          expect(all.outcomes).toHaveLength(items.length);
          for (const [i, item] of items.entries()) {
            const one = await alone(model, item);
            expect(all.outcomes[i]).toEqual(one.outcome);
            expect(all.events[i]).toEqual(one.events);
          }
        },
      ),
      { numRuns: name === "exact" ? 15 : 40 },
    );
  }, 60_000);
});

describe("many sequences", () => {
  const config: LlamaConfig = { ...inBlocks(fc.sample(arbitraryConfig, { numRuns: 1, seed: 3 })[0]!), vocabSize: 30, slidingWindow: null };
  const prompts = Array.from({ length: 9 }, (_, i) => Array.from({ length: 1 + (i % 4) }, (_unused, j) => (3 * i + j) % 30));

  it("give the same bits in WebAssembly on two threads, and through the doors of a batch", async () => {
    const { weights } = randomModel(config, 5);
    const ops = (await openWasmCpu({ threads: 2, host: nodeThreads() })) as WasmCpu;
    expect("refusal" in ops).toBe(false);
    const [wasm, plain] = [cpuModel(config, weights, ops), cpuModel(config, weights)];
    const items = prompts.map((prompt) => ({ prompt, options: options({ topLogprobs: 1 }) }));
    expect(await together(wasm, items, { sequences: 7 })).toEqual(await together(plain, items, { sequences: 2 }));
    wasm.dispose();
  });

  it("read each weight once a step for all of them, and the next begins where one ends", async () => {
    const { weights } = randomModel(config, 5);
    const rows: number[] = [];
    const counting = {
      ...referenceOps,
      matmul(...call: Parameters<typeof referenceOps.matmul>): void {
        rows.push(call[4]);
        referenceOps.matmul(...call);
      },
    };
    const model = cpuModel(config, weights, counting);
    // 4 ends after 2 tokens, 5 goes on in its slot beside the others.
    const items = [9, 9, 9, 2, 5].map((maxNewTokens, i) => ({ prompt: prompts[i]!, options: options({ maxNewTokens }) }));
    await together(model, items, { sequences: 4 });
    // The head: five prompts, then steps of all that run. The first token of each comes from its prompt: a step without its row.
    expect(rows).toEqual([1, 1, 1, 1, 4, 1, 3, 4, 4, 4, 4, 3, 3]);
  });

  it("fail alone: a hook that throws, logits that are not finite, a prompt that cannot be", async () => {
    const { weights } = randomModel(config, 5);
    const { embedTokens } = weights;
    const data = (embedTokens.data as Float32Array).slice();
    data.fill(Number.NaN, 29 * config.hiddenSize); // id 29 alone
    const model = cpuModel(config, { ...weights, embedTokens: { ...embedTokens, data } });
    const broken = new Error("mine");
    const items: Item[] = [
      { prompt: [1, 2], options: options() },
      { prompt: [3, 29], options: options() },
      {
        prompt: [4],
        options: options({
          processLogits: (ids) => {
            if (ids.length > 3) throw broken;
            return undefined;
          },
        }),
      },
      { error: broken },
      // Fed 29 by its own draw, in the middle of the run.
      { prompt: [5], options: options({ processLogits: (ids, l) => (ids.length === 4 ? l.fill(-Infinity).fill(0, 29) : undefined) }) },
      { prompt: [6, 7], options: options() },
    ];
    const { outcomes, events } = await together(model, items, { sequences: 6 });
    expect(outcomes.map(({ ok }) => ok)).toEqual([true, false, false, false, false, true]);
    for (const i of [0, 5]) expect(outcomes[i]).toEqual((await alone(model, items[i] as never)).outcome);
    expect(outcomes[1]).toMatchObject({ error: { code: "non-finite" } });
    expect(outcomes[2]).toEqual({ ok: false, error: broken });
    expect(outcomes[3]).toEqual({ ok: false, error: broken });
    expect(outcomes[4]).toMatchObject({ error: { code: "non-finite", message: expect.stringMatching(/embeddings/) } });
    expect(events.map((of) => of.length)).toEqual([8, 0, 3, 0, 4, 8]);
  });

  it("end by their own signal alone, and all by the signal of all", async () => {
    const model = tableModel(30, 4);
    const [own, all] = [{ aborted: false }, { aborted: false }];
    const items = prompts.map((prompt, i) => ({ prompt, options: options({ maxNewTokens: 20, ...(i === 1 ? { signal: own } : {}) }) }));
    const seen: number[] = prompts.map(() => 0);
    const outcomes = await generateAll(model, items, {
      sequences: 3,
      signal: all,
      onToken(index) {
        seen[index]!++;
        if (index === 1 && seen[1] === 5) own.aborted = true;
        if (index === 4 && seen[4] === 2) all.aborted = true;
      },
    });
    const reasons = outcomes.map((outcome) => outcome.ok && outcome.finishReason);
    expect(reasons).toEqual(["length", "aborted", "length", "aborted", "aborted", "aborted", "aborted", "aborted", "aborted"]);
    expect(outcomes.map((outcome) => outcome.ok && outcome.ids.length)).toEqual(seen);
    expect(seen[1]).toBe(5);
    expect(seen.slice(6)).toEqual([0, 0, 0]);
  });

  it("tell of progress and of each outcome once, as it comes; what a callback throws ends it", async () => {
    const model = tableModel(30, 4);
    const items = [12, 3, 7].map((maxNewTokens, i) => ({ prompt: prompts[i]!, options: options({ maxNewTokens }) }));
    const told: [number, boolean][] = [];
    const progress: [number, number][] = [];
    const outcomes = await generateAll(model, items, {
      onOutcome: (index, { ok }) => void told.push([index, ok]),
      onProgress: (done, total) => void progress.push([done, total]),
    });
    expect(told).toEqual([
      [1, true],
      [2, true],
      [0, true],
    ]);
    expect(progress).toEqual([
      [1, 3],
      [2, 3],
      [3, 3],
    ]);
    expect(outcomes.map((outcome) => outcome.ok && outcome.ids.length)).toEqual([12, 3, 7]);
    const mine = new Error("mine");
    for (const name of ["onToken", "onOutcome", "onProgress"] as const)
      await expect(generateAll(model, items, { [name]: () => Promise.reject(mine) })).rejects.toBe(mine);
  });

  it("take none for an answer, a hundred times as many as there are slots, and refuse what is wrong for all by name", async () => {
    const model = tableModel(30, 4);
    expect(await generateAll(model, [])).toEqual([]);
    const items = Array.from({ length: 400 }, (_, i) => ({ prompt: [i % 30], options: options({ maxNewTokens: 1 + (i % 9) }) }));
    const outcomes = await generateAll(model, items);
    expect(outcomes.map((outcome) => outcome.ok && outcome.ids.length)).toEqual(items.map(({ options }) => options.maxNewTokens));
    await expect(generateAll(model, items, { sequences: 0 })).rejects.toMatchObject({
      code: "usage",
      message: expect.stringMatching(/sequences/),
    });
    await expect(generateAll(model, items, { onToken: 3 as never })).rejects.toMatchObject({ code: "usage" });
    const [guessed] = await generateAll(model, [{ prompt: [1], options: options({ speculate: { from: "prompt" } }) }]);
    expect(guessed).toMatchObject({ ok: false, error: { code: "usage", message: expect.stringMatching(/speculate/) } });
  });
});

describe("a batch", () => {
  const config = { ...fc.sample(arbitraryConfig, { numRuns: 1, seed: 3 })[0]!, vocabSize: 30 };
  const models: readonly (readonly [string, () => Model])[] = [
    ["of rows", () => cpuModel(config, randomModel(config, 5).weights)],
    ["of sessions", () => tableModel(30, 1)],
  ];
  describe.each(models)("%s", (_, make) => {
    const usage = (about: RegExp) => expect.objectContaining({ code: "usage", message: expect.stringMatching(about) });
    const thrown = (body: () => unknown): unknown => {
      try {
        body();
      } catch (error) {
        return error;
      }
      return null;
    };
    const work = (slot: number) => ({ slot, sampling: greedy });

    it("feeds and draws slot by slot, and empties one for another", async () => {
      const model = make();
      const batch: Batch = model.createBatch(3, 20);
      const session = model.createSession(20);
      await batch.prefill(0, [1, 2]);
      await batch.prefill(2, [3, 4, 5]);
      expect([0, 1, 2].map((slot) => batch.ids(slot))).toEqual([[1, 2], [], [3, 4, 5]]);
      const [two, zero] = await batch.decode([work(2), work(0)], 3);
      await session.prefill([1, 2]);
      const { ids, logprobs } = await session.decode(greedy, 3);
      expect(zero).toEqual({ tokens: ids.map((id, i) => ({ id, logprob: logprobs[i] })) });
      expect(two!.tokens).toHaveLength(3);
      batch.clear(2);
      await batch.prefill(2, [1, 2, ...ids], 5 + 1);
      expect((await batch.decode([work(2)], 4))[0]!.tokens).toHaveLength(1);
      expect((await batch.decode([work(2)], 4))[0]).toEqual({ tokens: [] });
      batch.dispose();
      session.dispose();
    });

    it("refuses slots and sizes that are none, a slot in use, and everything after its end", async () => {
      const model = make();
      for (const [slots, size] of [
        [0, 8],
        [1.5, 8],
        [2, 0],
      ] as const)
        expect(thrown(() => model.createBatch(slots, size))).toEqual(usage(/^batch: (slots|maxContext), expected a whole number from 1/));
      const batch = model.createBatch(2, 8);
      await expect(batch.decode([work(0)], 1)).rejects.toEqual(usage(/^decode: slot 0 holds no sequence — call prefill first/));
      for (const slot of [-1, 2, 0.5])
        await expect(batch.prefill(slot, [1])).rejects.toEqual(usage(/slot, expected a whole number from 0 to 1/));
      await batch.prefill(0, [1]);
      await expect(batch.prefill(0, [1])).rejects.toEqual(usage(/^prefill: slot 0 holds a sequence — clear it first/));
      await expect(batch.prefill(1, [1], 9)).rejects.toEqual(usage(/^prefill: maxContext, expected at most 8/));
      await expect(batch.prefill(1, [])).rejects.toMatchObject({ code: "range" });
      await expect(batch.prefill(1, new Array(9).fill(1))).rejects.toMatchObject({ code: "context" });
      expect(batch.ids(1)).toEqual([]);
      await expect(batch.decode([work(0), work(0)], 1)).rejects.toEqual(usage(/slot 0 is asked for twice/));
      const running = batch.decode([work(0)], 2);
      await expect(batch.prefill(1, [1])).rejects.toEqual(usage(/^prefill: decode is still running on this batch/));
      await running;
      batch.dispose();
      batch.dispose();
      await expect(batch.decode([work(0)], 1)).rejects.toEqual(usage(/the batch was disposed/));
    });
  });
});
