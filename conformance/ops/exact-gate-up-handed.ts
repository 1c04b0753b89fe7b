/**
 * gate_proj and up_proj of `exact` as exact-gate-up.ts has them, some behind a norm, and behind their products the largest of each part of them, which a
 * workgroup makes: equality with the CPU.
 */
import * as fc from "fast-check";
import { rmsNorm } from "../../core/exact/norm.ts";
import { nearest } from "../../core/exact/numbers.ts";
import { F32_MAX } from "../accuracy.ts";
import type { Recipe } from "../arbitraries.ts";
import { equalWords, exactRecipe, exactRecipes, exactValues, wordsOf } from "../cases/exact.ts";
import { usualAwq } from "../cases/matrices.ts";
import type { Kit } from "../kit.ts";
import { EDGES_SHAPE, type ExactGateUpCase, kit as gateUp, products } from "./exact-gate-up.ts";
import { topsOf } from "./exact-handed-digits.ts";

type GateUpSpec = typeof gateUp extends Kit<infer Spec, ExactGateUpCase> ? Spec : never;
/**
 * `outlier`: the output whose biases, where there are any, are far above the others', of this sign; `scale`: of a norm before, null where there is none;
 * `each`: outputs of a workgroup where it is not EACH.
 */
type Spec = GateUpSpec & Readonly<{ outlier: number | null; sign: 1 | -1; size: number; scale: Recipe | null; each?: number }>;
export interface ExactHandedGateUpCase extends ExactGateUpCase {
  readonly each: number;
  readonly norm: Readonly<{ scale: Float32Array; eps: number }> | null;
}

/** Outputs of a workgroup, as many as four teams have room for; and so many that there is more than one for each of the words that take their largest. */
const EACH = 32;
const MANY = 80;

const words = ({ norm, each, ...c }: ExactHandedGateUpCase): Uint32Array => {
  const x = c.x.slice();
  if (norm) rmsNorm(x, c.x, norm.scale, norm.eps, 1);
  const row = products({ ...c, x });
  return Uint32Array.from([...wordsOf(row), ...wordsOf(topsOf(row, each))]);
};

export const kit: Kit<Spec, ExactHandedGateUpCase> = {
  name: "exact-gate-up-handed",
  formula: "y = mul(silu(linear(x, gate)), linear(x, up)); the largest |y| of each part",
  spec: fc
    .tuple(gateUp.spec, fc.option(fc.nat(39)), fc.constantFrom<1 | -1>(1, -1), fc.constantFrom(1e3, 1e12, F32_MAX), fc.option(exactRecipe))
    .map(([spec, outlier, sign, size, scale]) => ({ ...spec, outlier, sign, size, scale })),
  boundaries: [
    ...gateUp.boundaries.map((spec) => ({ ...spec, outlier: null, sign: 1 as const, size: 1, scale: null })),
    ...gateUp.boundaries
      .filter(({ shape }) => shape === EDGES_SHAPE)
      .map((spec) => ({ ...spec, outlier: null, sign: 1 as const, size: 1, scale: null, each: MANY })),
    // Of what is normed the largest is above any output.
    ...[0, 1].map((shape) => ({
      ...{
        shape,
        x: exactRecipes[5]!,
        gate: usualAwq,
        up: { ...usualAwq, q: "eights" as const, z: "eights" as const },
        bias: exactRecipes[5]!,
      },
      ...{ outlier: null, sign: 1 as const, size: 1, scale: exactRecipes[5]! },
    })),
    // The largest in either workgroup, at its first and its last output, of either sign; and so large that its product is cut off.
    ...[0, 15, 31, 32, 33, 39].flatMap((outlier) =>
      ([1, -1] as const).map((sign) => ({
        shape: 1,
        x: exactRecipes[5]!,
        gate: usualAwq,
        up: usualAwq,
        bias: exactRecipes[5]!,
        outlier,
        sign,
        size: outlier % 2 === 0 ? 1e6 : F32_MAX,
        scale: null,
      })),
    ),
  ],
  reach: (gateUp.reach ?? []).map((spec, i) => ({ ...spec, outlier: [null, 28_671][i]!, sign: -1 as const, size: 1e9, scale: null })),
  make({ outlier, sign, size, scale, each = EACH, ...spec }) {
    const c = gateUp.make(spec);
    const N = c.gate.outFeatures;
    if (c.bias && outlier !== null) {
      c.bias[outlier] = size;
      c.bias[N + outlier] = sign * size;
    }
    return { ...c, each, norm: scale && { scale: exactValues(scale, c.x.length), eps: nearest(1e-5) } };
  },
  ...equalWords<ExactHandedGateUpCase>(({ gate, each }) => gate.outFeatures + Math.ceil(gate.outFeatures / each), words),
};
