/** The rules of a session's use, for every backend: what is out of order is a usage error by name. */
import { expect, it } from "vitest";
import type { Model, Session } from "../../core/model/engine.ts";
import { greedy } from "../../core/sample/sampler.ts";

export function sessionLaws(load: () => Promise<Model>): void {
  const usage = (about: RegExp) => expect.objectContaining({ code: "usage", message: expect.stringMatching(about) });
  const thrown = (body: () => unknown): unknown => {
    try {
      body();
    } catch (error) {
      return error;
    }
    return null;
  };
  const fed = async (): Promise<Session> => {
    const session = (await load()).createSession(16);
    await session.prefill([1, 2, 3]);
    return session;
  };

  it("refuses a second call while one runs, and takes it afterwards", async () => {
    const session = await fed();
    const running = session.decode(greedy, 4);
    const truncated = thrown(() => session.truncate(0));
    const calls = await Promise.allSettled([session.decode(greedy, 1), session.prefill([1]), session.forward([1])]);
    for (const [i, name] of ["decode", "prefill", "forward"].entries())
      expect(calls[i]).toMatchObject({
        status: "rejected",
        reason: usage(new RegExp(`^${name}: decode is still running on this session — await it first, or use another session`)),
      });
    expect(truncated).toEqual(usage(/^truncate: decode is still running/));
    const { ids } = await running;
    expect(ids).toHaveLength(4);
    expect(session.ids).toEqual([1, 2, 3, ...ids]);
    session.truncate(2);
    await session.prefill([5]);
    expect(session.ids).toEqual([1, 2, 5]);
    session.dispose();
  });

  it("is usable again after a call that failed", async () => {
    const session = await fed();
    await expect(session.prefill([-1])).rejects.toMatchObject({ code: "range" });
    await session.prefill([4]);
    expect((await session.decode(greedy, 1)).ids).toHaveLength(1);
    session.dispose();
  });

  it("tells how many ids forward has fed, up to all of them, whatever is asked for", async () => {
    const model = await load();
    const n = Math.min(200, model.config.maxPositionEmbeddings);
    const ids = Array.from({ length: n }, (_, i) => 1 + (i % 5));
    for (const options of [{}, { logits: "all" as const }, { trace: ["finalNorm"] }]) {
      const session = model.createSession(n);
      const told: number[] = [];
      await session.forward(ids, { ...options, onProgress: async (done) => void told.push(done) });
      session.dispose();
      expect(told).toEqual([...new Set(told)].sort((a, b) => a - b));
      expect(told.at(-1)).toBe(n);
      expect(told.every((done) => done > 0)).toBe(true);
    }
    const session = model.createSession(n);
    await expect(session.forward([1], { onProgress: 5 as never })).rejects.toMatchObject({ code: "usage" });
    session.dispose();
  });

  it("refuses everything after it was disposed of, which it may be twice", async () => {
    const session = await fed();
    session.dispose();
    session.dispose();
    const gone = usage(/the session was disposed — create another/);
    await expect(session.prefill([1])).rejects.toEqual(gone);
    await expect(session.forward([1])).rejects.toEqual(gone);
    await expect(session.decode(greedy, 1)).rejects.toEqual(gone);
    expect(thrown(() => session.truncate(0))).toEqual(gone);
  });

  it("forks into one that goes on as it would itself, apart from it, and outlives it", async () => {
    for (const decoded of [0, 3]) {
      const session = await fed();
      const before = decoded === 0 ? [1, 2, 3] : [1, 2, 3, ...(await session.decode(greedy, decoded)).ids];
      const [same, other] = [await session.fork(), await session.fork()];
      expect(same.ids).toEqual(before);
      expect(same.model).toBe(session.model);
      await other.prefill([4]);
      const { ids, logprobs } = await session.decode(greedy, 4);
      const afterwards = await session.fork();
      session.dispose();
      expect(await same.decode(greedy, 4)).toEqual({ ids, logprobs });
      const { logits } = await afterwards.forward([5]);
      expect((await same.forward([5])).logits).toEqual(logits);
      // What the other one was fed is as if it had been fed to a session that never forked.
      const plain = (await load()).createSession(16);
      await plain.prefill(before.slice(0, 3));
      if (decoded > 0) await plain.decode(greedy, decoded);
      await plain.prefill([4]);
      expect((await other.forward([5])).logits).toEqual((await plain.forward([5])).logits);
      for (const fork of [same, other, afterwards, plain]) fork.dispose();
    }
  });

  it("forks before anything is fed, and not while a call runs or after its end", async () => {
    const session = (await load()).createSession(16);
    const empty = await session.fork();
    await empty.prefill([1, 2, 3]);
    await session.prefill([1, 2, 3]);
    expect((await empty.decode(greedy, 2)).ids).toEqual((await session.decode(greedy, 2)).ids);
    const running = session.decode(greedy, 1);
    await expect(session.fork()).rejects.toEqual(usage(/^fork: decode is still running on this session/));
    await running;
    session.dispose();
    await expect(session.fork()).rejects.toEqual(usage(/^fork: the session was disposed/));
    empty.dispose();
  });

  it("refuses lengths, counts and sizes that are none, and options of the wrong type", async () => {
    const session = await fed();
    for (const length of [-1, 1.5, Number.NaN, "1" as never])
      expect(thrown(() => session.truncate(length))).toEqual(usage(/^truncate: length, expected a whole number from 0, got/));
    const beyond = expect.objectContaining({ code: "range", message: "truncate: length, expected at most 3, the ids held, got 4" });
    expect(thrown(() => session.truncate(4))).toEqual(beyond);
    await expect(session.decode(greedy, Number.NaN)).rejects.toEqual(usage(/^decode: count, expected a whole number from 0, got NaN/));
    await expect(session.decode({ ...greedy, temperature: "1" as never }, 1)).rejects.toEqual(usage(/temperature has the wrong type/));
    await expect(session.decode({ ...greedy, seed: 3 as never }, 1)).rejects.toEqual(
      usage(/seed has the wrong type, expected a bigint, got number/),
    );
    expect(session.ids).toEqual([1, 2, 3]);
    for (const size of [0, -1, Number.NaN, 2.5])
      expect(thrown(() => session.model.createSession(size))).toEqual(usage(/^session: maxContext, expected a whole number from 1, got/));
    session.dispose();
  });
}
