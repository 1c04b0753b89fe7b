/** The dispatch between dense and AWQ: which op runs is all that can be wrong. */
import * as fc from "fast-check";
import { linear } from "../../core/ops/linear.ts";
import type { Linear } from "../../core/tensor.ts";
import { expectAwqMatmul, expectMatmul } from "../accuracy.ts";
import { plain, type Recipe, recipe, values } from "../arbitraries.ts";
import { awqMatrix, awqSpec, denseMatrix } from "../cases/matrices.ts";
import { arithmeticOf, refuseShort } from "../cases/shared.ts";
import type { Kit } from "../kit.ts";

interface Spec {
  readonly T: number;
  readonly awq: boolean;
  readonly x: Recipe;
  readonly weight: Recipe;
  readonly bias: boolean;
  /** 64 where absent. */
  readonly K?: number;
}
export interface LinearCase {
  readonly T: number;
  readonly x: Float32Array;
  readonly linear: Linear;
}

const N = 24;

export const kit: Kit<Spec, LinearCase> = {
  name: "linear",
  formula: "matmul or awq-matmul, by what holds the weight",
  reference: { arithmetic: "f64", run: (c, out) => linear(out, c.x, c.linear, c.T) },
  spec: fc.record({ T: fc.integer({ min: 1, max: 4 }), awq: fc.boolean(), x: recipe(), weight: recipe(), bias: fc.boolean() }),
  boundaries: [true, false].flatMap((awq) => [true, false].map((bias) => ({ T: 2, awq, bias, x: plain, weight: plain }))),
  reach: [true, false].map((awq) => ({ T: 1, awq, bias: true, K: 14_336, x: plain, weight: plain })),
  make({ T, awq, x, weight, bias, K = 64 }) {
    const [some] = fc.sample(awqSpec, { numRuns: 1, seed: weight.seed });
    const matrix = awq ? awqMatrix(some!, K, N, 32) : denseMatrix(weight, "F16", N, K);
    return { T, x: values(x, T * K), linear: { weight: matrix, bias: bias ? values({ ...plain, seed: 9 }, N) : null } };
  },
  length: (c) => c.T * N,
  expected({ T, x, linear: { weight, bias } }, arithmetic) {
    const a = arithmeticOf(arithmetic);
    return weight.kind === "awq"
      ? expectAwqMatmul(x, weight, bias, T, a, arithmetic === "f32-folded")
      : expectMatmul(x, weight, bias, T, a);
  },
  laws: [],
  refusals: [refuseShort("x", (c) => ({ ...c, x: c.x.subarray(1) })), refuseShort("out", (c) => c, true)],
  dotLike: true,
};
