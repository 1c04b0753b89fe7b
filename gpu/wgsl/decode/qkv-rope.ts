/**
 * q, k, v = norm(x) · Wᵀ (+ bias) of one row, by any product of residual ∘ norm weight; q and k rotated by RoPE at
 * step.start; k and v written to the cache in its dtype (to f16 with magnitudes beyond 65504 clamped, and noted behind
 * q: wgsl/cache.ts). `blocks` holds
 * Σ residual² a block, as add.ts leaves them. A matrix of (H + 2G) · HEAD rows: q, k, v; rotations [S, HEAD/2] (cos,
 * sin); q_out [H · HEAD] f32; caches [S, G, HEAD]. Where the model norms the heads (RAW) all rows go to q_out as they
 * are, for head-norm-rope.ts. Steps covered: input_layernorm's 1/rms, q/k/v_proj, rope, the cache. A workgroup owns P
 * rows of a head's lower half (team 0) and the P rows they rotate with (team 1). P 4 or 8, HEAD / 2 % P = 0.
 */
import { makeCard, type Sized, type TunedCard } from "../../pipeline/kernel.ts";
import { type CacheDType, cacheBytes, notedAt, notedWgsl } from "../cache.ts";
import { blockBytes, fixed16MeanSquare } from "../fixed16.ts";
import { stepWgsl } from "../step.ts";
import { lanesOf } from "../teams.ts";
import { bindingsWgsl } from "./bindings.ts";
import type { Product } from "./products.ts";
import { teamBytes, teamSums } from "./team-sums.ts";

/** q, k and v side by side; `raw`: as they are, for the norms of their heads. */
type Given<M> = M & Readonly<{ eps: number; H: number; G: number; Hd: number; cache: CacheDType; raw: boolean }>;
export type QkvRopeShape<M> = Given<M> & Readonly<{ team: number }>;

/** P: rows of either half that a workgroup owns. */
const rowsOf = (Hd: number): number => ((Hd / 2) % 8 === 0 ? 8 : 4);

/**
 * put_pairs: two pairs of neighbours, half a head apart, into a cache at element `at`; where one is beyond f16, the
 * position goes behind the queries in q_out, the same word by whoever writes it. Wants H, HEAD.
 */
export const putPairsWgsl: string = /* wgsl */ `${notedWgsl}
override CACHE_F16: bool = true;
override NOTED: u32 = (H * HEAD + 63u) / 64u * 64u;
fn put_word(key: bool, at: u32, word: u32) { if (key) { k_cache[at] = word; } else { v_cache[at] = word; } }
fn put_pair(key: bool, at: u32, x: vec2<f32>) {
  if (CACHE_F16) { put_word(key, at / 2u, pack2x16float(clamp(x, vec2<f32>(-65504.0), vec2<f32>(65504.0)))); }
  else { put_word(key, at, bitcast<u32>(x.x)); put_word(key, at + 1u, bitcast<u32>(x.y)); }
}
fn put_pairs(key: bool, position: u32, at: u32, low: vec2<f32>, high: vec2<f32>) {
  let held = all(abs(low) <= vec2<f32>(65504.0)) && all(abs(high) <= vec2<f32>(65504.0));
  if (CACHE_F16 && !held) { q_out[NOTED] = max(q_out[NOTED], bitcast<f32>(FIRST_NOTED - position)); }
  put_pair(key, at, low);
  put_pair(key, at + HEAD / 2u, high);
}`;

