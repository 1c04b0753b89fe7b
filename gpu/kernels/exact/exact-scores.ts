/**
 * scores[r, h, s] = rn(Σ q̂ k̂_s, e_q + e_s) of the query in row FIRST + r of T, for every position s that it sees: nothing is written elsewhere.
 * queries, keys, exponents as exact-rope.ts leaves them; scores [rows, H, STRIDE] words. An invocation per score: products of digits by
 * dot4I8Packed in columns of eight bits (i32: 3 · 2^14 · 256 at most), folded into 64 bits, one rounding. Limited by dot4I8Packed and keys' memory.
 */
import { type Card, makeCard } from "../../pipeline/kernel.ts";
import { exactIntegers, exactNumbers } from "../../wgsl/exact.ts";
import { exactColumns64, exactHeads, exactScoring, exactSeen } from "../../wgsl/exact-attention.ts";
import { stepWgsl } from "../../wgsl/step.ts";
import { type ExactAttentionShape, exactCacheBytes, queryBytes } from "./exact-rope.ts";

/** Which rows of T a dispatch of the attention covers, and how long a row of scores is. */
export type ExactAttentionPart = ExactAttentionShape & Readonly<{ stride: number; first: number; rows: number }>;

export const attentionOverrides = ({ H, G, Hd, window, stride, first }: ExactAttentionPart): Record<string, number> => ({
  H,
  G,
  HD: Hd,
  WINDOW: window ?? 0xffffffff,
  STRIDE: stride,
  FIRST: first,
});
/** Rows of this part among T. */
export const rowsOf = ({ first, rows }: ExactAttentionPart, T: number): number => Math.max(0, Math.min(rows, T - first));

export const exactScores: Card<"step" | "queries" | "keys" | "exponents" | "scores", ExactAttentionPart> = makeCard({
  name: "exact-scores",
  wgsl: /* wgsl */ `
${stepWgsl}
${exactHeads}
override WORDS: u32 = (HD + 3u) / 4u;
${exactSeen}
@group(0) @binding(0) var<uniform> step: Step;
@group(0) @binding(1) var<storage, read> queries: array<u32>;
@group(0) @binding(2) var<storage, read> keys: array<u32>;
@group(0) @binding(3) var<storage, read> exponents: array<i32>;
@group(0) @binding(4) var<storage, read_write> scores: array<u32>;
${exactIntegers}${exactNumbers}${exactColumns64}${exactScoring}
@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) wg: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let s = wg.x * 64u + lane;
  let h = wg.y;
  let t = FIRST + wg.z;
  let last = step.start + t;
  if (t >= step.T || s > last || last - s >= WINDOW) { return; }
  let g = h * G / H;
  let row = (t * H + h) * (3u * WORDS + 1u);
  let key = (s / 32u * G + g) * 3u * WORDS * 32u + s % 32u;
  var c = Scored();
  for (var j = 0u; j < WORDS; j++) {
    let a = vec3<u32>(queries[row + j], queries[row + WORDS + j], queries[row + 2u * WORDS + j]);
    let b = vec3<u32>(keys[key + 32u * j], keys[key + 32u * (WORDS + j)], keys[key + 32u * (2u * WORDS + j)]);
    c = scored(c, a, b);
  }
  let e = bitcast<i32>(queries[row + 3u * WORDS]) + exponents[(s * G + g) * 2u];
  scores[(wg.z * H + h) * STRIDE + s] = rn64(score_sum(c), e);
}
`,
  call: (part) => ({
    overrides: attentionOverrides(part),
    workgroups: (T, start) => [Math.ceil((start + T) / 64), part.H, rowsOf(part, T)],
  }),
  sizes: (part, T, start) => {
    const { keys, exponents } = exactCacheBytes(part, start + T);
    return { queries: queryBytes(part, T), keys, exponents, scores: 4 * rowsOf(part, T) * part.H * part.stride };
  },
});
