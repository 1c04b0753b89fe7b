/**
 * The norms of the heads of q and k (Qwen 3) for one row, then RoPE at step.start and the cache: raw [(H + 2G) · HEAD]
 * f32, q, k and v as qkv-rope.ts leaves them; q_norm, k_norm [HEAD] f32; rotations [S, HEAD/2] (cos, sin); q_out [H ·
 * HEAD] f32; caches [S, G, HEAD] f16 (magnitudes beyond 65504 clamped, and noted behind q: wgsl/cache.ts) or f32. Steps covered: q_norm, k_norm, rope, the
 * cache. A workgroup per head; a thread takes two neighbours and the two that they rotate with. HEAD % 8 = 0, at most
 * 256. Workgroup memory 256 bytes. Limited by latency.
 */
import { type Card, makeCard } from "../../pipeline/kernel.ts";
import { type CacheDType, cacheBytes, notedAt } from "../../wgsl/cache.ts";
import { putPairsWgsl } from "../../wgsl/decode/qkv-rope.ts";
import { stepWgsl } from "../../wgsl/step.ts";

export type HeadNormShape = Readonly<{ eps: number; H: number; G: number; Hd: number; cache: CacheDType }>;

export const headNormRope: Card<"raw" | "q_norm" | "k_norm" | "rotations" | "q_out" | "k_cache" | "v_cache" | "step", HeadNormShape> =
  makeCard({
    name: "head-norm-rope",
    wgsl: /* wgsl */ `
${stepWgsl}
override H: u32 = 32u;
override G: u32 = 8u;
override HEAD: u32 = 128u;
override EPS: f32 = 1e-6;

@group(0) @binding(0) var<storage, read> raw: array<vec2<f32>>;
@group(0) @binding(1) var<storage, read> q_norm: array<vec2<f32>>;
@group(0) @binding(2) var<storage, read> k_norm: array<vec2<f32>>;
@group(0) @binding(3) var<storage, read> rotations: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read_write> q_out: array<f32>;
@group(0) @binding(5) var<storage, read_write> k_cache: array<u32>;
@group(0) @binding(6) var<storage, read_write> v_cache: array<u32>;
@group(0) @binding(7) var<uniform> step: Step;
var<workgroup> squares: array<f32, 64>;
${putPairsWgsl}
@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) wg: vec3<u32>, @builtin(local_invocation_index) tid: u32) {
  let head = wg.x;
  let half = HEAD / 4u;
  let alive = tid < half;
  let from_ = head * (HEAD / 2u) + min(tid, half - 1u);
  var low = raw[from_];
  var high = raw[from_ + half];
  squares[tid] = select(0.0, dot(low, low) + dot(high, high), alive);
  workgroupBarrier();
  let position = step.start;
  if (alive && head < H + G) {
    var sum = 0.0;
    for (var i = 0u; i < half; i++) { sum += squares[i]; }
    let inverse = inverseSqrt(sum / f32(HEAD) + EPS);
    if (head < H) {
      low = low * inverse * q_norm[tid];
      high = high * inverse * q_norm[tid + half];
    } else {
      low = low * inverse * k_norm[tid];
      high = high * inverse * k_norm[tid + half];
    }
    let r = rotations[position * half + tid];
    let rotated = low * r.xz - high * r.yw;
    high = high * r.xz + low * r.yw;
    low = rotated;
  }
  if (alive && head < H) {
    let to = 2u * from_;
    q_out[to] = low.x; q_out[to + 1u] = low.y;
    q_out[to + HEAD / 2u] = high.x; q_out[to + HEAD / 2u + 1u] = high.y;
  } else if (alive) { put_pairs(head < H + G, position, (position * G + head % G) * HEAD + 2u * tid, low, high); }
}
`,
    workgroupBytes: 256,
    call: ({ eps, H, G, Hd, cache }) => ({
      overrides: { EPS: eps, H, G, HEAD: Hd, CACHE_F16: cache === "f16" },
      workgroups: () => [H + 2 * G, 1, 1],
    }),
    sizes({ H, G, Hd, cache }, T, start) {
      const cached = cacheBytes[cache] * (start + T) * G * Hd;
      const norms = { q_norm: 4 * Hd, k_norm: 4 * Hd };
      return {
        raw: 4 * (H + 2 * G) * Hd,
        ...norms,
        rotations: 4 * (start + T) * Hd,
        q_out: 4 * (notedAt(H * Hd) + 1),
        k_cache: cached,
        v_cache: cached,
      };
    },
  });
