/**
 * RoPE and the cache for T rows: y [T, (H + 2G) · HEAD] f32 (q, k, v as one product leaves them) → q [T, H · HEAD] f16
 * · 1/√HEAD, in natural order, and k_cache, v_cache [S, G, HEAD] f16 at positions start + t. table [S, HEAD/2] (cos,
 * sin) as in rope.ts; what f16 cannot hold is clamped, and noted where it is cached (wgsl/cache.ts). PIECES > 1: a row is Σ_p y[16 p + t], p < PIECES ascending, as awq-rows16-f16-matrix.ts leaves at
 * most 16 rows. One workgroup per row, each invocation on two pairs at a time. HEAD a multiple of 4. Limited by memory.
 */
import { type Card, makeCard } from "../../pipeline/kernel.ts";
import { notedWgsl } from "../../wgsl/cache.ts";
import { stepWgsl } from "../../wgsl/step.ts";
import { ROWS16 } from "./awq-rows16-f16-matrix.ts";

/** Heads and their size; `pieces` of at most 16 rows. */
export type PrefillRopeShape = Readonly<{ H: number; G: number; Hd: number; pieces?: number }>;

export const prefillRopeF16: Card<"y" | "table" | "q" | "k_cache" | "v_cache" | "noted" | "step", PrefillRopeShape> = makeCard({
  name: "prefill-rope-f16",
  wgsl: /* wgsl */ `
${stepWgsl}
${notedWgsl}
override H: u32 = 32u;
override G: u32 = 8u;
override HEAD: u32 = 128u;
override PIECES: u32 = 1u;

@group(0) @binding(0) var<storage, read> y: array<vec2<f32>>;
@group(0) @binding(1) var<storage, read> table: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> q: array<u32>;
@group(0) @binding(3) var<storage, read_write> k_cache: array<u32>;
@group(0) @binding(4) var<storage, read_write> v_cache: array<u32>;
@group(0) @binding(5) var<storage, read_write> noted: array<atomic<u32>>;
@group(0) @binding(6) var<uniform> step: Step;
fn joined(at: u32) -> vec2<f32> {
  var r = y[at];
  for (var p = 1u; p < PIECES; p++) { r += y[at + p * (8u * (H + 2u * G) * HEAD)]; }
  return r;
}
// WGSL leaves the conversion of what f16 cannot hold open.
fn halves(x: vec2<f32>) -> u32 { return pack2x16float(clamp(x, vec2(-65504.0), vec2(65504.0))); }
@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) wg: vec3<u32>, @builtin(local_invocation_index) tid: u32) {
  let position = step.start + wg.x;
  let half = HEAD / 4u;
  for (var i = tid; i < (H + 2u * G) * half; i += 256u) {
    let head = i / half;
    let d = i % half;
    let from_ = (wg.x * (H + 2u * G) + head) * (HEAD / 2u) + d;
    var low = joined(from_);
    var high = joined(from_ + half);
    if (head < H + G) {
      let r = table[position * half + d];
      let rotated = low * r.xz - high * r.yw;
      high = high * r.xz + low * r.yw;
      low = rotated;
    }
    if (head < H) {
      let at = (wg.x * H + head) * (HEAD / 2u) + d;
      q[at] = halves(low * inverseSqrt(f32(HEAD)));
      q[at + half] = halves(high * inverseSqrt(f32(HEAD)));
    } else {
      let held = all(abs(low) <= vec2(65504.0)) && all(abs(high) <= vec2(65504.0));
      if (!held) { atomicMax(&noted[0], FIRST_NOTED - position); }
      let at = (position * G + head % G) * (HEAD / 2u) + d;
      if (head < H + G) { k_cache[at] = halves(low); k_cache[at + half] = halves(high); }
      else { v_cache[at] = halves(low); v_cache[at + half] = halves(high); }
    }
  }
}
`,
  call: ({ H, G, Hd, pieces = 1 }) => ({ overrides: { H, G, HEAD: Hd, PIECES: pieces }, workgroups: (T) => [T, 1, 1] }),
  sizes({ H, G, Hd, pieces = 1 }, T, start) {
    const cache = 2 * (start + T) * G * Hd;
    const y = 4 * (ROWS16 * (pieces - 1) + T) * (H + 2 * G) * Hd;
    return { y, table: 4 * (start + T) * Hd, q: 2 * T * H * Hd, k_cache: cache, v_cache: cache, noted: 4 };
  },
});
