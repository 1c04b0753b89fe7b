/** Repacking int4 weights loses nothing: the way there and back gives every word. Words are compared as two 16-bit numbers each. */
import * as fc from "fast-check";
import type { AwqMatrix } from "../../core/tensor.ts";
import { makeExpected } from "../accuracy.ts";
import { axis } from "../arbitraries.ts";
import { type AwqSpec, awqMatrix, awqSpec, usualAwq } from "../cases/matrices.ts";
import { awqWords, halves } from "../cases/words.ts";
import type { Kit } from "../kit.ts";

interface Spec {
  readonly groups: number;
  readonly groupSize: number;
  readonly N: number;
  readonly weight: AwqSpec;
}
export interface AwqRepackCase {
  readonly weight: AwqMatrix;
}

export const kit: Kit<Spec, AwqRepackCase> = {
  name: "awq-repack",
  formula: "unpack(repack(qweight, qzeros, scales)) = (qweight, qzeros, scales)",
  spec: fc.record({
    groups: axis(5),
    groupSize: fc.constantFrom(32, 64, 128, 24, 40, 72),
    N: axis(600, 8, [16, 64, 512]),
    weight: awqSpec,
  }),
  boundaries: [
    ...[8, 56, 64, 72, 504, 512, 520, 1040].flatMap((N) => [32, 128].map((groupSize) => ({ groups: 3, groupSize, N, weight: usualAwq }))),
    { groups: 34, groupSize: 32, N: 8, weight: usualAwq },
    ...[8, 31, 33, 40, 72, 520].map((groupSize) => ({ groups: 1, groupSize, N: 16, weight: usualAwq })),
  ],
  reach: [
    { groups: 112, groupSize: 128, N: 8, weight: usualAwq },
    { groups: 448, groupSize: 32, N: 8, weight: usualAwq },
    { groups: 3, groupSize: 32, N: 28_672, weight: usualAwq },
    { groups: 3, groupSize: 256, N: 16, weight: usualAwq },
  ],
  make: ({ groups, groupSize, N, weight }) => ({ weight: awqMatrix(weight, groups * groupSize, N, groupSize) }),
  length: ({ weight }) => 2 * awqWords(weight).length,
  expected({ weight }) {
    const values = halves(awqWords(weight));
    const e = makeExpected(values.length);
    e.value.set(values);
    return e;
  },
  laws: [],
  refusals: [],
  dotLike: false,
};
