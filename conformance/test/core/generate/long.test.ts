/**
 * Generation in contexts of up to 131,072 positions, on a model whose logits are a function of the last two ids (fixtures/table-model.ts): what is
 * drawn, shared, guessed and cut off late is what a walk through the table gives. About 10 s.
 */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { promptLookup } from "../../../../core/generate/draft.ts";
import { type GenerateOptions, type GenerateResult, generate, type TokenEvent } from "../../../../core/generate/generate.ts";
import { generateAll } from "../../../../core/generate/generate-all.ts";
import type { Model, Session } from "../../../../core/model/engine.ts";
import { threefry } from "../../../../core/sample/random.ts";
import { argmax, greedy } from "../../../../core/sample/sampler.ts";
import { letters, plainOptions } from "../../fixtures/generating.ts";
import { arbitraryLongConfig, LONGEST, longIds, longModel, penalized } from "../../fixtures/long-model.ts";
import { tableModel } from "../../fixtures/table-model.ts";

const V = 16;
const options = plainOptions;

/** Logits after two ids, as the table says. */
const after = (seed: number, before: number, last: number): number[] =>
  Array.from({ length: V }, (_, id) => Math.fround((threefry(seed, before, last, id)[0] * 2 ** -32 * 2 - 1) * 4));

/** The next `count` ids by the table, each seen id penalized. */
function walk(seed: number, prompt: readonly number[], count: number, penalty = 1): number[] {
  const all = [...prompt];
  const seen = new Set(prompt);
  const next = new Map<number, number>();
  for (let n = 0; n < count; n++) {
    const [before, last] = [all.at(-2) ?? 0, all.at(-1)!];
    let id = penalty === 1 ? next.get(before * V + last) : undefined;
    if (id === undefined) {
      id = argmax(penalized(Float32Array.from(after(seed, before, last)), [...seen], penalty));
      next.set(before * V + last, id);
    }
    all.push(id);
    seen.add(id);
  }
  return all.slice(prompt.length);
}

const prompts = (salt: number, length: number, distinct = V): number[] =>
  Array.from({ length }, (_, i) => threefry(salt, 1, i, 3)[0] % distinct);
const isSame = (a: readonly number[], b: readonly number[]): boolean => a.length === b.length && a.every((id, i) => id === b[i]);

async function run(
  session: Session,
  prompt: readonly number[],
  given: GenerateOptions,
): Promise<{ events: TokenEvent[]; result: GenerateResult }> {
  const events: TokenEvent[] = [];
  const it = generate(session, prompt, { ...given, decoder: letters() });
  for (;;) {
    const step = await it.next();
    if (step.done) return { events, result: step.value };
    events.push(step.value);
  }
}

/** Lengths on both sides of where counts end. */
const lengths = fc
  .tuple(fc.constantFrom(70, 1000, 1024, 4096, 8192, 32_768, 65_536, 100_000, 130_000), fc.integer({ min: -40, max: 40 }))
  .map(([at, by]) => at + by);

