/** The linears of one row as subjects, by their cases: each kernel binds what it reads of what is given. */
import type { AwqMatrix, DenseMatrix } from "../../core/tensor.ts";
import { ropeTable } from "../../gpu/kernels/plain/rope.ts";
import type { TunedCard } from "../../gpu/pipeline/kernel.ts";
import { notedAt } from "../../gpu/wgsl/cache.ts";
import type { AddKernel } from "../../gpu/wgsl/decode/add.ts";
import type { GateUpKernel } from "../../gpu/wgsl/decode/gate-up.ts";
import type { DenseMatrix as DenseRows, Int4Matrix } from "../../gpu/wgsl/decode/products.ts";
import type { QkvRopeKernel } from "../../gpu/wgsl/decode/qkv-rope.ts";
import { inPlanes } from "../../gpu/wgsl/fixed16.ts";
import { workgroupLimits } from "../../gpu/wgsl/teams.ts";
import type { AddCase } from "../cases/add.ts";
import { MOST_BY_HAND } from "../cases/fixed16.ts";
import type { GateUpCase } from "../cases/gate-up.ts";
import type { HeadsCase, QkvRopeCase } from "../cases/qkv-rope.ts";
import { writtenCache } from "../cases/written-cache.ts";
import { POISON } from "../compare.ts";
import { denseRows, digitErrors, fromHalves, fromPlanes, normedRow, packed, positionNoted, squaresOf, wordNoting } from "./layouts.ts";
import { type AnyGpuSubject, asF32, type Given, hand, type Io, inside, type Rig, runKernel, subject } from "./rig.ts";

/** How a kind of weights is handed to the kernels: its shape, and its buffers. */
export interface Layout<W, M, B extends string> {
  matrix(weight: W, hasBias: boolean): M;
  buffers(io: Io, weights: readonly W[], bias: Float32Array | null): Given<B>;
}
export const int4Layout: Layout<AwqMatrix, Int4Matrix, "weights" | "groups"> = {
  matrix: ({ inFeatures: K, groupSize: group }, hasBias) => ({ K, group, hasBias }),
  buffers: (io, weights, bias) => packed(io, weights, 0, io.scratch, 1, bias),
};
export const denseLayout: Layout<DenseMatrix, DenseRows, "weights" | "bias"> = {
  matrix: ({ inFeatures: K, dtype }, hasBias) => ({ K, dtype, hasBias }),
  buffers: (_io, weights, bias) => denseRows(weights, bias),
};

/** A shape by hand, or, for widths of models, in the teams that models get: more turns compile for half a minute in software. */
const cutFor = <G, S>({ gpu }: Rig, { tune }: TunedCard<string, G, S>, K: number, given: G, byHand: S): S =>
  K > MOST_BY_HAND ? tune(given, workgroupLimits(gpu.capabilities)) : byHand;

/** Ways to cut a workgroup: a small team takes several turns along K; few lanes several turns to join what four quads a team leave. */
const teams = [
  { team: 32, teams: 2 },
  { team: 64, teams: 4 },
  { team: 64, teams: 2 },
] as const;

/** residual, scaled, Σ residual² and the digits that are not the CPU's, as `rowOf` of cases/fixed16.ts has them. */
export function addSubjects<W extends AwqMatrix | DenseMatrix, M extends object, B extends string>(
  rig: Rig,
  kernel: AddKernel<"x_in", B, M>,
  layout: Layout<W, M, B>,
): AnyGpuSubject[] {
  return teams.map((shape) =>
    subject<AddCase<W>>(
      kernel,
      async ({ x, weight, residual, bias, norm }, out) => {
        const N = residual.length;
        const read = await runKernel(rig, 1, 0, (io) => {
          const given = {
            x_in: inPlanes(x),
            ...layout.buffers(io, [weight], bias),
            residual: inPlanes(residual),
            next_norm: inPlanes(norm),
          };
          const linear = { ...layout.matrix(weight, bias !== null), N };
          io.run(kernel, cutFor(rig, kernel, x.length, linear, { ...linear, ...shape }), given as Given<string>);
        });
        const scaled = fromPlanes(read.scaled!, N);
        const wrong = digitErrors(scaled, inside(read.out_digits!), inside(read.out_blocks!));
        hand(out, [...fromPlanes(read.residual!, N), ...scaled, ...squaresOf(read.out_blocks!), wrong], read);
      },
      { variant: `${kernel.name}-${shape.teams}x${shape.team}` },
    ),
  );
}

