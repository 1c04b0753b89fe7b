import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { SamplingOptions } from "../../../core/model/engine.ts";
import { uniformAt } from "../../../core/sample/random.ts";
import { greedy, penalize, sample } from "../../../core/sample/sampler.ts";
import { isNearTie } from "../../accuracy/near-tie.ts";

const logs = (...shares: number[]): Float32Array => Float32Array.from(shares, Math.log);
const random: SamplingOptions = { ...greedy, temperature: 1 };

describe("a near tie", () => {
  it("is the only way in which logits that agree draw differently", () => {
    let settled = 0;
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.integer({ min: -12, max: 12 }), fc.double({ min: -1, max: 1, noNaN: true })), { minLength: 1, maxLength: 30 }),
        fc.record({
          temperature: fc.constantFrom(0, 0.5, 1, 2),
          topK: fc.nat(32),
          topP: fc.constantFrom(0.1, 0.5, 0.9, 1),
          minP: fc.constantFrom(0, 0.05, 0.5, 1),
          repetitionPenalty: fc.constant(1),
          seed: fc.bigInt({ min: 0n, max: 1n << 40n }),
        }),
        fc.constantFrom(1e-3, 1e-2, 0.1),
        fc.double({ min: 0, max: 0.2, noNaN: true }),
        (values, options, delta, step) => {
          // A step smaller than delta makes values that are near one another, and near ties.
          const logits = Float32Array.from(values, ([n]) => n * (0.2 + step));
          const most = delta * (options.temperature === 0 ? 1 : options.temperature) * 0.99;
          const other = Float32Array.from(values, ([, away], i) => logits[i]! + away * most);
          const position = values.length;
          if (isNearTie(logits, options, uniformAt(options.seed, position), delta)) return;
          settled++;
          expect(sample(other, options, [], position)).toBe(sample(logits, options, [], position));
        },
      ),
      { numRuns: 3000 },
    );
    expect(settled).toBeGreaterThan(500);
  });

  it("stays one for every larger difference", () => {
    fc.assert(
      fc.property(
        fc.float32Array({ minLength: 1, maxLength: 20, noNaN: true, min: -5, max: 5 }),
        fc.record({
          temperature: fc.constantFrom(0, 1),
          topK: fc.nat(8),
          topP: fc.constantFrom(0.7, 1),
          minP: fc.constantFrom(0, 0.1),
          repetitionPenalty: fc.constant(1),
          seed: fc.constant(0n),
        }),
        fc.double({ min: 0, max: 0.999, noNaN: true }),
        fc.double({ min: 0, max: 0.2, noNaN: true }),
        (logits, options, u, delta) => {
          if (isNearTie(logits, options, u, delta / 2)) expect(isNearTie(logits, options, u, delta)).toBe(true);
        },
      ),
    );
  });

  it.each<[string, Float32Array, Partial<SamplingOptions>, number, boolean]>([
    ["greedy: the best two", Float32Array.of(1, 3, 3.001), { temperature: 0 }, 0, true],
    ["greedy: no second best", Float32Array.of(1, 2.9, 3.001), { temperature: 0 }, 0, false],
    ["greedy: one id", Float32Array.of(1), { temperature: 0 }, 0, false],
    ["top-k: across the border", logs(0.5, 0.2502, 0.2498), { topK: 2 }, 0.2, true],
    ["top-k: on one side of it", logs(0.5, 0.2502, 0.2498), { topK: 3 }, 0.2, false],
    ["top-p: the share before the last kept", logs(0.5, 0.3, 0.2), { topP: 0.501 }, 0.2, true],
    ["top-p: the share with the last kept", logs(0.5, 0.3, 0.2), { topP: 0.799 }, 0.2, true],
    ["top-p: who is the last kept", logs(0.5, 0.2502, 0.2498), { topP: 0.6 }, 0.2, true],
    ["top-p: between the shares", logs(0.5, 0.3, 0.2), { topP: 0.6 }, 0.2, false],
    ["top-p: all are kept", logs(0.5, 0.3, 0.2), { topP: 0.9999 }, 0.2, false],
    ["top-p: one is kept", logs(0.5, 0.3, 0.2), { topP: 0.0001 }, 0.2, false],
    ["min-p: at the border", logs(0.5, 0.3, 0.2), { minP: 0.4001 }, 0.1, true],
    ["min-p: away from it", logs(0.5, 0.3, 0.2), { minP: 0.5 }, 0.1, false],
    ["draw: after an end", logs(0.5, 0.3, 0.2), {}, 0.5005, true],
    ["draw: before an end", logs(0.5, 0.3, 0.2), {}, 0.7995, true],
    ["draw: inside", logs(0.5, 0.3, 0.2), {}, 0.6, false],
    ["draw: 0 is no border", logs(0.5, 0.3, 0.2), {}, 0, false],
    ["draw: 1 is no border", logs(0.5, 0.3, 0.2), {}, 0.99999, false],
  ])("at a difference of 1e-3: %s", (_, logits, options, u, expected) => {
    expect(isNearTie(logits, { ...random, ...options }, u, 1e-3)).toBe(expected);
  });

  it("is judged on penalized scores", () => {
    const logits = Float32Array.of(2, 1.2, 0.5);
    expect(isNearTie(logits, greedy, 0, 0.05)).toBe(false);
    penalize(logits, [0], 1.65);
    expect(isNearTie(logits, greedy, 0, 0.05)).toBe(true);
  });
});
