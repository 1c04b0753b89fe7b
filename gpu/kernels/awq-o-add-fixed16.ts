/**
 * residual[n] += Σ_k x̂[k] · W[n, k], int4 × fixed16, one row: o_proj with its residual add; x is joined from the splits of attention:
 * x[h] = Σ_i e^(m_i − m) acc_i[h] / Σ_i e^(m_i − m) l_i. partial [splits, K] in planes, stats [splits, H] (m, l) as attention-decode.ts
 * leaves them (or one split, from attention-combine.ts); state.x the position; the rest as in awq-down-add-fixed16.ts. K = H · HEAD.
 * Work: as awq-down-add-fixed16.ts; each lane joins its own 32 values, splits in ascending order, so few splits (at most eight) pay.
 * Limit: latency; 8.9 MB at K = N = 4096 take 1.9 µs.
 */
import { fixed16Add, fixed16Quantize, fixed16Rows, fixed16Sums } from "../wgsl/fixed16.ts";

export const awqOAddFixed16Wgsl: string = /* wgsl */ `
override K: u32;
override GROUP: u32 = 128u;
override TEAM: u32 = 128u;
override TEAMS: u32 = 1u;
override QUADS: u32 = 2u;
override ROWS: u32 = 4u * QUADS * TEAMS;
override THREADS: u32 = TEAM * TEAMS;
override BLOCKS: u32 = K / 32u;
override GROUPS: u32 = K / GROUP;
override BLOCKS_PER_GROUP: u32 = GROUP / 32u;
override STEPS: u32 = (K / 32u + TEAM - 1u) / TEAM;
override HEAD: u32;
override JOINED: bool;

@group(0) @binding(0) var<storage, read> partial_: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> weights: array<vec4<u32>>;
@group(0) @binding(2) var<storage, read> groups: array<vec4<u32>>;
@group(0) @binding(3) var<storage, read_write> residual: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read> next_norm: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read_write> scaled: array<vec4<f32>>;
@group(0) @binding(6) var<storage, read_write> squares: array<f32>;
@group(0) @binding(7) var<storage, read> stats: array<vec2<f32>>;
@group(0) @binding(8) var<uniform> state: vec4<u32>;
var<workgroup> partials: array<f32, 2 * TEAMS * 4 * (TEAM + 4)>;
var<workgroup> quarters: array<f32, ROWS * (TEAM / 4 + 1)>;
${fixed16Quantize}${fixed16Rows}${fixed16Sums}
fn digits_at(b: u32) -> Digits {
  let splits = select(state.x / 32u + 1u, 1u, JOINED);
  let heads = K / HEAD;
  let head = b * 32u / HEAD;
  var m = -3e38;
  for (var i = 0u; i < splits; i++) { m = max(m, stats[i * heads + head].x); }
  var x = Block();
  var l = 0.0;
  for (var i = 0u; i < splits; i++) {
    let s = stats[i * heads + head];
    let f = exp(s.x - m);
    l += f * s.y;
    let at = i * (K / 4u) + b;
    x.a += f * partial_[at]; x.b += f * partial_[at + BLOCKS]; x.c += f * partial_[at + 2u * BLOCKS]; x.d += f * partial_[at + 3u * BLOCKS];
    x.e += f * partial_[at + 4u * BLOCKS]; x.f += f * partial_[at + 5u * BLOCKS]; x.g += f * partial_[at + 6u * BLOCKS]; x.h += f * partial_[at + 7u * BLOCKS];
  }
  return digits_of(Block(x.a / l, x.b / l, x.c / l, x.d / l, x.e / l, x.f / l, x.g / l, x.h / l));
}
${fixed16Add}`;