const overrides = /* wgsl */ `override H: u32 = 32u;
override G: u32 = 8u;
override HEAD: u32 = 128u;
override EPS: f32 = 1e-5;
override P: u32 = 8u;
override RAW: bool = false;
override THREADS: u32 = 2u * TEAM;
override QUADS: u32 = P / 4u;
const TEAMS = 2u;
${putPairsWgsl}
`;
const main = /* wgsl */ `
fn row_of(wg: u32, team: u32, quad: u32) -> u32 {
  let slices = HEAD / 2u / P;
  return (wg / slices) * HEAD + team * (HEAD / 2u) + (wg % slices) * P + 4u * quad;
}
fn meanwhile(tid: u32) { put_square(tid); }
fn bias_pair(row: u32) -> vec2<f32> {
  let b = bias_of(row);
  return select(b.xy, b.zw, (row & 2u) != 0u);
}
@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) wg: vec3<u32>, @builtin(local_invocation_index) tid: u32) {
  sum_rows(wg.x, tid);
  if (tid < P / 2u) {
    let inverse = inverseSqrt(mean_square() + EPS);
    let row = row_of(wg.x, 0u, 0u) + 2u * tid;
    let head = row / HEAD;
    let d = row % HEAD;
    let position = step.start;
    var low = vec2<f32>(row_total(2u * tid), row_total(2u * tid + 1u)) * inverse;
    var high = vec2<f32>(row_total(P + 2u * tid), row_total(P + 2u * tid + 1u)) * inverse;
    if (HAS_BIAS) {
      low += bias_pair(row);
      high += bias_pair(row + HEAD / 2u);
    }
    if (!RAW && head < H + G) {
      let r0 = rotations[position * (HEAD / 2u) + d];
      let r1 = rotations[position * (HEAD / 2u) + d + 1u];
      let c = vec2<f32>(r0.x, r1.x);
      let n = vec2<f32>(r0.y, r1.y);
      let rotated = low * c - high * n;
      high = high * c + low * n;
      low = rotated;
    }
    if (RAW || head < H) {
      q_out[row] = low.x; q_out[row + 1u] = low.y;
      q_out[row + HEAD / 2u] = high.x; q_out[row + HEAD / 2u + 1u] = high.y;
    } else { put_pairs(head < H + G, position, (position * G + head % G) * HEAD + d, low, high); }
  }
}
`;

type Own = "blocks" | "rotations" | "q_out" | "k_cache" | "v_cache" | "step";
export type QkvRopeKernel<X extends string, W extends string, M> = TunedCard<X | W | Own, Given<M>, QkvRopeShape<M>>;

export const qkvRopeCard = <X extends string, W extends string, M extends { readonly K: number }>(
  name: string,
  product: Product<X, W, M>,
): QkvRopeKernel<X, W, M> => ({
  ...makeCard<X | W | Own, QkvRopeShape<M>>({
    name,
    wgsl: `
${stepWgsl}
${bindingsWgsl([
  ...product.bindings,
  "storage, read> blocks: array<vec4<u32>>",
  "storage, read> rotations: array<vec2<f32>>",
  "storage, read_write> q_out: array<f32>",
  "storage, read_write> k_cache: array<u32>",
  "storage, read_write> v_cache: array<u32>",
  "uniform> step: Step",
])}
${product.wgsl}${overrides}${teamSums}${fixed16MeanSquare}${main}`,
    workgroupBytes: ({ team, Hd }) => teamBytes(team, 2, rowsOf(Hd) / 4) + 64,
    call(shape) {
      const { H, G, Hd, team, eps, cache, raw } = shape;
      const P = rowsOf(Hd);
      const own = { TEAM: team, EPS: eps, H, G, HEAD: Hd, P, RAW: raw, CACHE_F16: cache === "f16" };
      return { overrides: { ...product.overrides(shape, (H + 2 * G) * Hd), ...own }, workgroups: () => [((H + 2 * G) * Hd) / 2 / P, 1, 1] };
    },
    sizes(shape, T, start) {
      const { K, H, G, Hd, cache, raw } = shape;
      const cached = raw ? 0 : cacheBytes[cache] * (start + T) * G * Hd;
      const own = {
        blocks: blockBytes(K),
        rotations: raw ? 0 : 4 * (start + T) * Hd,
        q_out: 4 * (raw ? (H + 2 * G) * Hd : notedAt(H * Hd) + 1),
      };
      return { ...product.sizes(shape, (H + 2 * G) * Hd), ...own, k_cache: cached, v_cache: cached } as Record<Sized<X | W | Own>, number>;
    },
  }),
  tune: (given, limits) => ({ ...given, team: product.team(given, lanesOf(limits)) }),
});
