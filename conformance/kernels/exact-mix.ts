import { bitsOf } from "../../core/exact/numbers.ts";
import { rotate, scoreFactor } from "../../core/exact/rope.ts";
import { fixedRow } from "../../core/exact/rows.ts";
import { exactAttentionRow, partsOf, ROW_KEYS } from "../../gpu/kernels/exact/exact-attention-row.ts";
import { exactMix } from "../../gpu/kernels/exact/exact-mix.ts";
import { exactMixMatrix } from "../../gpu/kernels/exact/exact-mix-matrix.ts";
import { exactCacheBytes, exactRope, queryBytes, wordsOf } from "../../gpu/kernels/exact/exact-rope.ts";
import { exactScores } from "../../gpu/kernels/exact/exact-scores.ts";
import { exactScoresMatrix, SCORE_TILE } from "../../gpu/kernels/exact/exact-scores-matrix.ts";
import { exactSoftmax, SOFTMAX_LANES } from "../../gpu/kernels/exact/exact-softmax.ts";
import { halves } from "../cases/words.ts";
import type { ExactAttentionCase } from "../ops/exact-attention.ts";
import { BEFORE, BEHIND } from "../ops/exact-attention-weights.ts";
import { digitsOf } from "../ops/exact-digits.ts";
import { wordSubject } from "../subjects/exact.ts";
import { type AnyGpuSubject, type GpuSubject, hand, type Io, inside, onMatrices, type Rig, runKernel, subject } from "../subjects/rig.ts";

/** The cache of the positions before `start`, as exact-rope.ts lays it out. */
function cacheOf({ shape, start, T, k, v, tables }: ExactAttentionCase): Record<"keys" | "values" | "exponents", Uint32Array> {
  const { G, Hd } = shape;
  const W = wordsOf(Hd);
  const bytes = exactCacheBytes(shape, start + T);
  const [keys, values, exponents] = [bytes.keys, bytes.values, bytes.exponents].map((length) => new Uint32Array(length / 4));
  const turned = k.slice();
  rotate(turned, tables, 0, start, G);
  for (let s = 0; s < start; s++)
    for (let g = 0; g < G; g++) {
      const [key, value] = [turned, v].map((rows) => fixedRow(rows, (s * G + g) * Hd, Hd, 24));
      exponents!.set([key!.exponent, value!.exponent], (s * G + g) * 2);
      for (let i = 0; i < Hd; i++)
        for (let p = 0; p < 3; p++) {
          const at = p * W + (i >> 2);
          const byte = (row: Float64Array): number => (digitsOf(row[i]!, 3)[p]! & 255) << (8 * (i & 3));
          keys![((s >> 5) * G * 3 * W + g * 3 * W + at) * 32 + (s & 31)]! |= byte(key!.values);
          values![(s * G + g) * 3 * W + at]! |= byte(value!.values);
        }
    }
  return { keys: keys!, values: values!, exponents: exponents! };
}

/** Operands of a case, and the rotation table. */
function operands(io: Io, c: ExactAttentionCase) {
  const { shape, start, q, k, v, tables } = c;
  const { G, Hd } = shape;
  const table = new Float32Array(tables.cos.length * 2);
  for (let i = 0; i < tables.cos.length; i++) table.set([tables.cos[i]!, tables.sin[i]!], 2 * i);
  const earlier = cacheOf(c);
  const cache = {
    keys: io.input("keys", earlier.keys),
    values: io.input("values", earlier.values),
    exponents: io.input("exponents", earlier.exponents),
  };
  const now = { q: io.input("q", q), k: io.input("k", k.slice(start * G * Hd)), v: io.input("v", v.slice(start * G * Hd)) };
  return { ...now, ...cache, table };
}

