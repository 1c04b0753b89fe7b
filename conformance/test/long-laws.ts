/**
 * Contexts as long as supported models have, to 131,072 positions, on models of a few hundred numbers (fixtures/long-model.ts), for every backend: what
 * a session gives at late positions is what its ids say, whatever it was fed in between, forgot or forked.
 */
import fc from "fast-check";
import { expect, it } from "vitest";
import type { LlamaConfig } from "../../core/config.ts";
import type { SamplingOptions, Session } from "../../core/model/engine.ts";
import { argmax, greedy } from "../../core/sample/sampler.ts";
import { arbitraryLongConfig, LONGEST, type LongModel, longIds, penalized } from "./fixtures/long-model.ts";

/** Lengths on both sides of where chunks, caches and 16-bit counts end. */
const lengths = fc.oneof(
  fc.integer({ min: 1, max: LONGEST - 200 }),
  fc
    .tuple(
      fc.constantFrom(64, 4096, 8192, 16_384, 32_768, 65_536, 98_304, 131_072 - 256),
      fc.oneof(fc.constantFrom(-1, 0, 0, 1), fc.integer({ min: -66, max: 66 })),
    )
    .map(([at, by]) => Math.max(1, at + by)),
);

/** Feeds, in one of a session's ways, and holds the logits that follow to the ids. */
async function feed(
  long: LongModel,
  session: Session,
  ids: readonly number[],
  how: "prefill" | "forward" | "all",
  chunk: number,
  drawn = false,
): Promise<void> {
  const { look, model } = long;
  // The id drawn last was not fed, and goes.
  const start = session.ids.length - (drawn ? 1 : 0);
  const V = model.config.vocabSize;
  const all = [...session.ids.slice(0, start), ...ids];
  look.clear();
  look.add(all.length - 1);
  const before = long.passes.length;
  if (how === "prefill") {
    const told: number[] = [];
    await session.prefill(ids, (done) => void told.push(done));
    expect(told).toEqual(Array.from({ length: Math.ceil(ids.length / chunk) }, (_, i) => Math.min(ids.length, (i + 1) * chunk)));
    expect(await session.logits()).toEqual(long.expected(all, session.maxContext));
  } else {
    // Of all rows: the first, one in the middle, the last.
    const rows = how === "all" ? [...new Set([0, ids.length >> 1, ids.length - 1])] : [ids.length - 1];
    for (const r of rows) look.add(start + r);
    const { logits } = await session.forward(ids, { logits: how === "all" ? "all" : "last" });
    expect(logits).toHaveLength((how === "all" ? ids.length : 1) * V);
    for (const r of rows.toReversed()) {
      const got = how === "all" ? logits.subarray(r * V, (r + 1) * V) : logits;
      expect(got, `row ${r}`).toEqual(long.expected(all.slice(0, start + r + 1), session.maxContext));
    }
  }
  expect(long.passes.slice(before).reduce((sum, T) => sum + T, 0)).toBe(ids.length);
  // Not toEqual: a diff of 131,072 numbers takes minutes.
  expect(session.ids.length === all.length && session.ids.every((id, i) => id === all[i])).toBe(true);
}

/**
 * Holds the log-probability of an id to logits: backends sum up in f64 or store f32; nothing here is further apart than
 * that.
 */
export function holdLogprob(got: number, logits: Float32Array, id: number): void {
  const most = Math.max(...logits);
  const logprob = logits[id]! - most - Math.log(logits.reduce((sum, l) => sum + Math.exp(l - most), 0));
  expect(Math.abs(got - logprob)).toBeLessThanOrEqual(2 ** -22 * Math.max(1, Math.abs(logprob)));
}

/** Decodes greedily and holds each id to the logits of those before it. @returns how many there are */
async function decode(long: LongModel, session: Session, count: number, penalty: number): Promise<number> {
  const sampling: SamplingOptions = { ...greedy, repetitionPenalty: penalty };
  const known = [...session.ids];
  const { ids, logprobs } = await session.decode(sampling, count);
  expect(ids).toHaveLength(Math.min(count, session.maxContext - known.length));
  for (const [i, id] of ids.entries()) {
    const logits = long.expected(known, session.maxContext);
    holdLogprob(logprobs[i]!, logits, id);
    expect(id, `position ${known.length}`).toBe(argmax(penalized(logits, known, penalty)));
    known.push(id);
  }
  return ids.length;
}