describe("generation in a long context", () => {
  it.each([1, 8])("gives as many tokens as are asked for or fit, by batches of %d", async (decodeBatch) => {
    for (const [promptLength, maxNewTokens, maxContext] of [
      [70_000, 45_001, LONGEST],
      [66, 70_003, 70_070],
      [1, LONGEST, 66_000],
      [LONGEST - 3, 100, LONGEST],
    ] as const) {
      const prompt = prompts(1, promptLength);
      const count = Math.min(maxNewTokens, maxContext - promptLength);
      const session = tableModel(V, 5, { decodeBatch }).createSession(maxContext);
      const { events, result } = await run(session, prompt, options(maxNewTokens));
      expect(result.ids.length).toBe(count);
      expect(isSame(result.ids, walk(5, prompt, count))).toBe(true);
      expect(result.finishReason).toBe(count === maxNewTokens ? "length" : "context");
      expect(events.length).toBe(count);
      expect(result.text === result.ids.map((id) => String.fromCharCode(65 + id)).join("")).toBe(true);
      expect(session.ids.length).toBeLessThanOrEqual(maxContext);
      session.dispose();
    }
  });

  it("feeds again what the session does not hold, and nothing else: a difference anywhere, the same length or not", async () => {
    await fc.assert(
      fc.asyncProperty(lengths, lengths, lengths, fc.nat(1000), async (held, wanted, differsAt, salt) => {
        const fed: number[] = [];
        const session = tableModel(V, 6, { fed: (rows) => fed.push(rows) }).createSession(LONGEST);
        const first = prompts(salt, held);
        await session.prefill(first);
        const prompt = [...first, ...prompts(salt + 1, wanted)].slice(0, wanted);
        if (differsAt < wanted) prompt[differsAt] = (prompt[differsAt]! + 1) % V;
        const same = prompt.findIndex((id, i) => id !== first[i]);
        const shared = Math.min(same < 0 ? wanted : same, held - 1, wanted - 1);
        fed.length = 0;
        const { result } = await run(session, prompt, options(3));
        expect(isSame(result.ids, walk(6, prompt, 3))).toBe(true);
        // Two of the three tokens are fed: the last one need not be.
        expect(fed.reduce((sum, rows) => sum + rows, 0)).toBe(wanted - shared + 2);
        expect(isSame(session.ids.slice(0, wanted), prompt)).toBe(true);
      }),
      { numRuns: 25 },
    );
  });

  it.each([0, 2])("penalizes an id that was seen once, however long ago (alternatives: %d)", async (topLogprobs) => {
    for (const length of [40, 1100, 4097, 66_000, 130_000]) {
      // Ids from 8 on stand at the beginning alone; some never.
      const prompt = [9, 11, 14, ...prompts(2, length, 8)];
      for (const seed of [7, 8, 9]) {
        const session = tableModel(V, seed).createSession(LONGEST);
        const { result } = await run(session, prompt, options(12, { topLogprobs, sampling: { ...greedy, repetitionPenalty: 3 } }));
        expect(result.ids, `${length} seed ${seed}`).toEqual(walk(seed, prompt, 12, 3));
      }
    }
  });

  it("ends at the first stop id or stop string, however late, and shows all before it", async () => {
    for (const at of [1003, 4097, 65_540, 100_001]) {
      // The last id follows at one place alone.
      const model = tableModel(V, 3, { odd: 2 + at });
      const letter = String.fromCharCode(65 + V - 1);
      const byId = await run(model.createSession(LONGEST), [1, 2, 3], options(LONGEST, { stopIds: new Set([V - 1]) }));
      expect(byId.result.finishReason).toBe("stop");
      expect(byId.result.ids.length).toBe(at);
      const byText = await run(model.createSession(LONGEST), [1, 2, 3], options(LONGEST, { stop: ["ZZ", letter] }));
      expect(byText.result.finishReason).toBe("stop");
      expect(byText.result.ids.length).toBe(at + 1);
      expect(byText.result.text === byId.result.text && byText.events.map(({ text }) => text).join("") === byId.result.text).toBe(true);
    }
  });

  it("draws what it draws without guesses, whether they come from the text or from a model", async () => {
    for (const length of [60, 4090, 65_530, 120_000])
      for (const from of ["prompt", "draft"] as const) {
        const prompt = prompts(4, length, 5);
        const given = options(60, { sampling: { ...greedy, temperature: 0.4, seed: 3n, repetitionPenalty: 1.1 } });
        const maxContext = length + 50;
        const alone = await run(tableModel(5, 2).createSession(maxContext), prompt, given);
        const fed: number[] = [];
        const model = tableModel(5, 2, { fed: (rows) => fed.push(rows) });
        const speculate = from === "prompt" ? { from } : { from, draft: tableModel(5, 2) };
        const session = model.createSession(maxContext);
        const { result } = await run(session, prompt, { ...given, speculate });
        expect(result.ids).toEqual(alone.result.ids);
        expect(result.finishReason).toBe("context");
        const { passes, drafted, accepted } = result.speculation!;
        expect(accepted).toBeGreaterThan(0);
        if (from === "draft") expect(accepted).toBe(drafted);
        // Nothing is fed twice but what was guessed wrong.
        expect(fed.reduce((sum, rows) => sum + rows, 0)).toBe(length + passes + drafted);
        expect(isSame(session.ids, [...prompt, ...result.ids].slice(0, session.ids.length))).toBe(true);
      }
  });

  it("guesses by what followed the same ids, wherever that was", async () => {
    // A text without a repetition but one: its last two ids stood at one place before.
    for (const place of [3, 4095, 65_536, 90_000]) {
      const distinct = 100_000;
      const prompt = Array.from({ length: distinct }, (_, i) => i);
      const end = [...prompt, place, place + 1];
      expect(await promptLookup(3).propose(end, 4)).toEqual([place + 2, place + 3, place + 4, place + 5]);
    }
  });
});

describe("long sequences together", () => {
  it("give what each gives alone, each with its own cache and positions", async () => {
    const [config] = fc.sample(
      arbitraryLongConfig.filter(({ slidingWindow, ropeScaling }) => slidingWindow === null && ropeScaling.type === "dynamic"),
      { numRuns: 1, seed: 5 },
    );
    const long = longModel(config!, 4);
    const limit = LONGEST * 8; // dynamic scaling stretches it
    const given = [70_000, 5, 4097, 130_900, 63].map((length, i) => ({
      // The first ids are seen there alone: a penalty must know them.
      prompt: [1, 2, 3, 4].map((n) => config!.vocabSize - n).concat(longIds(config!, i, length)),
      options: options(9 + i, i % 2 === 0 ? { sampling: { ...greedy, repetitionPenalty: 1.4 } } : {}),
    }));
    for (const { prompt } of given) long.look.add(prompt.length - 1);
    const model: Model = long.model;
    const outcomes = await generateAll(model, given, { sequences: 3 });
    for (const [i, { prompt, options: own }] of given.entries()) {
      const outcome = outcomes[i]!;
      if (!outcome.ok) throw outcome.error;
      const known = [...prompt];
      for (const id of outcome.ids) {
        const logits = long.expected(known, Math.min(limit, prompt.length + own.maxNewTokens));
        expect(id, `sequence ${i}, position ${known.length}`).toBe(argmax(penalized(logits, known, own.sampling.repetitionPenalty)));
        known.push(id);
      }
      expect(outcome.ids).toHaveLength(own.maxNewTokens);
    }
  });
});
