/** Where the time of a token goes: parts that add up. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { formatTokenTimes } from "../../../bench/table.ts";
import { type Recorded, tokenTimeOf } from "../../../bench/token-time.ts";

describe("a token", () => {
  const share = fc.double({ min: 0, max: 1, noNaN: true });
  /** A run as it is measured: what the host does, one thing after the other, and what the device does both lie within its wall time. */
  const run = fc.record({ wallMs: fc.double({ min: 0.01, max: 1e4, noNaN: true }), host: share, submitted: share, busy: share });
  const profile = fc.record({
    runs: fc.array(run, { minLength: 1, maxLength: 5 }),
    /** A run of one token, which may have met a pause longer than all the others. */
    firstMs: fc.double({ min: 0.01, max: 1e6, noNaN: true }),
    perToken: fc.array(fc.tuple(fc.double({ min: 1e-3, max: 10, noNaN: true }), fc.integer({ min: 1, max: 48 })), {
      minLength: 1,
      maxLength: 9,
    }),
    count: fc.integer({ min: 1, max: 64 }),
    first: fc.integer({ min: 0, max: 2 }),
  });
  const recordedOf = (tokens: number, dispatches: number, wallMs: number, host: number, submitted: number, busy: number): Recorded => ({
    ...{ wallMs, encodeMs: wallMs * host * (1 - submitted), submitMs: wallMs * host * submitted, gpuMs: wallMs * busy },
    ...{ passes: tokens, submissions: 1, dispatches, kernels: new Map() },
  });

  it("has parts of one run, that of median wall time: they add up, and the device is not busy for longer", () => {
    fc.assert(
      fc.property(profile, ({ runs, firstMs, perToken, count, first }) => {
        const each = perToken.reduce((sum, [, n]) => sum + n, 0);
        const all = runs.map(({ wallMs, host, submitted, busy }) =>
          recordedOf(count + 1, each * count + first, wallMs, host, submitted, busy),
        );
        const kernelsOf = (tokens: number): Recorded["kernels"] =>
          new Map(
            perToken
              .map(([ms, n], i) => [`k${i}`, n * tokens + (i === 0 ? first : 0), ms] as const)
              .filter(([, n]) => n > 0)
              .map(([name, n, ms]) => [name, { ms: ms * n, dispatches: n }]),
          );
        const alone = { all: kernelsOf(count), first: kernelsOf(0) };
        const time = tokenTimeOf(7, count, { all, first: recordedOf(1, first, firstMs, 1, 0.5, 1) }, alone);
        const close = (a: number, b: number) => expect(Math.abs(a - b)).toBeLessThanOrEqual(1e-9 * Math.max(1, Math.abs(b)));
        close(time.encodeMs + time.submitMs + time.waitMs, time.wallMs);
        for (const ms of [time.encodeMs, time.submitMs, time.waitMs]) expect(ms).toBeGreaterThanOrEqual(-1e-9 * time.wallMs);
        expect(time.gpuMs).toBeLessThanOrEqual(time.wallMs * (1 + 1e-12));
        const walls = runs.map(({ wallMs }) => wallMs / count);
        expect(walls).toContain(time.wallMs);
        expect(2 * walls.filter((ms) => ms < time.wallMs).length).toBeLessThanOrEqual(walls.length);
        expect(2 * walls.filter((ms) => ms > time.wallMs).length).toBeLessThanOrEqual(walls.length);
        expect(time.dispatches).toBe(each);
        expect(time.kernels.reduce((sum, { dispatches }) => sum + dispatches, 0)).toBe(each);
        for (const { kernel, ms, dispatches } of time.kernels) close(ms, perToken[Number(kernel.slice(1))]![0] * dispatches);
      }),
    );
  });

  it("keeps its wall time where the run of one token met a pause of half of the others'", () => {
    const runs = [96, 97, 95.5].map((wallMs) => recordedOf(33, 33, wallMs, 0.5, 0.3, 0.98));
    const time = tokenTimeOf(2048, 32, { all: runs, first: recordedOf(1, 1, 44, 0.01, 0.3, 0) });
    expect(time.wallMs).toBe(3);
    expect(time.gpuMs).toBeCloseTo(2.94, 9);
    expect(time.kernels).toEqual([]);
  });

  it("is printed so that its numbers can be added: parts to the wall time, kernels to a last line", () => {
    const kernels = [
      { kernel: "a", ms: 3, dispatches: 40 },
      { kernel: "b", ms: 1, dispatches: 4 },
    ];
    const text = formatTokenTimes([{ depth: 5, wallMs: 10, encodeMs: 1, submitMs: 2, waitMs: 7, gpuMs: 6, dispatches: 44, kernels }]);
    expect(text).toContain("a token at 5: wall 10.00 ms = encode 1.000 ms + submit 2.000 ms + wait 7.000 ms; gpu 6.000 ms; 44 dispatches");
    expect(text).toMatch(/^ {2}a +3\.000 ms +75 % +40$/m);
    expect(text).toMatch(/^ {2}all +4\.000 ms +100 % +44$/m);
  });
});
