import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { type Competitor, hostCompetitor, measure, type Plan } from "../../../bench/harness.ts";
import { makeRow } from "../../../bench/results.ts";
import { trendOf } from "../../../bench/statistics.ts";
import { formatRows } from "../../../bench/table.ts";

/** A clock that only work moves on, and competitors whose calls take as long as they say. */
function fakeWorld() {
  let now = 0;
  const log: { name: string; calls: number }[] = [];
  const competitor = (name: string, costMs: number, grainMs = 1, maxCalls = 1000): Competitor => ({
    name,
    timer: "host clock",
    grainMs,
    maxCalls,
    async sample(calls) {
      log.push({ name, calls });
      now += calls * costMs;
      return calls * costMs;
    },
  });
  return { clock: { now: () => now }, log, competitor };
}

const plan: Plan = { warmupMs: 10, minRounds: 3, maxRounds: 12, timeMs: 50 };
const costs = fc.array(fc.double({ min: 1e-3, max: 30, noNaN: true }), { minLength: 1, maxLength: 5 });

/** A device whose clock rises: each call takes from `from` times its cost down to once, over `risesMs` of its time. */
function risingWorld(from: number, risesMs: number) {
  let now = 0;
  const competitor: Competitor = {
    name: "rising",
    timer: "gpu timestamps",
    grainMs: 10,
    maxCalls: 1000,
    async sample(calls) {
      const cost = Math.max(1, from - ((from - 1) * now) / risesMs);
      now += calls * cost;
      return calls * cost;
    },
  };
  return { clock: { now: () => now }, competitor };
}

describe("a clock that rises", () => {
  const impatient: Plan = { warmupMs: 50, minRounds: 9, maxRounds: 9, timeMs: 1 };

  it("is waited for: the rounds begin once the times are flat", async () => {
    const { clock, competitor } = risingWorld(3, 1000);
    const [timing] = await measure([competitor], { ...impatient, flatMs: 5000 }, clock);
    expect(Math.max(...timing!.samplesMs)).toBeLessThanOrEqual(1.02);
    expect(trendOf(timing!.samplesMs)).toBeUndefined();
  });

  it("is said to move where it does not get flat in time, or is not waited for", async () => {
    for (const plan of [impatient, { ...impatient, flatMs: 500 }]) {
      const { clock, competitor } = risingWorld(5, 2000);
      const [timing] = await measure([competitor], plan, clock);
      const row = makeRow("kernels", timing!, {}, { operationsPerSecond: {} });
      expect(row.trend).toBeLessThan(-0.02);
      expect(formatRows([row])).toMatch(/ ↘ [\s\S]*the times still fell or rose while they were taken/);
    }
  });

  it("that is flat from the start costs eight samples and no more", async () => {
    const world = fakeWorld();
    await measure([world.competitor("flat", 1, 10)], { ...plan, warmupMs: 0, flatMs: 5000 }, world.clock);
    expect(world.log.filter(({ calls }) => calls === 10).length).toBeLessThanOrEqual(8 + plan.maxRounds);
  });
});

