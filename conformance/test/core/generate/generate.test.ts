import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type GenerateOptions, type GenerateResult, generate, type TokenEvent } from "../../../../core/generate/generate.ts";
import { sharedPrefix } from "../../../../core/generate/prefix.ts";
import { cpuModel } from "../../../../core/model/cpu.ts";
import type { SamplingOptions, Session } from "../../../../core/model/engine.ts";
import { threefry, uniformAt } from "../../../../core/sample/random.ts";
import {
  candidates,
  checkSampling,
  draw,
  greedy,
  largest,
  logProbability,
  penalize,
  sample,
  topLogProbabilities,
} from "../../../../core/sample/sampler.ts";
import { arbitraryConfig, randomModel } from "../../fixtures/random-model.ts";

const finiteLogits = fc.float32Array({ minLength: 1, maxLength: 60, noNaN: true, min: -30, max: 30 });
const arbitrarySampling: fc.Arbitrary<SamplingOptions> = fc.record({
  temperature: fc.double({ min: 0.1, max: 3, noNaN: true }),
  topK: fc.nat(70),
  topP: fc.double({ min: 0.01, max: 1, noNaN: true }),
  minP: fc.double({ min: 0, max: 1, noNaN: true }),
  repetitionPenalty: fc.double({ min: 0.5, max: 2, noNaN: true }),
  seed: fc.bigInt({ min: 0n, max: (1n << 64n) - 1n }),
});

describe("the random stream", () => {
  it("is Threefry-2x32-20 of Random123's known answers", () => {
    expect(threefry(0, 0, 0, 0)).toEqual([0x6b200159, 0x99ba4efe]);
    expect(threefry(0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff)).toEqual([0x1cb996fc, 0xbb002be7]);
    expect(threefry(0x13198a2e, 0x03707344, 0x243f6a88, 0x85a308d3)).toEqual([0xc4923a9c, 0x483df7a0]);
  });

  it("uses both halves of the seed and stays in [0, 1), exact in f32", () => {
    fc.assert(
      fc.property(fc.bigInt({ min: 0n, max: (1n << 64n) - 1n }), fc.nat(1e6), (seed, position) => {
        const u = uniformAt(seed, position);
        expect(u).toBeGreaterThanOrEqual(0);
        expect(u).toBeLessThan(1);
        expect(Math.fround(u)).toBe(u);
        expect(uniformAt(seed ^ (1n << 40n), position)).not.toBe(u);
        expect(uniformAt(seed, position + 1)).not.toBe(u);
      }),
    );
  });
});

