/** Attention in splits, joined by attention-combine. */
import { attentionCombine } from "../../gpu/kernels/decode/attention-combine.ts";
import { attentionDecode, splitsAt } from "../../gpu/kernels/decode/attention-decode.ts";
import type { CacheDType } from "../../gpu/wgsl/cache.ts";
import { inPlanes, planeBytes } from "../../gpu/wgsl/fixed16.ts";
import type { AttentionCase } from "../cases/attention.ts";
import { asCache, fromPlanes, roundToF16 } from "../subjects/layouts.ts";
import { type AnyGpuSubject, hand, type Rig, runKernel, subject } from "../subjects/rig.ts";

const KEYS = 64;

interface Way {
  readonly heads: 1 | 2;
  readonly cache: CacheDType;
  /** Head dimensions that cases are brought to: each is a pipeline. */
  readonly dimensions: readonly number[];
  /** Splits at most, for a few heads, and for more kv heads than 16, which take turns sooner. */
  readonly atOnce: number;
}
const MANY = { G: 16, atOnce: 2 } as const;
const ways: readonly Way[] = [
  // More splits than the invocations that join them.
  { heads: 1, cache: "f16", dimensions: [40, 128, 256], atOnce: 300 },
  { heads: 2, cache: "f16", dimensions: [8, 104, 256], atOnce: 3 },
  { heads: 2, cache: "f32", dimensions: [64], atOnce: 2 },
];

export const subjects = (rig: Rig): AnyGpuSubject[] =>
  ways.map(({ heads, cache, dimensions, atOnce: few }) =>
    subject<AttentionCase>(
      attentionDecode,
      async ({ start, shape: { H, G, Hd, window }, q, k, v }, out) => {
        const atOnce = G > MANY.G ? MANY.atOnce : few;
        const shape = { H, G, Hd, window, cache, keys: KEYS, heads, atOnce };
        // What one turn holds goes into the result at once.
        const split = start >= KEYS;
        const splits = splitsAt(start, KEYS, atOnce);
        const read = await runKernel(rig, 1, start, (io) => {
          const stats = io.scratch("stats", 8 * splits * H);
          const given = { q, k_cache: asCache(k, cache), v_cache: asCache(v, cache), stats };
          const out = inPlanes(new Float32Array(H * Hd));
          if (!split) return void io.run(attentionDecode, { ...shape, split: false }, { ...given, out });
          const partial_ = io.scratch("partial", splits * planeBytes(H * Hd));
          io.run(attentionDecode, { ...shape, split: true }, { ...given, out: partial_ });
          // Room for a power of two, as the engine makes it: fewer pipelines.
          const room = 2 ** Math.ceil(Math.log2(splits));
          io.run(attentionCombine, { H, Hd, keys: KEYS, atOnce, splits: room }, { partial_, stats, joined: out });
        });
        hand(out, fromPlanes((split ? read.joined : read.out)!, H * Hd), read);
      },
      {
        op: "attention",
        variant: `attention-decode-${KEYS}-keys${heads > 1 ? `-${heads}-heads` : ""}${cache === "f32" ? "-f32" : ""}`,
        kernels: ["attention-decode", "attention-combine"],
        adapt: (c) => widened(c, heads === 2 ? 4 : 3, dimensions),
        accepts: ({ shape: { H, G } }) => (H / G) % heads === 0,
      },
    ),
  );

/**
 * The last query alone, in one of a few shapes (each is a pipeline): Hd brought to one of `dimensions` by repeating what
 * is there, one or two groups of one or `perGroup` heads, the window 7 or none; keys and values as f16 holds them. Heads and
 * windows of models stay as they are.
 */
export function widened(c: AttentionCase, perGroup: number, dimensions: readonly number[]): AttentionCase {
  const { Hd } = c.shape;
  const wide = dimensions.find((d) => Hd <= d) ?? dimensions.at(-1)!;
  const asIs = c.shape.G > 3 || c.shape.H > 4 * c.shape.G;
  const G = asIs ? c.shape.G : Math.min(c.shape.G, wide === 128 || wide === 104 ? 2 : 1);
  const H = asIs ? c.shape.H : G * (c.shape.H > c.shape.G ? perGroup : 1);
  const S = c.start + c.T;
  const order = Array.from({ length: wide }, (_, i) => (i + Math.floor(i / Hd)) % Hd);
  const stretch = (x: Float32Array, rows: number): Float32Array => {
    const out = new Float32Array(rows * wide);
    for (let r = 0; r < rows; r++) {
      const from = (r * Hd) % (x.length - Hd + 1);
      for (let i = 0; i < wide; i++) out[r * wide + i] = x[from + order[i]!]!;
    }
    return out;
  };
  return {
    T: 1,
    start: S - 1,
    shape: { H, G, Hd: wide, window: c.shape.window === null || c.shape.window === 4096 ? c.shape.window : 7 },
    q: stretch(c.q, H),
    k: roundToF16(stretch(c.k, S * G)),
    v: roundToF16(stretch(c.v, S * G)),
  };
}
