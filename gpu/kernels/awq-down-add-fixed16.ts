/**
 * residual[n] += Σ_k x̂[k] · W[n, k], int4 × fixed16, one row of activations: down_proj with its residual add; and residual ∘ next_norm.
 * x [K] f32 in planes (wgsl/fixed16.ts); weights [N, K/32], groups [N/4, K/G] of four (awq-repack.ts); residual, next_norm, scaled [N]
 * f32 in planes; squares [N/4] = Σ residual² of four rows. N % 32 = 0.
 * Work: a workgroup owns ROWS rows in TEAMS teams of TEAM lanes; lane l quantizes blocks l, l + TEAM, … of x itself and multiplies
 * four rows of them, the next four rows' loads on their way. Workgroup memory: 4 (8 TEAMS (TEAM + 4) + ROWS (TEAM / 4 + 1)) bytes.
 * Limit: memory (N · K / 2 bytes) and about 3.5 µs from dispatch to first byte and from last byte to the next dispatch.
 */
import { fixed16Add, fixed16Quantize, fixed16Rows, fixed16Sums } from "../wgsl/fixed16.ts";

export const awqDownAddFixed16Wgsl: string = /* wgsl */ `
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

@group(0) @binding(0) var<storage, read> x_in: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> weights: array<vec4<u32>>;
@group(0) @binding(2) var<storage, read> groups: array<vec4<u32>>;
@group(0) @binding(3) var<storage, read_write> residual: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read> next_norm: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read_write> scaled: array<vec4<f32>>;
@group(0) @binding(6) var<storage, read_write> squares: array<f32>;
var<workgroup> partials: array<f32, 2 * TEAMS * 4 * (TEAM + 4)>;
var<workgroup> quarters: array<f32, ROWS * (TEAM / 4 + 1)>;
${fixed16Quantize}${fixed16Rows}${fixed16Sums}
fn digits_at(b: u32) -> Digits {
  return digits_of(Block(x_in[b], x_in[BLOCKS + b], x_in[2u * BLOCKS + b], x_in[3u * BLOCKS + b],
                         x_in[4u * BLOCKS + b], x_in[5u * BLOCKS + b], x_in[6u * BLOCKS + b], x_in[7u * BLOCKS + b]));
}
${fixed16Add}`;
