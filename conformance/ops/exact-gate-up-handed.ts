/**
 * gate_proj and up_proj of `exact` as exact-gate-up.ts has them, and behind their products the largest of each part of them, which a workgroup makes:
 * equality with the CPU.
 */
import * as fc from "fast-check";
import { F32_MAX } from "../accuracy.ts";
import { equalWords, exactRecipes, wordsOf } from "../cases/exact.ts";
import { usualAwq } from "../cases/matrices.ts";
import type { Kit } from "../kit.ts";
import { type ExactGateUpCase, kit as gateUp, products } from "./exact-gate-up.ts";
import { topsOf } from "./exact-handed-digits.ts";

type GateUpSpec = typeof gateUp extends Kit<infer Spec, ExactGateUpCase> ? Spec : never;
/** `outlier`: the output whose biases, where there are any, are far above the others', of this sign. */
type Spec = GateUpSpec & Readonly<{ outlier: number | null; sign: 1 | -1; size: number }>;

/** Outputs of a workgroup, by the layout that the kernel is held in. */
export const EACH = 24;

const words = (c: ExactGateUpCase): Uint32Array => {
  const row = products(c);
  return Uint32Array.from([...wordsOf(row), ...wordsOf(topsOf(row, EACH))]);
};

export const kit: Kit<Spec, ExactGateUpCase> = {
  name: "exact-gate-up-handed",
  formula: "y = mul(silu(linear(x, gate)), linear(x, up)); the largest |y| of each part",
  spec: fc
    .tuple(gateUp.spec, fc.option(fc.nat(39)), fc.constantFrom<1 | -1>(1, -1), fc.constantFrom(1e3, 1e12, F32_MAX))
    .map(([spec, outlier, sign, size]) => ({ ...spec, outlier, sign, size })),
  boundaries: [
    ...gateUp.boundaries.map((spec) => ({ ...spec, outlier: null, sign: 1 as const, size: 1 })),
    // The largest in either workgroup, at its first and its last output, of either sign; and so large that its product is cut off.
    ...[0, 11, 23, 24, 25, 39].flatMap((outlier) =>
      ([1, -1] as const).map((sign) => ({
        shape: 1,
        x: exactRecipes[5]!,
        gate: usualAwq,
        up: usualAwq,
        bias: exactRecipes[5]!,
        outlier,
        sign,
        size: outlier % 2 === 0 ? 1e6 : F32_MAX,
      })),
    ),
  ],
  reach: (gateUp.reach ?? []).map((spec, i) => ({ ...spec, outlier: [null, 28_671][i]!, sign: -1 as const, size: 1e9 })),
  make({ outlier, sign, size, ...spec }) {
    const c = gateUp.make(spec);
    const N = c.gate.outFeatures;
    if (c.bias && outlier !== null) {
      c.bias[outlier] = size;
      c.bias[N + outlier] = sign * size;
    }
    return c;
  },
  ...equalWords<ExactGateUpCase>(({ gate }) => gate.outFeatures + Math.ceil(gate.outFeatures / EACH), words),
};