const attention = (
  rig: Rig,
  scoring: typeof exactScores,
  mixing: typeof exactMix,
  accepts: (c: ExactAttentionCase) => boolean = () => true,
): GpuSubject<ExactAttentionCase> =>
  wordSubject<ExactAttentionCase>(
    rig,
    mixing,
    (io, c) => {
      const { shape, T } = c;
      const { H, Hd } = shape;
      const given = operands(io, c);
      const { keys, values, exponents } = given;
      const queries = io.scratch("queries", queryBytes(shape, T));
      io.run(exactRope, { ...shape, factor: bitsOf(scoreFactor(Hd)) }, { ...given, queries });
      // Rows of scores are longer than they need be; many rows go in two parts.
      const stride = c.start + T + 5;
      const tile = scoring === exactScoresMatrix ? SCORE_TILE : 1;
      const rows = T > 16 ? Math.ceil((0.6 * T) / tile) * tile : T;
      const scores = io.scratch("scores", rows * H * stride * 4);
      const stats = io.scratch("stats", rows * H * 8);
      const out = io.output("out", T * H * Hd);
      for (let first = 0; first < T; first += rows) {
        const part = { ...shape, stride, first, rows };
        io.run(scoring, part, { queries, keys, exponents, scores });
        io.run(exactSoftmax, scoring === exactScoresMatrix ? { ...part, lanes: SOFTMAX_LANES } : part, { exponents, scores, stats });
        io.run(mixing, part, { scores, stats, values, out });
      }
    },
    ({ T, start }) => ({ T, start }),
    { op: "exact-attention", kernels: ["exact-rope", scoring.name, "exact-softmax", mixing.name], accepts },
  );

/** The weights alone, as one looks at them. */
export const weightsSubjects = (rig: Rig): AnyGpuSubject[] => [
  wordSubject<ExactAttentionCase>(
    rig,
    exactSoftmax,
    (io, c) => {
      const { shape, T } = c;
      const given = operands(io, c);
      const { keys, exponents } = given;
      const queries = io.scratch("queries", queryBytes(shape, T));
      io.run(exactRope, { ...shape, factor: bitsOf(scoreFactor(shape.Hd)) }, { ...given, queries });
      const part = { ...shape, stride: c.start + T + BEHIND, first: 0, rows: T };
      const scores = new Float32Array(T * shape.H * part.stride).fill(BEFORE);
      const made = io.run(exactScores, part, { queries, keys, exponents, scores });
      io.run(
        exactSoftmax,
        { ...part, shares: true, ...(T > 4 ? { lanes: SOFTMAX_LANES } : {}) },
        { exponents, scores: made.scores, stats: io.scratch("stats", T * shape.H * 8) },
      );
    },
    ({ T, start }) => ({ T, start }),
    { op: "exact-attention-weights", kernels: ["exact-softmax", "exact-scores"] },
  ),
];
export const subjects = (rig: Rig): AnyGpuSubject[] => [attention(rig, exactScores, exactMix)];
export const matrixSubjects = (rig: Rig): AnyGpuSubject[] =>
  onMatrices(rig, exactMixMatrix, [attention(rig, exactScoresMatrix, exactMixMatrix, ({ shape: { Hd } }) => Hd % 32 === 0 && Hd <= 128)]);
/**
 * By workgroups of 256, and of 512 where the device has them, of which a head has several; with what they leave in the cache, of which a wrong word shows in
 * the result.
 */
export const rowSubjects = ({ gpu, ...rig }: Rig): AnyGpuSubject[] =>
  [256, 512]
    .filter((lanes) => lanes <= gpu.capabilities.limits.maxComputeInvocationsPerWorkgroup)
    .map((lanes) =>
      subject<ExactAttentionCase>(
        exactAttentionRow,
        async (c, out) => {
          const { shape, T, start } = c;
          const call = { ...shape, factor: bitsOf(scoreFactor(shape.Hd)), lanes, parts: lanes === 256 ? 1 : partsOf(shape) };
          const read = await runKernel(
            { gpu, ...rig },
            T,
            start,
            (io) => void io.run(exactAttentionRow, call, { ...operands(io, c), ...cacheOf(c) }),
          );
          const words = inside(read.out!).slice();
          for (const [name, expected] of Object.entries(cacheOf({ ...c, start: start + T, T: 0 }))) {
            const wrong = inside(read[name]!).findIndex((word, i) => word !== expected[i]);
            if (wrong >= 0) words[wrong % words.length]! ^= 1;
          }
          hand(out, halves(words), read);
        },
        {
          op: "exact-attention",
          variant: `exact-attention-row${lanes === 256 ? "" : "-wide"}`,
          accepts: ({ T, start }) => T === 1 && start < ROW_KEYS,
        },
      ),
    );
