/**
 * q, k, v = norm(x) · Wᵀ, int4 × fixed16, one row; q and k rotated by RoPE at step.start; k and v written to the cache
 * as f16 (magnitudes beyond 65504 clamped, and noted behind q: wgsl/cache.ts). digits, blocks: residual ∘ norm weight with Σ residual² a block, as
 * awq-add-fixed16.ts leaves them; weights [(H + 2G) · HEAD / 4, K/32] of four: q rows, k rows, v rows; rotations [S,
 * HEAD/2] (cos, sin); q_out [H · HEAD] f32; caches [S, G, HEAD] f16. Steps covered: input_layernorm's 1/rms,
 * q/k/v_proj, rope, the cache. A workgroup owns P rows of a head's lower half (team 0) and the P rows they rotate with
 * (team 1), four at a time. P % 4 = 0, HEAD / 2 % P = 0. Workgroup memory at TEAM 128, P 8: 11 KiB. Limited by latency.
 */
import { type Card, makeCard } from "../../pipeline/kernel.ts";
import { packedSizes } from "../../wgsl/awq.ts";
import { notedAt, notedWgsl } from "../../wgsl/cache.ts";
import { blockBytes, digitBytes, fixed16Load, fixed16MeanSquare, fixed16Rows, fixed16Sums } from "../../wgsl/fixed16.ts";
import { stepWgsl } from "../../wgsl/step.ts";
import { type DecodeShape, lanesOf, teamOf, type WorkgroupLimits } from "../../wgsl/teams.ts";

/** q, k and v side by side. */
export type QkvRopeShape = DecodeShape & Readonly<{ eps: number; H: number; G: number; Hd: number }>;

/** P: rows of either half that a workgroup owns. */
const rowsOf = (Hd: number): number => Math.min(8, Hd / 2);

export const tuneQkvRope = (shape: Omit<QkvRopeShape, "team">, limits: WorkgroupLimits): QkvRopeShape => ({
  ...shape,
  team: teamOf(shape.K, lanesOf(limits)),
});

export const awqQkvRopeFixed16: Card<
  "digits" | "blocks" | "weights" | "groups" | "rotations" | "q_out" | "k_cache" | "v_cache" | "step",
  QkvRopeShape