/**
 * A way through a whole context: logits of more rows than 4,096, a fork past 65,536 positions that goes on, and a
 * decode that meets the end. Drawn ways hardly ever do all of it. What this model draws repeats itself after seven ids,
 * not at once.
 */
const late = [
  { do: "feed", length: 6000, how: "all", whole: false },
  { do: "feed", length: 66_000, how: "prefill", whole: false },
  { do: "fork" },
  { do: "feed", length: 66_100, how: "prefill", whole: false },
  { do: "feed", length: LONGEST - 5, how: "prefill", whole: false },
  { do: "decode", length: 12, penalty: 1 },
  { do: "decode", length: 20, penalty: 1.5 },
] as const;
const whole: LlamaConfig = { ...fc.sample(arbitraryLongConfig, { numRuns: 1, seed: 4 })[0]!, slidingWindow: null };

export function longLaws(
  open: (config: LlamaConfig, seed: number) => LongModel | Promise<LongModel>,
  /** `chunk`: ids that a prompt is fed by, and its progress told. */
  { numRuns, chunk }: { readonly numRuns: number; readonly chunk: number },
): void {
  const step = fc.oneof(
    fc.record({
      do: fc.constant("feed" as const),
      length: lengths,
      how: fc.constantFrom("prefill", "prefill", "forward", "all"),
      /** Whether it is fed in whole chunks. */
      whole: fc.boolean(),
    }),
    fc.record({ do: fc.constant("decode" as const), length: fc.integer({ min: 1, max: 20 }), penalty: fc.constantFrom(1, 1.5) }),
    fc.record({ do: fc.constant("truncate" as const), length: lengths }),
    fc.record({ do: fc.constant("fork" as const) }),
  );

  it("gives what its ids say, whatever is fed, decoded, forgotten and forked", async () => {
    await fc.assert(
      fc.asyncProperty(
        arbitraryLongConfig,
        fc.nat(1e6),
        fc.oneof(fc.constant(LONGEST), lengths),
        lengths,
        fc.array(step, { minLength: 3, maxLength: 8 }),
        async (config, seed, maxContext, first, steps) => {
          const long = await open(config, seed);
          const sessions = [long.model.createSession(maxContext)];
          let salt = seed;
          const fill = async (session: Session, upTo: number, how: "prefill" | "forward" | "all", whole = false): Promise<void> => {
            const most = how === "all" ? 9000 : LONGEST;
            const wanted = Math.min(upTo, maxContext) - session.ids.length;
            // A few ids are seen early in the context and never again: a penalty must know them.
            const count = Math.min(wanted, most);
            const ids = longIds(config, ++salt, whole && count > 512 ? count - (count % 512) : count);
            if (session.ids.length === 0) for (let i = 0; i < 4 && i < ids.length; i++) ids[i] = config.vocabSize - 1 - i;
            if (ids.length > 0) await feed(long, session, ids, how, chunk);
          };
          await fill(sessions[0]!, first, "prefill");
          for (const [i, one] of steps.entries()) {
            const session = sessions[i % sessions.length]!;
            if (one.do === "feed") await fill(session, one.length, one.how as "prefill", one.whole);
            else if (one.do === "truncate") {
              session.truncate(Math.min(one.length, session.ids.length));
              await fill(session, session.ids.length + 1 + (i % 3), "prefill");
            } else if (one.do === "fork") {
              if (sessions.length < 3) sessions.push(await session.fork());
            } else if (session.ids.length < maxContext) {
              // What was drawn last may not have been fed; decoding after a truncation wants logits.
              await fill(session, session.ids.length + 1, "prefill");
              // A second call goes on where the first ended.
              let drawn = 0;
              for (const count of [one.length, 1 + (i % 4)]) drawn += await decode(long, session, count, one.penalty);
              if (drawn > 0 && i % 2 === 0) await feed(long, session, longIds(config, ++salt, 1), "prefill", chunk, true);
              else {
                session.truncate(session.ids.length - 1);
                await fill(session, session.ids.length + 1, "forward");
              }
            }
          }
          for (const session of sessions) session.dispose();
        },
      ),
      { numRuns, seed: 20261126, endOnFailure: true, examples: [[whole, 2, LONGEST, 1, [...late]]] },
    );
  }, 240_000);
}
