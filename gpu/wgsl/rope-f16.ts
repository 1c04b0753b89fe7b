/**
 * What lies between the product of q, k, v and attention by matrices: the text that prefill-rope-f16 and batch-rope-f16 share. y [T, (H + 2G) ·
 * HEAD] f32, plus its biases; the norm of each head of q and k, where a model has it (NORM); RoPE; → q [T, H · HEAD] f16 · 1/√HEAD, in natural
 * order, k and v into f16 caches. PIECES > 1: a row is Σ_p y[APART · p + t], p < PIECES ascending. extras f32: biases [(H + 2G) · HEAD], then the
 * norms' weights of q and of k [HEAD] each. An invocation per two pairs, in workgroups of whole heads; a head's squares are summed in the same
 * order by all that work on it.
 */
import type { Call } from "../pipeline/kernel.ts";
import { notedWgsl } from "./cache.ts";
import { stepWgsl } from "./step.ts";

/** Where row wg.x belongs: the uniform that says it and what else is declared for it, its position, its row of the caches, its word of `noted`. */
export interface RowPlace {
  readonly binding: string;
  readonly overrides: string;
  readonly position: string;
  readonly cached: string;
  readonly slot: string;
}

/**
 * Heads and their size; `pieces` of y, `apart` rows one behind the other. `extras` hold biases where `hasBias`, and the
 * norms' weights behind them where there is an `eps` for them; without either they are not read.
 */
export type RopeF16Shape = Readonly<{
  H: number;
  G: number;
  Hd: number;
  pieces?: number;
  apart?: number;
  hasBias?: boolean;
  normEps?: number | null;
}>;

export const ropeF16Wgsl = ({ binding, overrides, position, cached, slot }: RowPlace): string => /* wgsl */ `
${stepWgsl}
${notedWgsl}
override H: u32 = 32u;
override G: u32 = 8u;
override HEAD: u32 = 128u;
override PIECES: u32 = 1u;
override APART: u32 = 16u;
override HAS_BIAS: bool = false;
override NORM: bool = false;
override EPS: f32 = 1e-6;

@group(0) @binding(0) var<storage, read> y: array<vec2<f32>>;
@group(0) @binding(1) var<storage, read> table: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> q: array<u32>;
@group(0) @binding(3) var<storage, read_write> k_cache: array<u32>;
@group(0) @binding(4) var<storage, read_write> v_cache: array<u32>;
@group(0) @binding(5) var<storage, read_write> noted: array<atomic<u32>>;
@group(0) @binding(6) var<storage, read> extras: array<vec2<f32>>;
@group(0) @binding(7) ${binding}
${overrides}
var<workgroup> squares: array<f32, 256>;
fn joined(row: u32, i: u32) -> vec2<f32> {
  let width = (H + 2u * G) * (HEAD / 2u);
  var r = y[row * width + i];
  for (var p = 1u; p < PIECES; p++) { r += y[(row + p * APART) * width + i]; }
  if (HAS_BIAS) { r += extras[i]; }
  return r;
}
// WGSL leaves the conversion of what f16 cannot hold open.
fn halves(x: vec2<f32>) -> u32 { return pack2x16float(clamp(x, vec2(-65504.0), vec2(65504.0))); }
@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) wg: vec3<u32>, @builtin(local_invocation_index) tid: u32) {
  let position = ${position};
  let half = HEAD / 4u;
  let heads = 256u / half;
  let head = wg.y * heads + tid / half;
  let d = tid % half;
  let alive = tid < heads * half && head < H + 2u * G;
  let from_ = min(head, H + 2u * G - 1u) * (HEAD / 2u) + d;
  var low = joined(wg.x, from_);
  var high = joined(wg.x, from_ + half);
  if (NORM) {
    workgroupBarrier();
    squares[tid] = dot(low, low) + dot(high, high);
    workgroupBarrier();
    if (alive && head < H + G) {
      var sum = 0.0;
      for (var i = tid - d; i < tid - d + half; i++) { sum += squares[i]; }
      let inverse = inverseSqrt(sum / f32(HEAD) + EPS);
      let weight = (H + 2u * G + select(1u, 0u, head < H)) * (HEAD / 2u) + d;
      low = low * inverse * extras[weight];
      high = high * inverse * extras[weight + half];
    }
  }
  if (alive) {
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
      if (!held) { atomicMax(&noted[${slot}], FIRST_NOTED - position); }
      let at = (${cached} * G + head % G) * (HEAD / 2u) + d;
      if (head < H + G) { k_cache[at] = halves(low); k_cache[at + half] = halves(high); }
      else { v_cache[at] = halves(low); v_cache[at + half] = halves(high); }
    }
  }
}
`;

export const ROPE_F16_BYTES: number = 4 * 256;

/** Overrides and workgroups of a call. */
export const ropeF16Call = ({ H, G, Hd, pieces = 1, apart = 16, hasBias = false, normEps = null }: RopeF16Shape): Call => ({
  overrides: {
    H,
    G,
    HEAD: Hd,
    PIECES: pieces,
    APART: apart,
    HAS_BIAS: hasBias,
    NORM: normEps !== null,
    ...(normEps !== null ? { EPS: normEps } : {}),
  },
  workgroups: (T) => [T, Math.ceil((H + 2 * G) / Math.floor(1024 / Hd)), 1],
});

/** Bytes of what both read and write alike. */
export function ropeF16Sizes(
  { H, G, Hd, pieces = 1, apart = 16, hasBias = false, normEps = null }: RopeF16Shape,
  T: number,
): Readonly<Record<"y" | "q" | "extras", number>> {
  const width = (H + 2 * G) * Hd;
  const extras = hasBias || normEps !== null ? 4 * (width + (normEps !== null ? 2 * Hd : 0)) : 0;
  return { y: 4 * (apart * (pieces - 1) + T) * width, q: 2 * T * H * Hd, extras };
}