> = makeCard({
  name: "awq-qkv-rope-fixed16",
  wgsl: /* wgsl */ `
${stepWgsl}
${notedWgsl}
override K: u32 = 4096u;
override H: u32 = 32u;
override G: u32 = 8u;
override HEAD: u32 = 128u;
override EPS: f32 = 1e-5;
override P: u32 = 8u;
override GROUP: u32 = 128u;
override TEAM: u32 = 128u;
override THREADS: u32 = 2u * TEAM;
override BLOCKS: u32 = K / 32u;
override GROUPS: u32 = K / GROUP;
override BLOCKS_PER_GROUP: u32 = GROUP / 32u;
override STEPS: u32 = (K / 32u + TEAM - 1u) / TEAM;
override QUADS: u32 = P / 4u;
override NOTED: u32 = (H * HEAD + 63u) / 64u * 64u;

@group(0) @binding(0) var<storage, read> digits: array<vec4<u32>>;
@group(0) @binding(1) var<storage, read> blocks: array<vec4<u32>>;
@group(0) @binding(2) var<storage, read> weights: array<vec4<u32>>;
@group(0) @binding(3) var<storage, read> groups: array<vec4<u32>>;
@group(0) @binding(4) var<storage, read> rotations: array<vec2<f32>>;
@group(0) @binding(5) var<storage, read_write> q_out: array<f32>;
@group(0) @binding(6) var<storage, read_write> k_cache: array<u32>;
@group(0) @binding(7) var<storage, read_write> v_cache: array<u32>;
@group(0) @binding(8) var<uniform> step: Step;
var<workgroup> partials: array<f32, 16 * (TEAM + 4)>;
var<workgroup> quarters: array<f32, 2 * P * (TEAM / 4 + 1)>;
var<workgroup> sixteenths: array<f32, 16>;
${fixed16Rows}${fixed16Load}${fixed16Sums}${fixed16MeanSquare}
fn half2(x: vec2<f32>) -> u32 { return pack2x16float(clamp(x, vec2(-65504.0), vec2(65504.0))); }
@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) wg: vec3<u32>, @builtin(local_invocation_index) tid: u32) {
  let team = tid / TEAM;
  let lane = tid % TEAM;
  let slices = HEAD / 2u / P;
  let head = wg.x / slices;
  let slice = (wg.x % slices) * P;
  let row = head * HEAD + team * (HEAD / 2u) + slice;
  var rows = load_rows(row, min(lane, BLOCKS - 1u));
  var x = load_digits(min(lane, BLOCKS - 1u));
  put_square(tid);
  var s = vec4<f32>(0.0);
  for (var step = 0u; step < QUADS * STEPS; step++) {
    let b = lane + (step % STEPS) * TEAM;
    var next = rows;
    if (step + 1u < QUADS * STEPS) {
      next = load_rows(row + 4u * ((step + 1u) / STEPS), min(lane + ((step + 1u) % STEPS) * TEAM, BLOCKS - 1u));
    }
    if (STEPS > 1u && step > 0u) { x = load_digits(min(b, BLOCKS - 1u)); }
    let t = join(rows, x);
    if (b < BLOCKS) { s += t; }
    rows = next;
    if ((step + 1u) % STEPS == 0u) {
      let quad = step / STEPS;
      let base = ((quad & 1u) * 2u + team) * 4u * (TEAM + 4u);
      put_partials(base + lane, s);
      s = vec4<f32>(0.0);
      workgroupBarrier();
      quarters[((team * QUADS + quad) * 4u + (lane & 3u)) * (TEAM / 4u + 1u) + (lane >> 2u)] = sum_of_four(base, lane);
    }
  }
  workgroupBarrier();
  if (tid < P / 2u) {
    let inverse = inverseSqrt(mean_square() + EPS);
    let d = slice + 2u * tid;
    let position = step.start;
    var low = vec2<f32>(row_total(2u * tid), row_total(2u * tid + 1u)) * inverse;
    var high = vec2<f32>(row_total(P + 2u * tid), row_total(P + 2u * tid + 1u)) * inverse;
    if (head < H + G) {
      let r0 = rotations[position * (HEAD / 2u) + d];
      let r1 = rotations[position * (HEAD / 2u) + d + 1u];
      let c = vec2<f32>(r0.x, r1.x);
      let n = vec2<f32>(r0.y, r1.y);
      let rotated = low * c - high * n;
      high = high * c + low * n;
      low = rotated;
    }
    if (head < H) {
      let at = head * HEAD + d;
      q_out[at] = low.x; q_out[at + 1u] = low.y;
      q_out[at + HEAD / 2u] = high.x; q_out[at + HEAD / 2u + 1u] = high.y;
    } else {
      let held = all(abs(low) <= vec2(65504.0)) && all(abs(high) <= vec2(65504.0));
      if (!held) { q_out[NOTED] = max(q_out[NOTED], bitcast<f32>(FIRST_NOTED - position)); } // the same word by whoever writes it
      let at = ((position * G + head % G) * HEAD + d) / 2u;
      if (head < H + G) { k_cache[at] = half2(low); k_cache[at + HEAD / 4u] = half2(high); }
      else { v_cache[at] = half2(low); v_cache[at + HEAD / 4u] = half2(high); }
    }
  }
}
`,
  workgroupBytes: ({ team, Hd }) => 4 * (16 * (team + 4) + 2 * rowsOf(Hd) * (team / 4 + 1) + 16),
  call({ K, group, team, eps, H, G, Hd }) {
    const P = rowsOf(Hd);
    return {
      overrides: { K, GROUP: group, TEAM: team, EPS: eps, H, G, HEAD: Hd, P },
      workgroups: () => [((H + 2 * G) * Hd) / 2 / P, 1, 1],
    };
  },
  sizes({ K, group, H, G, Hd }, T, start) {
    const cache = 2 * (start + T) * G * Hd;
    const packed = packedSizes(K, (H + 2 * G) * Hd, group);
    const x = { digits: digitBytes(K), blocks: blockBytes(K) };
    return { ...x, ...packed, rotations: 4 * (start + T) * Hd, q_out: 4 * (notedAt(H * Hd) + 1), k_cache: cache, v_cache: cache };
  },
});
