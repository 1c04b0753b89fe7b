/** What a hook on logits may do, and that guesses change nothing but the number of passes. A few seconds. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { LogitsProcessor } from "../../../../core/generate/choose.ts";
import { promptLookup } from "../../../../core/generate/draft.ts";
import { type GenerateOptions, type GenerateResult, generate, type TokenEvent } from "../../../../core/generate/generate.ts";
import type { Model, SamplingOptions } from "../../../../core/model/engine.ts";
import { greedy } from "../../../../core/sample/sampler.ts";
import { arithmetics, inBlocks, letters, plainOptions } from "../../fixtures/generating.ts";
import { arbitraryConfig } from "../../fixtures/random-model.ts";
import { tableModel } from "../../fixtures/table-model.ts";

const options = (more: Partial<GenerateOptions> = {}): GenerateOptions => plainOptions(12, more);

interface Run {
  readonly events: readonly TokenEvent[];
  readonly result: GenerateResult;
  readonly ids: readonly number[];
}
async function run(model: Model, prompt: readonly number[], maxContext: number, given: GenerateOptions): Promise<Run> {
  const session = model.createSession(maxContext);
  const events: TokenEvent[] = [];
  const it = generate(session, prompt, given);
  for (;;) {
    const step = await it.next();
    if (step.done) {
      const ids = [...session.ids];
      session.dispose();
      return { events, result: step.value, ids };
    }
    events.push(step.value);
  }
}

const arbitrarySampling: fc.Arbitrary<SamplingOptions> = fc.oneof(
  fc.constant(greedy),
  fc.record({
    temperature: fc.constantFrom(0, 0.3, 1),
    topK: fc.constantFrom(0, 3),
    topP: fc.constantFrom(1, 0.8),
    minP: fc.constantFrom(0, 0.1),
    repetitionPenalty: fc.constantFrom(1, 1.3),
    seed: fc.bigInt({ min: 0n, max: (1n << 64n) - 1n }),
  }),
);

describe.each(Object.entries(arithmetics))("speculation in %s", (name, make) => {
  const arbitraryRun = fc.record({
    config: name === "fixed16" ? arbitraryConfig.map(inBlocks) : arbitraryConfig,
    seed: fc.nat(1e6),
    // Few different ids, so that lookups find something.
    prompt: fc.array(fc.nat(4), { minLength: 1, maxLength: 20 }),
    sampling: arbitrarySampling,
    maxNewTokens: fc.integer({ min: 1, max: 16 }),
    maxContext: fc.integer({ min: 20, max: 40 }),
    topLogprobs: fc.constantFrom(0, 2),
    stopId: fc.option(fc.nat(4), { nil: undefined }),
    tokens: fc.integer({ min: 1, max: 9 }),
    from: fc.constantFrom("prompt" as const, "draft" as const, "itself" as const),
    ngram: fc.integer({ min: 1, max: 4 }),
  });

  it("gives the ids, log-probabilities, reason and session of one by one", async () => {
    await fc.assert(
      fc.asyncProperty(arbitraryRun, async ({ config, seed, prompt, maxContext, stopId, tokens, from, ngram, ...given }) => {
        const model = make(config, seed);
        const plain = options({ ...given, stopIds: new Set(stopId === undefined ? [] : [stopId]) });
        const draft = from === "itself" ? model : make({ ...config, numHiddenLayers: 1 }, seed + 1);
        const speculate = from === "prompt" ? { from, tokens, ngram } : { from: "draft" as const, draft, tokens };
        const alone = await run(model, prompt, maxContext, plain);
        const guessed = await run(model, prompt, maxContext, { ...plain, decoder: letters(), speculate });
        expect(guessed.events).toEqual(alone.events);
        const { speculation, ...result } = guessed.result;
        expect(result).toEqual(alone.result);
        const { passes, drafted, accepted, rejected, sameBits } = speculation!;
        expect(sameBits).toBe(true);
        expect(accepted + rejected).toBe(drafted);
        // Each pass gives one token and those accepted; the first comes from the prompt's pass.
        const drawn = result.ids.length + (result.finishReason === "stop" ? 1 : 0);
        expect(drawn).toBeLessThanOrEqual(1 + passes + accepted);
        if (from === "itself") expect(rejected).toBe(0);
        // What the session holds is what it was fed: prompt and ids as far as they were drawn.
        const all = [...prompt, ...result.ids];
        expect(guessed.ids.slice(0, all.length)).toEqual(all.slice(0, guessed.ids.length));
      }),
      { numRuns: name === "exact" ? 40 : 80 },
    );
  }, 60_000);
});

describe("speculation", () => {
  it("takes a pass for several tokens where guesses hold: text that repeats, and a draft that is the model", async () => {
    let passes = 0;
    // At spread 0 the likeliest id is always 0.
    const model = tableModel(50, 1, { spread: 0, fed: () => passes++ });
    const found = await run(model, [3, 1, 0, 0], 400, options({ maxNewTokens: 301, speculate: { from: "prompt", tokens: 9 } }));
    expect(found.result.ids).toEqual(new Array(301).fill(0));
    expect(found.result.speculation).toEqual({ passes: 30, drafted: 270, accepted: 270, rejected: 0, sameBits: true });
    expect(passes).toBe(31);
    const other = tableModel(50, 1);
    const same = await run(other, [3, 1, 2], 400, options({ maxNewTokens: 101, speculate: { from: "draft", draft: other, tokens: 4 } }));
    expect(same.result.speculation).toEqual({ passes: 20, drafted: 80, accepted: 80, rejected: 0, sameBits: true });
  });

  it("costs little in long contexts: a lookup does not go through the text", async () => {
    const model = tableModel(11, 3);
    const prompt = Array.from({ length: 50_000 }, (_, i) => (i * i + (i >> 3)) % 11);
    const plain = await run(model, prompt, 60_000, options({ maxNewTokens: 5000 }));
    const guessed = await run(model, prompt, 60_000, options({ maxNewTokens: 5000, speculate: { from: "prompt" } }));
    const { speculation, ...result } = guessed.result;
    expect(result).toEqual(plain.result);
    expect(speculation!.accepted).toBeGreaterThan(0);
    const lookup = promptLookup(3);
    await lookup.propose(prompt, 8);
    const started = performance.now();
    const ids = [...prompt];
    for (let i = 0; i < 20_000; i++) {
      ids.push(i % 11);
      await lookup.propose(ids, 8);
    }
    // Going through 50,000 ids each time would be 10^9 steps.
    expect(performance.now() - started).toBeLessThan(2000);
  });

  it("says where a pass of several rows has other bits than one by one", async () => {
    const model = { ...tableModel(20, 5), sameBitsRows: 4 };
    const fromOther = { ...model, createSession: (n: number) => ({ ...tableModel(20, 5).createSession(n), model }) as never };
    for (const [tokens, sameBits] of [
      [3, true],
      [4, false],
    ] as const) {
      const { result } = await run(
        fromOther,
        [1, 1, 1, 1],
        60,
        options({ maxNewTokens: 30, speculate: { from: "draft", draft: model, tokens } }),
      );
      expect(result.speculation!.sameBits).toBe(sameBits);
    }
  });

  it("ends a draft model's session with the run, and goes on where the draft's context ends", async () => {
    const sessions: { disposed: boolean }[] = [];
    const base = tableModel(9, 2);
    const draft: Model = {
      ...base,
      createSession(maxContext) {
        const session = base.createSession(Math.min(12, maxContext));
        const state = { disposed: false };
        sessions.push(state);
        return {
          ...session,
          get ids() {
            return session.ids;
          },
          dispose: () => {
            state.disposed = true;
            session.dispose();
          },
        };
      },
    };
    const { result } = await run(base, [1, 2], 60, options({ maxNewTokens: 40, speculate: { from: "draft", draft } }));
    expect(result.ids).toHaveLength(40);
    expect(result.speculation!.drafted).toBeGreaterThan(0);
    expect(result.speculation!.passes).toBeGreaterThan(25);
    expect(sessions).toEqual([{ disposed: true }]);
  });

  it.each([
    ["a source", { from: "air" }, /^speculate: from, expected "prompt" or "draft", got "air"/],
    ["a number of guesses", { from: "prompt", tokens: 0 }, /^speculate: tokens, expected a whole number from 1 to 64, got 0/],
    ["an n-gram", { from: "prompt", ngram: 1.5 }, /^speculate: ngram, expected a whole number/],
    ["a draft", { from: "draft" }, /^speculate: draft, expected a model, got undefined/],
    [
      "a draft of another vocabulary",
      { from: "draft", draft: tableModel(8, 1) },
      /^speculate: vocabulary of the draft model, expected 9 ids/,
    ],
  ])("refuses %s by name", async (_, speculate, about) => {
    await expect(run(tableModel(9, 1), [1], 30, options({ speculate: speculate as never }))).rejects.toMatchObject({
      code: "usage",
      message: expect.stringMatching(about),
    });
  });
});

describe("a hook on logits", () => {
  const config = { ...fc.sample(arbitraryConfig, { numRuns: 1, seed: 3 })[0]!, vocabSize: 30 };
  const random: SamplingOptions = { temperature: 1.2, topK: 9, topP: 0.9, minP: 0.02, repetitionPenalty: 1.2, seed: 4n };

  describe.each(Object.entries(arithmetics).filter(([name]) => name !== "fixed16"))("in %s", (_, make) => {
    const model = make(config, 5);

    it("that changes nothing changes nothing, whatever it hands back", async () => {
      for (const sampling of [greedy, random]) {
        const plain = await run(model, [1, 4, 7], 40, options({ sampling }));
        for (const processLogits of [() => undefined, (_ids, logits) => logits, (_ids, logits) => logits.slice()] as LogitsProcessor[])
          expect((await run(model, [1, 4, 7], 40, options({ sampling, processLogits }))).events).toEqual(plain.events);
      }
    });

    it("sees all ids so far, and takes ids out with −Infinity under every option", async () => {
      for (const sampling of [greedy, random, { ...random, topK: 30, topP: 1, minP: 0 }]) {
        const seen: (readonly number[])[] = [];
        const odd: LogitsProcessor = (ids, logits) => {
          seen.push(ids);
          for (let id = 0; id < logits.length; id += 2) logits[id] = -Infinity;
          return undefined;
        };
        const { result } = await run(model, [1, 4, 7], 40, options({ sampling, processLogits: odd }));
        expect(result.ids).toHaveLength(12);
        expect(result.ids.filter((id) => id % 2 === 0)).toEqual([]);
        expect(seen).toEqual(result.ids.map((_id, i) => [1, 4, 7, ...result.ids.slice(0, i)]));
      }
    });

    it("can force an id, whose log-probability stays the model's own; stops and guesses compose with it", async () => {
      const forced = [5, 6, 7, 5, 6, 7, 5, 6, 2];
      const processLogits: LogitsProcessor = (ids, logits) =>
        new Float32Array(logits.length).map((_zero, id) => (id === forced[ids.length - 1] ? 0 : -Infinity));
      const given = options({ sampling: random, processLogits, stopIds: new Set([2]), topLogprobs: 1 });
      const plain = await run(model, [1], 40, given);
      expect(plain.result).toMatchObject({ ids: forced.slice(0, -1), finishReason: "stop" });
      const session = model.createSession(40);
      const { logits } = await session.forward([1, ...forced], { logits: "all" });
      const { logProbability } = model.sampler ?? (await import("../../../../core/sample/sampler.ts")).floatSampler;
      for (const [i, { logprob, top }] of plain.events.entries()) {
        const row = logits.slice(i * 30, (i + 1) * 30);
        expect(logprob).toBe(logProbability(row, forced[i]!));
        expect(top![0]!.logprob).toBeGreaterThanOrEqual(logprob!);
      }
      const guessed = await run(model, [1], 40, { ...given, decoder: letters(), speculate: { from: "prompt" } });
      expect(guessed.events).toEqual(plain.events);
      expect(guessed.result.speculation!.accepted).toBeGreaterThan(0);
    });
  });

  const failing: [string, LogitsProcessor, string, RegExp][] = [
    [
      "NaN",
      (_i, l) => l.fill(NaN, 3, 4),
      "non-finite",
      /^processLogits: logit of id 3 after position 0, expected a number, or -Infinity .*, got NaN/,
    ],
    ["+Infinity", (_i, l) => l.fill(Infinity, 0, 1), "non-finite", /got Infinity/],
    ["no id", (_i, l) => l.fill(-Infinity), "range", /one id or more that is left/],
    ["a short array", (_i, l) => l.subarray(1), "usage", /result, expected nothing, or a Float32Array of 9 logits, got 8/],
    ["an array of another type", () => [1, 2] as never, "usage", /got an array/],
    ["a promise", (async () => undefined) as never, "usage", /got a promise/],
  ];
  it.each(failing)("that gives %s is an error by name", async (_, processLogits, code, about) => {
    await expect(run(tableModel(9, 1), [1], 30, options({ processLogits }))).rejects.toMatchObject({
      code,
      message: expect.stringMatching(about),
    });
  });

  it("that is no function is refused, and what it throws passes", async () => {
    await expect(run(tableModel(9, 1), [1], 30, options({ processLogits: 3 as never }))).rejects.toMatchObject({ code: "usage" });
    const broken = new Error("mine");
    const processLogits = (): never => {
      throw broken;
    };
    await expect(run(tableModel(9, 1), [1], 30, options({ processLogits }))).rejects.toBe(broken);
  });
});
