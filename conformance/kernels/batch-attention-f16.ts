import { batchAttentionF16 } from "../../gpu/kernels/batch/batch-attention-f16.ts";
import { SPLIT_ROWS } from "../../gpu/kernels/prefill/attention-prefill-matrix.ts";
import { encodeRows } from "../../gpu/wgsl/rows.ts";
import type { AttentionCase } from "../cases/attention.ts";
import { asCache, fromEights, joinSplits, roundToF16 } from "../subjects/layouts.ts";
import { type AnyGpuSubject, asF32, FILL, hand, inside, onMatrices, type Rig, runKernel, subject } from "../subjects/rig.ts";

/** Slots of the cache; the case's sequence is in the last one, the others hold what must not be seen. */
const SLOTS = 2;
const SPLITS = 3;

/** `exact`, NaN where `halves` are not the same rounded to f16; both are off by some last places of `largest`. */
const whereRounded = (exact: Float32Array, halves: Float32Array, largest: number): Float32Array =>
  exact.map((x, i) => {
    const held = Math.max(-65504, Math.min(65504, x));
    return Math.abs(halves[i]! - held) <= Math.abs(held) * 2 ** -10 + largest * 2 ** -16 + 2 ** -24 ? x : Number.NaN;
  });

/** The queries of a case as rows of a batch, the last first: in splits, joined here, and whole, which must be the same rounded. Where matrices
 * are, as nothing else runs it: software compiles each size of heads for half a minute. */
export const subjects = (rig: Rig): AnyGpuSubject[] =>
  onMatrices(rig, batchAttentionF16, [
    subject<AttentionCase>(
      batchAttentionF16,
      async (c, out) => {
        const { T, start } = c;
        const { H, G, Hd } = c.shape;
        const capacity = start + T + 2;
        const cached = (rows: Float32Array): ArrayBufferView => {
          const all = new Float32Array(SLOTS * capacity * G * Hd).fill(FILL);
          all.set(rows, capacity * G * Hd);
          return asCache(all, "f16");
        };
        const width = H * Hd;
        const turned = (rows: Float32Array): Float32Array =>
          rows.map((_, i) => rows[(T - 1 - Math.floor(i / width)) * width + (i % width)]!);
        const rows = encodeRows(Array.from({ length: T }, (_, t) => ({ slot: 1, start: start + T - 1 - t })));
        const given = { rows, q: turned(c.q), keys: cached(c.k), values: cached(c.v) };
        const call = { ...c.shape, slots: SLOTS, capacity };
        const read = await runKernel(rig, T, start, (io) => void io.run(batchAttentionF16, { ...call, splits: SPLITS }, given));
        const whole = await runKernel(rig, T, start, (io) => void io.run(batchAttentionF16, { ...call, splits: 1 }, given));
        const joined = joinSplits(asF32(inside(read.out!)), asF32(inside(read.stats!)), SPLITS, T, H, Hd);
        const largest = c.v.reduce((most, v) => Math.max(most, Math.abs(v)), 0);
        hand(out, turned(whereRounded(joined, fromEights(whole.out!), largest)), {
          ...read,
          ...Object.fromEntries(Object.entries(whole).map(([name, words]) => [`whole ${name}`, words])),
        });
      },
      {
        op: "attention",
        adapt: (c) => ({ ...c, k: roundToF16(c.k), v: roundToF16(c.v) }),
        accepts: ({ T, shape: { H, G, Hd } }) => Hd % 8 === 0 && Hd <= 256 && H % G === 0 && T <= SPLIT_ROWS,
      },
    ),
  ]);