describe("sampling", () => {
  it.each([
    ["none", {}, [3, 0, 0, 3, 2, 2, 2, 3, 3, 3]],
    ["top-k 2", { topK: 2 }, [3, 2, 2, 3, 2, 3, 3, 3, 3, 3]],
    ["top-p 0.6", { topP: 0.6 }, [3, 2, 2, 3, 2, 3, 3, 3, 3, 3]],
    ["min-p 0.6", { minP: 0.6 }, [3, 2, 2, 3, 2, 3, 3, 3, 3, 3]],
    ["penalty 2", { repetitionPenalty: 2 }, [2, 0, 0, 3, 1, 2, 2, 2, 2, 2]],
  ])("agrees with the vectors of docs/sampling.md: %s", (_, options, expected) => {
    const logits = Float32Array.from([0.1, 0.2, 0.3, 0.4], Math.log);
    const all = { ...greedy, temperature: 1, seed: 1n, ...options };
    expect(Array.from({ length: 10 }, (_, i) => sample(logits, all, [3], i))).toEqual(expected);
  });

  it("keeps what a plain reading of the specification keeps, and draws among it", () => {
    fc.assert(
      fc.property(finiteLogits, arbitrarySampling, fc.nat(1000), (logits, options, position) => {
        const z = Array.from(logits, (l) => Math.fround(l * Math.fround(1 / options.temperature)));
        const max = Math.max(...z);
        let left = z.map((value, id) => ({ id, value, weight: Math.exp(value - max) })).sort((a, b) => b.value - a.value || a.id - b.id);
        if (options.topK > 0) left = left.filter((_, rank) => rank < options.topK);
        if (options.topP < 1) {
          const sum = left.reduce((s, { weight }) => s + weight, 0);
          left = left.filter((_, rank) => left.slice(0, rank).reduce((s, { weight }) => s + weight, 0) < options.topP * sum);
        }
        left = left.filter(({ weight }) => weight >= options.minP);
        const kept = candidates(logits, options);
        expect(kept.ids).toEqual(left.map(({ id }) => id).sort((a, b) => a - b));
        expect(kept.ids).toContain(draw(kept, uniformAt(options.seed, position)));
      }),
    );
  });

  it("draws each id as often as its weight says", () => {
    const logits = Float32Array.from([0.5, 0.25, 0.125, 0.125], Math.log);
    const n = 20000;
    const counts = [0, 0, 0, 0];
    for (let i = 0; i < n; i++) counts[sample(logits, { ...greedy, temperature: 1, seed: 7n }, [], i)]!++;
    // χ² with 3 degrees of freedom; 16.27 is its 0.999 quantile, and the stream is fixed.
    const chi2 = [0.5, 0.25, 0.125, 0.125].reduce((s, p, i) => s + (counts[i]! - n * p) ** 2 / (n * p), 0);
    expect(chi2).toBeLessThan(16.27);
  });

  it("is greedy at temperature 0, the lowest id among equals", () => {
    fc.assert(
      fc.property(finiteLogits, (logits) => {
        const best = sample(logits, greedy, [], 0);
        logits.forEach((l, i) => {
          expect(l <= logits[best]!).toBe(true);
          if (i < best) expect(l < logits[best]!).toBe(true);
        });
      }),
    );
  });

  it("penalizes an id once, leaves the others and the caller's logits alone", () => {
    fc.assert(
      fc.property(
        finiteLogits,
        fc.double({ min: 1.01, max: 2, noNaN: true }),
        fc.array(fc.nat(59), { minLength: 1 }),
        (logits, penalty, picks) => {
          const seen = picks.map((p) => p % logits.length);
          const before = logits.slice();
          const after = logits.slice();
          penalize(after, [...seen, ...seen], penalty);
          after.forEach((l, i) => {
            if (!seen.includes(i)) expect(l).toBe(before[i]);
            else expect(l <= before[i]!).toBe(true);
          });
          sample(logits, { ...greedy, repetitionPenalty: penalty }, seen, 0);
          expect(logits).toEqual(before);
        },
      ),
    );
  });

  it("finds the likeliest of many as sorting all of them does, ties by id", () => {
    const many = fc
      .array(fc.constantFrom(-3, -1, 0, 0.5, 2, 7), { minLength: 1, maxLength: 400 })
      .map((values) => Float32Array.from(values));
    fc.assert(
      fc.property(many, fc.nat(400), (values, n) => {
        const sorted = Array.from(values.keys()).sort((a, b) => values[b]! - values[a]! || a - b);
        expect(largest(values, n)).toEqual(sorted.slice(0, n));
      }),
    );
  });

  it("reports log-probabilities that sum to one and rank as the logits do", () => {
    fc.assert(
      fc.property(finiteLogits, (logits) => {
        const top = topLogProbabilities(logits, logits.length);
        const sum = top.reduce((s, { logprob }) => s + Math.exp(logprob), 0);
        // Each term carries a few roundings of f64; so many terms, so much error.
        expect(Math.abs(sum - 1)).toBeLessThanOrEqual(logits.length * 64 * 2 ** -53);
        for (let i = 1; i < top.length; i++) expect(logits[top[i]!.id]! <= logits[top[i - 1]!.id]!).toBe(true);
        expect(top[0]!.logprob).toBe(logProbability(logits, top[0]!.id));
      }),
    );
  });

  it.each([
    ["temperature", { temperature: -1 }],
    ["temperature", { temperature: Number.NaN }],
    ["temperature", { temperature: Number.POSITIVE_INFINITY }],
    ["top-k", { topK: 1.5 }],
    ["top-p", { topP: 0 }],
    ["top-p", { topP: 1.1 }],
    ["min-p", { minP: -0.1 }],
    ["repetition-penalty", { repetitionPenalty: 0 }],
    ["seed", { seed: -1n }],
    ["seed", { seed: 1n << 64n }],
  ])("refuses a %s outside its range", (name, wrong) => {
    expect(() => checkSampling({ ...greedy, ...wrong })).toThrow(new RegExp(`sampling: ${name}, expected`));
    expect(() => checkSampling(greedy)).not.toThrow();
  });
});