/** Biases of several linears one behind the other; null where they have none. */
const joined = (...biases: readonly (Float32Array | null)[]): Float32Array | null =>
  biases.every((bias) => bias !== null) ? Float32Array.from(biases.flatMap((bias) => [...bias])) : null;

export function gateUpSubjects<X extends string, W extends AwqMatrix | DenseMatrix, M extends object, B extends string>(
  rig: Rig,
  kernel: GateUpKernel<X, B, M>,
  layout: Layout<W, M, B>,
): AnyGpuSubject[] {
  return [
    { team: 32, per: 4 },
    { team: 64, per: 16 },
  ].map(({ team, per }) =>
    subject<GateUpCase<W>>(
      kernel,
      async (c, out) => {
        const { gate, up, eps } = c;
        const bias = joined(c.gateBias, c.upBias);
        const F = gate.outFeatures;
        const read = await runKernel(rig, 1, 0, (io) => {
          // What lies past F in the last block is not written.
          const given = { ...normedRow(c), ...layout.buffers(io, [gate, up], bias), h: inPlanes(new Float32Array(F)) };
          const linear = { ...layout.matrix(gate, bias !== null), F, eps };
          io.run(kernel, cutFor(rig, kernel, c.scaled.length, linear, { ...linear, per, team }), given as Given<string>);
        });
        hand(out, fromPlanes(read.h!, F), read);
      },
      { variant: `${kernel.name}-${per}x${team}` },
    ),
  );
}

/** Caches of zeros, room for queries with the position noted behind them, and RoPE's table. */
export const emptyCaches = (c: HeadsCase): Record<"q_out" | "k_cache" | "v_cache" | "rotations", ArrayBufferView> => {
  const { H, G, Hd, S, cache, tables, noted } = c;
  const zeros = new Uint32Array((S * G * Hd) / (cache === "f16" ? 2 : 1));
  const q_out = new Uint32Array(notedAt(H * Hd) + 1).fill(POISON, 0, H * Hd);
  if (noted !== undefined) q_out[notedAt(H * Hd)] = wordNoting(noted);
  return { q_out, k_cache: zeros, v_cache: zeros, rotations: ropeTable(tables) };
};

/** Queries, caches, and the position noted, as `turned` of cases/qkv-rope.ts has them. */
export function readHeads({ q_out, k_cache, v_cache }: Readonly<Record<string, Uint32Array>>, c: HeadsCase): number[] {
  const queries = c.H * c.Hd;
  const q = inside(q_out!);
  const written = (words: Uint32Array): Float32Array => writtenCache(fromCache(words, c), c.position, 1, c.G * c.Hd);
  return [...asF32(q.subarray(0, queries)), ...written(k_cache!), ...written(v_cache!), positionNoted(q[notedAt(queries)]!)];
}

/** Numbers of a cache. */
const fromCache = (words: Uint32Array, { cache }: HeadsCase): Float32Array => (cache === "f16" ? fromHalves(words) : asF32(inside(words)));

export function qkvRopeSubjects<X extends string, W extends AwqMatrix | DenseMatrix, M extends object, B extends string>(
  rig: Rig,
  kernel: QkvRopeKernel<X, B, M>,
  layout: Layout<W, M, B>,
): AnyGpuSubject[] {
  return [32, 64].map((team) =>
    subject<QkvRopeCase<W>>(
      kernel,
      async (c, out) => {
        const { H, G, Hd, position, weight, bias, eps, cache, raw } = c;
        const read = await runKernel(rig, 1, position, (io) => {
          const { q_out, ...caches } = emptyCaches(c);
          const given = { ...normedRow(c), ...layout.buffers(io, [weight], bias), ...caches, ...(raw ? {} : { q_out }) };
          const linear = { ...layout.matrix(weight, bias !== null), eps, H, G, Hd, cache, raw };
          io.run(kernel, cutFor(rig, kernel, c.scaled.length, linear, { ...linear, team }), given as Given<string>);
        });
        if (!raw) return hand(out, readHeads(read, c), read);
        const stray = [read.k_cache!, read.v_cache!].some((words) => inside(words).some((word) => word !== 0));
        hand(
          out,
          asF32(inside(read.q_out!)).map((x) => (stray ? Number.NaN : x)),
          read,
        );
      },
      { variant: `${kernel.name}-${team}` },
    ),
  );
}
