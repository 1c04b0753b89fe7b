import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  expectAttention,
  expectAwqMatmul,
  expectMatmul,
  expectRmsNorm,
  expectRope,
  expectSiluMul,
  f64,
  rotationTable,
  throughAdd,
  throughAttention,
  throughLinear,
  throughRmsNorm,
  throughRope,
  throughSiluMul,
} from "../../accuracy.ts";
import { uniform } from "../../arbitraries.ts";
import type { AnyKit } from "../../kit.ts";
import { kitOf } from "../../laws.ts";

/** x moved by up to 2⁻¹⁵ of itself, and by how much. */
function moved(x: Float32Array, seed: number): { x: Float32Array; e: Float64Array } {
  const next = uniform(seed);
  const other = x.map((v) => v * (1 + (next() - 0.5) * 2 ** -14));
  return { x: other, e: Float64Array.from(other, (v, i) => Math.abs(v - x[i]!)) };
}

const none = (length: number): Float64Array => new Float64Array(length);

/** The change of each value is within its bound, to first order: terms of second order get a share of it. */
function holds(before: Float64Array, after: Float64Array, bound: Float64Array): void {
  const scale = Math.max(...before.map(Math.abs), ...bound);
  for (let i = 0; i < before.length; i++)
    expect(Math.abs(after[i]! - before[i]!), `element ${i}`).toBeLessThanOrEqual(bound[i]! * (1 + 2 ** -8) + scale * 2 ** -45);
}

/** Cases of a kit with tame data and its shapes. */
const cases = (name: string): fc.Arbitrary<{ c: ReturnType<AnyKit["make"]>; seed: number }> =>
  fc.record({ spec: kitOf(name).spec, seed: fc.nat(0xffff) }).map(({ spec, seed }) => {
    const tame: Record<string, unknown> = {};
    for (const [key, value] of Object.entries(spec as Record<string, unknown>))
      tame[key] =
        value !== null && typeof value === "object" && "exponent" in value
          ? { kind: "normal", exponent: -1, seed: seed + key.length }
          : value;
    return { c: kitOf(name).make(tame), seed };
  });

const run = (arbitrary: ReturnType<typeof cases>, body: (c: ReturnType<AnyKit["make"]>, seed: number) => void): void =>
  fc.assert(
    fc.property(arbitrary, ({ c, seed }) => body(c, seed)),
    { numRuns: 60, seed: 7 },
  );

describe("an error in the inputs moves the result by no more than its composed bound", () => {
  it("through a dense linear", () =>
    run(cases("matmul"), (c, seed) => {
      const { x, e } = moved(c.x, seed);
      const of = (rows: Float32Array): Float64Array => expectMatmul(rows, c.weight, c.bias, c.T, f64).value;
      holds(of(c.x), of(x), throughLinear(e, c.weight, none(c.T * c.weight.outFeatures), c.T));
    }));

  it("through an AWQ linear", () =>
    run(cases("awq-matmul"), (c, seed) => {
      const { x, e } = moved(c.x, seed);
      const of = (rows: Float32Array): Float64Array => expectAwqMatmul(rows, c.weight, c.bias, c.T, f64, false).value;
      holds(of(c.x), of(x), throughLinear(e, c.weight, none(c.T * c.weight.outFeatures), c.T));
    }));

  it("through a norm", () =>
    run(cases("rms-norm"), (c, seed) => {
      const { x, e } = moved(c.x, seed);
      const of = (rows: Float32Array): Float64Array => expectRmsNorm(rows, c.weight, c.eps, c.T, f64).value;
      holds(of(c.x), of(x), throughRmsNorm(e, c.x, c.weight, c.eps, none(c.x.length), c.T));
    }));

  it("through a rotation", () =>
    run(cases("rope"), (c, seed) => {
      const { x, e } = moved(c.x, seed);
      const of = (rows: Float32Array): Float64Array =>
        expectRope(rows, rotationTable(c.rotation, c.start, c.T), c.start, c.T, c.heads, f64).value;
      holds(of(c.x), of(x), throughRope(e, c.tables, c.start, none(c.x.length), c.T, c.heads));
    }));

  it("through the gate", () =>
    run(cases("silu-mul"), (c, seed) => {
      const [gate, up] = [moved(c.gate, seed), moved(c.up, seed + 1)];
      const of = (g: Float32Array, u: Float32Array): Float64Array => expectSiluMul(g, u, c.length, f64).value;
      holds(of(c.gate, c.up), of(gate.x, up.x), throughSiluMul(gate.e, up.e, c.gate, c.up, none(c.length)));
    }));

  it("through attention", () =>
    run(cases("attention"), (c, seed) => {
      const [q, k, v] = [moved(c.q, seed), moved(c.k, seed + 1), moved(c.v, seed + 2)];
      const exact = expectAttention(c, f64, 0);
      const bound = throughAttention(q.e, k.e, v.e, c, f64, 0);
      holds(exact.value, expectAttention({ ...c, q: q.x, k: k.x, v: v.x }, f64, 0).value, bound);
      for (let i = 0; i < bound.length; i++) expect(bound[i]!).toBeGreaterThanOrEqual(exact.bound[i]!);
    }));

  it("through an addition", () => {
    expect(throughAdd(Float64Array.of(1, 2), Float64Array.of(10, 20), Float64Array.of(100, 200))).toEqual(Float64Array.of(111, 222));
  });
});