describe("generate", () => {
  const config = { ...fc.sample(arbitraryConfig, { numRuns: 1, seed: 3 })[0]!, vocabSize: 30 };
  const session = (maxContext = 40): Session => cpuModel(config, randomModel(config, 5).weights).createSession(maxContext);
  const decoder = () => ({ push: (ids: ArrayLike<number>) => String.fromCharCode(65 + ids[0]!), flush: () => "" });
  const options = (more: Partial<GenerateOptions> = {}): GenerateOptions => ({
    sampling: { ...greedy, temperature: 1.5, seed: 9n },
    maxNewTokens: 10,
    stopIds: new Set(),
    stop: [],
    decoder: decoder(),
    topLogprobs: 0,
    ...more,
  });
  const run = async (s: Session, o: GenerateOptions): Promise<{ events: TokenEvent[]; result: GenerateResult }> => {
    const events: TokenEvent[] = [];
    const it = generate(s, [1, 4, 7], o);
    for (;;) {
      const step = await it.next();
      if (step.done) return { events, result: step.value };
      events.push(step.value);
    }
  };

  const collect = async (it: ReturnType<typeof generate>): Promise<unknown[]> => {
    const steps: unknown[] = [];
    for (;;) {
      const step = await it.next();
      steps.push(step.value);
      if (step.done) return steps;
    }
  };

  it("yields the tokens that its result sums up, and stops at the limit", async () => {
    const { events, result } = await run(session(), options());
    expect(result.finishReason).toBe("length");
    expect(result.ids).toHaveLength(10);
    expect(events.map((e) => e.id)).toEqual(result.ids);
    expect(events.map((e) => e.text).join("")).toBe(result.text);
    expect(result.text).toBe(result.ids.map((id) => String.fromCharCode(65 + id)).join(""));
  });

  it("gives the same tokens with alternatives, for the same seed", async () => {
    const plain = await run(session(), options());
    const rich = await run(session(), options({ topLogprobs: 4 }));
    expect(rich.result).toEqual(plain.result);
    for (const [i, event] of rich.events.entries()) {
      expect(event.top).toHaveLength(4);
      expect(event.logprob).toBe(plain.events[i]!.logprob);
    }
  });

  it("ends at an end-of-text id, which is not part of the text", async () => {
    const { result: free } = await run(session(), options());
    const stopId = free.ids[4]!;
    const { result } = await run(session(), options({ stopIds: new Set([stopId]) }));
    expect(result.finishReason).toBe("stop");
    expect(result.ids).toEqual(free.ids.slice(0, free.ids.indexOf(stopId)));
  });

  it("ends at a stop string across tokens and shows nothing of it", async () => {
    const { result: free } = await run(session(), options());
    const stop = free.text.slice(3, 6);
    const { result, events } = await run(session(), options({ stop: [stop] }));
    expect(result.finishReason).toBe("stop");
    expect(result.text).toBe(free.text.slice(0, free.text.indexOf(stop)));
    expect(events.map((e) => e.text).join("")).toBe(result.text);
  });

  it("shows text held back for a stop string that never came", async () => {
    const { result: free } = await run(session(), options());
    const { result, events } = await run(session(), options({ stop: [`${free.text.slice(8)}~`] }));
    expect(result.text).toBe(free.text);
    expect(events.map((e) => e.text).join("")).toBe(free.text);
  });

  it.each([0, 3])("says so when the context is full (alternatives: %d)", async (topLogprobs) => {
    const { result } = await run(session(8), options({ topLogprobs }));
    expect(result.finishReason).toBe("context");
    expect(result.ids).toHaveLength(5);
  });

  it("ends when aborted, with the text so far", async () => {
    const signal = { aborted: false };
    const it = generate(session(), [1, 4], options({ signal }));
    const first = await it.next();
    signal.aborted = true;
    const end = await it.next();
    expect(end).toEqual({
      done: true,
      value: { text: (first.value as TokenEvent).text, ids: [(first.value as TokenEvent).id], finishReason: "aborted" },
    });
  });

  it("can be aborted while the prompt is read", async () => {
    const signal = { aborted: false };
    const it = generate(
      session(),
      [1, 4],
      options({
        signal,
        onPrefill: () => {
          signal.aborted = true;
        },
      }),
    );
    expect(await it.next()).toEqual({ done: true, value: { text: "", ids: [], finishReason: "aborted" } });
  });

  it("feeds a session only what it has not been fed, and says the same as a fresh one", async () => {
    const firstRun = session(60);
    const { result } = await run(firstRun, options());
    const said = [1, 4, 7, ...result.ids];
    // The same answer and more; another answer from the middle on; the same prompt again; a prompt that begins otherwise.
    const prompts = [[...said, 2, 5], [...said.slice(0, 7), 11, 3], [...said.slice(0, 3)], [2, ...said]];
    for (const [i, prompt] of prompts.entries()) {
      const held = [...firstRun.ids];
      const fed: number[] = [];
      const watched: Session = Object.defineProperties(
        {
          ...firstRun,
          prefill: async (ids: ArrayLike<number>, onProgress?: (done: number) => void | Promise<void>) => {
            fed.push(...Array.from(ids));
            await firstRun.prefill(ids, onProgress);
          },
        },
        { ids: { get: () => firstRun.ids } },
      );
      const seen: number[] = [];
      const again = await collect(generate(watched, prompt, options({ onPrefill: (done) => void seen.push(done) })));
      const fresh = await collect(generate(session(60), prompt, options()));
      expect(again).toEqual(fresh);
      const shared = sharedPrefix(held, prompt);
      expect(fed).toEqual(prompt.slice(shared));
      expect(seen.at(-1)).toBe(prompt.length);
      expect(shared).toBe([said.length - 1, 7, 2, 0][i]);
    }
  });

  it("shares a prefix that leaves the last id of both to be fed", () => {
    const ids = fc.array(fc.nat(3), { maxLength: 8 });
    fc.assert(
      fc.property(ids, ids, (held, prompt) => {
        const shared = sharedPrefix(held, prompt);
        expect(held.slice(0, shared)).toEqual(prompt.slice(0, shared));
        const most = Math.max(Math.min(held.length, prompt.length) - 1, 0);
        expect(shared === most || held[shared] !== prompt[shared]).toBe(true);
      }),
    );
  });

  it.each([
    [
      "temperature",
      { sampling: { ...greedy, temperature: "0.5" } },
      /sampling: temperature has the wrong type, expected a number, got "0.5"/,
    ],
    ["seed", { sampling: { ...greedy, seed: 1 } }, /seed has the wrong type, expected a bigint/],
    ["stop", { stop: null }, /stop has the wrong type, expected an array of strings/],
    ["stop", { stop: "a" }, /stop has the wrong type/],
    ["stop ids", { stopIds: new Set([1.5]) }, /a stop id, expected a token id, got 1.5/],
    ["alternatives", { topLogprobs: Number.NaN }, /topLogprobs, expected a whole number/],
    ["limit", { maxNewTokens: "5" }, /max-new-tokens has the wrong type/],
    ["signal", { signal: {} }, /signal has the wrong type/],
    ["callback", { onPrefill: 3 }, /onPrefill has the wrong type/],
  ])("refuses a %s of the wrong type", async (_, wrong, about) => {
    const error = await generate(session(), [1], options(wrong as never))
      .next()
      .then(
        () => null,
        (thrown: unknown) => thrown,
      );
    expect(error).toMatchObject({ code: "usage", message: expect.stringMatching(about) });
  });

  it("refuses a limit that is no positive whole number", async () => {
    await expect(generate(session(), [1], options({ maxNewTokens: 0 })).next()).rejects.toMatchObject({ code: "range" });
    await expect(generate(session(), [1], options({ maxNewTokens: 1 })).next()).resolves.toMatchObject({ done: false });
  });
});
