/**
 * h[f] = silu(g[f]) · u[f], g = norm(x) · Wgateᵀ, u = norm(x) · Wupᵀ, int4 × fixed16, one row.
 * digits, blocks: residual ∘ norm weight with Σ residual² a block, as awq-add-fixed16.ts leaves them; weights [2F/4,
 * K/32] of four: gate rows, then up rows; h [F] f32 in planes. F % 32 = 0. Steps covered: post_attention_layernorm's
 * 1/rms, gate_proj, up_proj, silu · mul. A team of TEAM lanes owns PER values of h: PER / 4 quads of gate rows, then as
 * many of up rows, the next quad on its way. Workgroup memory at TEAM 128, PER 28: 12 KiB. Limited by memory (F · K
 * bytes).
 */
import { type Card, makeCard, workgroupBytes } from "../../pipeline/kernel.ts";
import { packedSizes } from "../../wgsl/awq.ts";
import { blockBytes, digitBytes, fixed16Load, fixed16MeanSquare, fixed16Rows, fixed16Sums } from "../../wgsl/fixed16.ts";
import { type DecodeShape, lanesOf, ONE_ROUND, teamOf, type WorkgroupLimits } from "../../wgsl/teams.ts";

/** `per` values of h a workgroup: a multiple of 4 that divides F, per / 4 at most `team`. */
export type GateUpShape = DecodeShape & Readonly<{ F: number; eps: number; per: number }>;

const MOST_PER = 32;

/** The fewest values per workgroup owns with which all run at once, where that can be, and its memory allows. */
export function tuneGateUp(shape: Omit<GateUpShape, "team" | "per">, limits: WorkgroupLimits): GateUpShape {
  const { K, F } = shape;
  const team = teamOf(K, lanesOf(limits));
  const fits = (per: number): boolean => workgroupBytes(awqGateUpFixed16, { ...shape, team, per }) <= limits.bytes;
  const possible = Array.from({ length: MOST_PER / 4 }, (_, i) => 4 * (i + 1)).filter((per) => F % per === 0 && fits(per));
  return { ...shape, team, per: possible.find((per) => F / per <= ONE_ROUND) ?? possible.at(-1) ?? 4 };
}

export const awqGateUpFixed16: Card<"digits" | "blocks" | "weights" | "groups" | "h", GateUpShape> = makeCard({
  name: "awq-gate-up-fixed16",
  wgsl: /* wgsl */ `
override K: u32 = 4096u;
override F: u32 = 14336u;
override EPS: f32 = 1e-5;
override GROUP: u32 = 128u;
override TEAM: u32 = 128u;
override PER: u32 = 8u;
override QUADS: u32 = PER / 2u;
override BLOCKS: u32 = K / 32u;
override GROUPS: u32 = K / GROUP;
override BLOCKS_PER_GROUP: u32 = GROUP / 32u;
override STEPS: u32 = (K / 32u + TEAM - 1u) / TEAM;

@group(0) @binding(0) var<storage, read> digits: array<vec4<u32>>;
@group(0) @binding(1) var<storage, read> blocks: array<vec4<u32>>;
@group(0) @binding(2) var<storage, read> weights: array<vec4<u32>>;
@group(0) @binding(3) var<storage, read> groups: array<vec4<u32>>;
@group(0) @binding(4) var<storage, read_write> h: array<vec4<f32>>;
var<workgroup> partials: array<f32, 8 * (TEAM + 4)>;
var<workgroup> quarters: array<f32, 2 * PER * (TEAM / 4 + 1)>;
var<workgroup> sixteenths: array<f32, 16>;
${fixed16Rows}${fixed16Load}${fixed16Sums}${fixed16MeanSquare}
fn row_of(wg: u32, quad: u32) -> u32 {
  let quads = PER / 4u;
  return (quad / quads) * F + wg * PER + 4u * (quad % quads);
}
@compute @workgroup_size(TEAM)
fn main(@builtin(workgroup_id) wg: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  var rows = load_rows(row_of(wg.x, 0u), min(lane, BLOCKS - 1u));
  var x = load_digits(min(lane, BLOCKS - 1u));
  put_square(lane);
  var s = vec4<f32>(0.0);
  for (var step = 0u; step < QUADS * STEPS; step++) {
    let b = lane + (step % STEPS) * TEAM;
    var next = rows;
    if (step + 1u < QUADS * STEPS) {
      next = load_rows(row_of(wg.x, (step + 1u) / STEPS), min(lane + ((step + 1u) % STEPS) * TEAM, BLOCKS - 1u));
    }
    if (STEPS > 1u && step > 0u) { x = load_digits(min(b, BLOCKS - 1u)); }
    let t = join(rows, x);
    if (b < BLOCKS) { s += t; }
    rows = next;
    if ((step + 1u) % STEPS == 0u) {
      let quad = step / STEPS;
      let base = (quad & 1u) * 4u * (TEAM + 4u);
      put_partials(base + lane, s);
      s = vec4<f32>(0.0);
      workgroupBarrier();
      quarters[(quad * 4u + (lane & 3u)) * (TEAM / 4u + 1u) + (lane >> 2u)] = sum_of_four(base, lane);
    }
  }
  workgroupBarrier();
  if (lane < PER / 4u) {
    let inverse = inverseSqrt(mean_square() + EPS);
    let r = 4u * lane;
    let g = vec4<f32>(row_total(r), row_total(r + 1u), row_total(r + 2u), row_total(r + 3u)) * inverse;
    let u = vec4<f32>(row_total(PER + r), row_total(PER + r + 1u), row_total(PER + r + 2u), row_total(PER + r + 3u)) * inverse;
    let i = (wg.x * PER) / 4u + lane;
    h[(i & 7u) * (F / 32u) + (i >> 3u)] = g / (1.0 + exp(min(-g, vec4<f32>(88.0)))) * u;
  }
}
`,
  workgroupBytes: ({ team, per }) => 4 * (8 * (team + 4) + 2 * per * (team / 4 + 1) + 16),
  call: ({ K, F, group, eps, team, per }) => ({
    overrides: { K, GROUP: group, TEAM: team, EPS: eps, F, PER: per },
    workgroups: () => [F / per, 1, 1],
  }),
  sizes: ({ K, F, group }) => ({ digits: digitBytes(K), blocks: blockBytes(K), ...packedSizes(K, 2 * F, group), h: 4 * F }),
});