describe("the harness", () => {
  it("gives every competitor the same number of samples, taken in turns", async () => {
    await fc.assert(
      fc.asyncProperty(costs, async (list) => {
        const world = fakeWorld();
        const names = list.map((_, i) => `c${i}`);
        const timings = await measure(
          list.map((cost, i) => world.competitor(names[i]!, cost)),
          plan,
          world.clock,
        );
        const rounds = timings[0]!.samplesMs.length;
        expect(timings.map(({ samplesMs }) => samplesMs.length)).toEqual(list.map(() => rounds));
        const measured = world.log.slice(world.log.length - rounds * list.length).map(({ name }) => name);
        expect(measured).toEqual(Array.from({ length: rounds }, () => names).flat());
      }),
    );
  });

  it("reports the time of one call, whatever it costs", async () => {
    await fc.assert(
      fc.asyncProperty(costs, async (list) => {
        const world = fakeWorld();
        const timings = await measure(
          list.map((cost, i) => world.competitor(`c${i}`, cost)),
          plan,
          world.clock,
        );
        // One product and one quotient, each rounded.
        for (const [i, { samplesMs }] of timings.entries())
          for (const ms of samplesMs) expect(Math.abs(ms / list[i]! - 1)).toBeLessThanOrEqual(2 * Number.EPSILON);
      }),
    );
  });

  it("tells how far it is, from nothing to all, never backwards", async () => {
    await fc.assert(
      fc.asyncProperty(costs, async (list) => {
        const world = fakeWorld();
        const told: [number, number][] = [];
        await measure(
          list.map((cost, i) => world.competitor(`c${i}`, cost)),
          plan,
          world.clock,
          (done, total) => void told.push([done, total]),
        );
        const shares = told.map(([done, total]) => done / total);
        expect(shares).toEqual(shares.toSorted((a, b) => a - b));
        expect(shares[0]).toBe(0);
        expect(shares.at(-1)).toBe(1);
        expect(told.length).toBeGreaterThanOrEqual(list.length + 2);
      }),
    );
  });

  it("makes samples that outlast the timer's grain, as far as maxCalls allows", async () => {
    await fc.assert(
      fc.asyncProperty(costs, fc.integer({ min: 1, max: 5000 }), async (list, maxCalls) => {
        const world = fakeWorld();
        const timings = await measure(
          list.map((cost, i) => world.competitor(`c${i}`, cost, 2, maxCalls)),
          plan,
          world.clock,
        );
        for (const [i, { calls }] of timings.entries()) {
          expect(calls).toBeLessThanOrEqual(maxCalls);
          if (calls < maxCalls) expect(calls * list[i]! * (1 + 2 * Number.EPSILON)).toBeGreaterThanOrEqual(2);
        }
      }),
    );
  });

  it("warms up by time, and keeps to its rounds", async () => {
    await fc.assert(
      fc.asyncProperty(costs, async (list) => {
        const world = fakeWorld();
        const [timing] = await measure(
          list.map((cost, i) => world.competitor(`c${i}`, cost)),
          plan,
          world.clock,
        );
        const rounds = timing!.samplesMs.length;
        const warmup = world.log.slice(0, world.log.length - rounds * list.length);
        for (const [i, cost] of list.entries()) {
          const spent = warmup.filter(({ name }) => name === `c${i}`).reduce((sum, { calls }) => sum + calls * cost, 0);
          expect(spent * (1 + 1e3 * Number.EPSILON)).toBeGreaterThanOrEqual(plan.warmupMs);
        }
        expect(rounds).toBeGreaterThanOrEqual(plan.minRounds);
        expect(rounds).toBeLessThanOrEqual(plan.maxRounds);
      }),
    );
  });

  it("stops after a round once its time is up", async () => {
    const world = fakeWorld();
    const [timing] = await measure([world.competitor("slow", 1000)], plan, world.clock);
    expect(timing!.samplesMs).toHaveLength(plan.minRounds);
    const quick = fakeWorld();
    const [many] = await measure([quick.competitor("quick", 1e-3)], plan, quick.clock);
    expect(many!.samplesMs).toHaveLength(plan.maxRounds);
  });

  it("refuses a timer that gives no time", async () => {
    const world = fakeWorld();
    const stuck: Competitor = { ...world.competitor("stuck", 1), sample: async () => 0 };
    let ticks = 0;
    const running = { now: () => ++ticks };
    await expect(measure([stuck], plan, running)).rejects.toMatchObject({ code: "range", message: expect.stringContaining("stuck") });
  });

  it("awaits the calls of an asynchronous function one after the other", async () => {
    let running = 0;
    let most = 0;
    const { sample } = hostCompetitor("async", async () => {
      most = Math.max(most, ++running);
      await Promise.resolve();
      running--;
    });
    expect(await sample(50)).toBeGreaterThanOrEqual(0);
    expect(most).toBe(1);
  });
});
