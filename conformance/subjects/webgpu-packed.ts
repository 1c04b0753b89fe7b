/** The kernels on repacked int4 weights as subjects. Every matrix stands behind other rows of its target, as q, k and v share one. */
import type { AwqMatrix } from "../../core/model/weights.ts";
import { recordAwqRepack } from "../../gpu/kernels/layout/awq-repack.ts";
import { recordAwqUnpack } from "../../gpu/kernels/layout/awq-unpack.ts";
import { recordAwqMatmulPacked } from "../../gpu/kernels/plain/awq-matmul-packed.ts";
import type { BufferArg } from "../../gpu/pipeline/recorder.ts";
import { awqWords, halves } from "../cases/words.ts";
import { GUARD, POISON } from "../compare.ts";
import type { AnySubject, Subject } from "../kit.ts";
import type { AwqMatmulCase } from "../ops/awq-matmul.ts";
import type { AwqRepackCase } from "../ops/awq-repack.ts";
import { hand, type Io, intoOut, type Rig, runKernel } from "./rig.ts";

/** Rows of another matrix before the one under test. */
const FIRST_ROW = 12;

/** Repacks a matrix into memory that `allocate` gives, of so many words. */
function repacked<B extends BufferArg>(io: Io, weight: AwqMatrix, allocate: (label: string, words: number) => B) {
  const { inFeatures: K, outFeatures: N, groupSize, qweight, qzeros, scales } = weight;
  const target = {
    weights: allocate("weights", ((FIRST_ROW + N) * K) / 8),
    groups: allocate("groups", (FIRST_ROW + N) * (K / groupSize)),
  };
  const shape = { K, N, groupSize, firstRow: FIRST_ROW };
  const source = { qweight: io.input("qweight", qweight), qzeros: io.input("qzeros", qzeros), scales: io.input("scales", scales) };
  recordAwqRepack(io.recorder, { ...source, ...target }, shape);
  return { ...target, shape };
}

const takes = (weight: AwqMatrix): boolean => weight.groupSize % 32 === 0;

export function packedSubjects(rig: Rig): readonly AnySubject[] {
  const matmul: Subject<AwqMatmulCase> = {
    op: "awq-matmul",
    backend: "webgpu",
    variant: "awq-matmul-packed",
    arithmetic: "f32",
    kernels: ["awq-matmul-packed", "awq-repack"],
    accepts: (c) => takes(c.weight),
    run: (c, out) =>
      intoOut(rig, out, c.T, 0, (io) => {
        const { weights, groups, shape } = repacked(io, c.weight, (label, words) => io.scratch(label, 4 * words));
        const x = io.input("x", c.x);
        const bias = io.input("bias", c.bias ?? new Float32Array(1));
        const buffers = { step: io.step, x, weights, groups, bias, out: io.output("out", out.length) };
        recordAwqMatmulPacked(io.recorder, buffers, { ...shape, hasBias: c.bias !== null });
      }),
  };
  const roundTrip: Subject<AwqRepackCase> = {
    op: "awq-repack",
    backend: "webgpu",
    variant: "awq-repack",
    arithmetic: "f32",
    kernels: ["awq-repack", "awq-unpack"],
    accepts: (c) => takes(c.weight),
    async run({ weight }, out) {
      const { inFeatures: K, groupSize, qweight, qzeros, scales } = weight;
      const sizes = [qweight.length, qzeros.length, scales.length / 2];
      const [packed, groups, ...read] = await runKernel(rig, 1, 0, (io) => {
        const { weights, groups, shape } = repacked(io, weight, (label, words) => io.output(label, words));
        const [q, z, s] = ["qweight", "qzeros", "scales"].map((name, i) => io.output(name, sizes[i]!));
        recordAwqUnpack(io.recorder, { weights, groups, qweight: q!, qzeros: z!, scales: s! }, shape);
      });
      const words = new Uint32Array(awqWords(weight).length);
      let at = 0;
      for (const [i, all] of read.entries()) {
        words.set(all.subarray(GUARD, GUARD + sizes[i]!), at);
        at += sizes[i]!;
      }
      hand(out, halves(words), [packed!, groups!, ...read]);
      // The rows before it belong to another matrix.
      const others = [packed!.subarray(GUARD, GUARD + (FIRST_ROW * K) / 8), groups!.subarray(GUARD, GUARD + FIRST_ROW * (K / groupSize))];
      if (others.some((rows) => rows.some((word) => word !== POISON))) out[0] = Number.NaN;
    },
  };
  return [matmul, roundTrip];
}
