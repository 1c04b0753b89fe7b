/** Every gradient of a layer, in f64, against what the loss does when a number moves. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { LlamaConfig } from "../../../../../core/config.ts";
import { linearParts, makeLayer } from "../../../../../core/model/layer.ts";
import { ropeTables } from "../../../../../core/ops/rope.ts";
import { distil } from "../../../../../core/quant/train/backward.ts";
import { backward, forward, type TrainedLayer } from "../../../../../core/quant/train/layer.ts";
import type { Floats, Numbers } from "../../../../../core/quant/train/numbers.ts";
import { numbers } from "../../../fixtures/random-model.ts";

const doubles: Numbers = {
  make: (length) => new Float64Array(length),
  product(x, y, rows, N, K) {
    const out = new Float64Array(rows * N);
    for (let r = 0; r < rows; r++)
      for (let n = 0; n < N; n++) for (let k = 0; k < K; k++) out[r * N + n] = out[r * N + n]! + x[r * K + k]! * y[n * K + k]!;
    return out;
  },
};

const random = (next: () => number, length: number, size = 1): Float64Array => Float64Array.from({ length }, () => size * next());

const shapes = fc.record({
  groups: fc.constantFrom(1, 2),
  perGroup: fc.constantFrom(1, 3),
  qkNorm: fc.boolean(),
  biases: fc.boolean(),
  window: fc.constantFrom(null, 2),
  lengths: fc.constantFrom([5], [3, 1, 4]),
  seed: fc.nat(),
});

/** ∂f of one number of `values`, by a step either way. */
function slope(values: Floats, i: number, f: () => number): number {
  const step = 1e-5;
  const before = values[i]!;
  values[i] = before + step;
  const up = f();
  values[i] = before - step;
  const down = f();
  values[i] = before;
  return (up - down) / (2 * step);
}

/** The scale of errors is that of the largest gradient: small ones are differences of large sums. */
function expectSlopes(gradient: Floats, values: Floats, f: () => number, seed: number): void {
  const largest = Math.max(...gradient.map(Math.abs));
  const next = numbers(seed);
  for (let i = 0; i < Math.min(6, values.length); i++) {
    const at = Math.min(values.length - 1, Math.floor(((next() + 1) / 2) * values.length));
    expect(Math.abs(gradient[at]! - slope(values, at, f))).toBeLessThan(1e-7 * (1 + largest));
  }
}

describe("the way back through a layer", () => {
  it("gives every weight, norm and input the slope that the loss has there", () => {
    fc.assert(
      fc.property(shapes, ({ groups: G, perGroup, qkNorm, biases, window, lengths, seed }) => {
        const next = numbers(seed);
        const [Hd, D, F] = [4, 6, 5];
        const H = G * perGroup;
        const config = {
          hiddenSize: D,
          intermediateSize: F,
          numAttentionHeads: H,
          numKeyValueHeads: G,
          headDim: Hd,
          rmsNormEps: 1e-5,
          slidingWindow: window,
          ropeTheta: 100,
          ropeScaling: { type: "none" },
          maxPositionEmbeddings: 16,
        } as unknown as LlamaConfig;
        const layer: TrainedLayer = makeLayer(
          ({ outFeatures, inFeatures }) => {
            const [N, K] = [outFeatures(config), inFeatures(config)];
            return { W: random(next, N * K), bias: biases ? random(next, N) : null, N, K };
          },
          ({ name, length }) =>
            qkNorm || !(name === "qNorm" || name === "kNorm") ? random(next, length(config), 0.3).map((w) => 1 + w) : null,
        );
        const T = lengths.reduce((sum, length) => sum + length, 0);
        const x = random(next, T * D);
        const asked = random(next, T * D);
        const tables = ropeTables(config, 8);
        const loss = (): number =>
          (forward(doubles, config, layer, tables, x, lengths).out as Float64Array).reduce((sum, y, i) => sum + y * asked[i]!, 0);
        const { kept } = forward(doubles, config, layer, tables, x, lengths);
        const { dx, gradients } = backward(doubles, config, layer, tables, kept, lengths, asked);
        expectSlopes(dx, x, loss, seed);
        for (const { name } of linearParts) expectSlopes(gradients[name], layer[name].W, loss, seed);
        for (const name of ["inputLayernorm", "postAttentionLayernorm", "qNorm", "kNorm"] as const) {
          const weight = layer[name];
          expect(gradients[name] === null).toBe(weight === null);
          if (weight) expectSlopes(gradients[name]!, weight, loss, seed);
        }
      }),
      { numRuns: 12 },
    );
  });

  it("of a divergence is the difference of the two distributions", () => {
    fc.assert(
      fc.property(fc.nat(), fc.constantFrom(1, 7), (seed, V) => {
        const next = numbers(seed);
        const [z, base] = [random(next, 3 * V, 4), random(next, 3 * V, 4)];
        const gradient = z.slice();
        const total = distil(gradient, base, 3, V);
        expect(total).toBeGreaterThanOrEqual(-1e-12);
        expect(distil(base.slice(), base, 3, V)).toBeCloseTo(0, 12);
        expectSlopes(gradient, z, () => distil(z.slice(), base, 3, V), seed);
      }),
      { numRuns: 20 },
    );
  });
});
