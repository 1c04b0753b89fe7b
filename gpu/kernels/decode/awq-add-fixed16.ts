/**
 * residual[n] += Σ_k x̂[k] · W[n, k], int4 × fixed16, one row: o_proj and down_proj with their residual add; and, for
 * the next norm and linear, scaled = residual ∘ next_norm, its digits, and Σ residual² a block (1/rms is a factor of
 * that linear's result). x_in [K] f32 in planes (wgsl/fixed16.ts); weights [N/4, K/32], groups [N/4, K/G] of four
 * (awq-repack.ts); residual, next_norm, scaled [N] f32 in planes; out_digits, out_blocks: N / 32 blocks. N % 32 = 0, K
 * % 32 = 0. A workgroup owns 32 rows in TEAMS teams of TEAM lanes; lane l quantizes blocks l, l + TEAM, … of x itself
 * and multiplies four rows of them, the next four rows' loads on their way. Workgroup memory: 4 (8 TEAMS (TEAM + 4) + 8
 * TEAM + 32) + 160 bytes. Limited by memory (N · K / 2 bytes) and by the time from dispatch to first byte and from last
 * byte to the next dispatch.
 */
import { type Card, makeCard, workgroupBytes } from "../../pipeline/kernel.ts";
import { packedSizes } from "../../wgsl/awq.ts";
import { blockBytes, digitBytes, fixed16FromValues, fixed16Quantize, fixed16Rows, fixed16Sums } from "../../wgsl/fixed16.ts";
import { type DecodeShape, MOST_LANES, teamOf, type WorkgroupLimits } from "../../wgsl/teams.ts";

/** N outputs, by `teams` teams, which divide 8. */
export type AddShape = DecodeShape & Readonly<{ N: number; teams: number }>;

/**
 * As many teams as 512 lanes make, one of more than 256; the lanes of a team cut where a device has not room for them.
 */
export function tuneAdd(shape: Omit<AddShape, "team" | "teams">, { invocations, bytes }: WorkgroupLimits): AddShape {
  for (let most = MOST_LANES; most >= 32; most /= 2) {
    const team = teamOf(shape.K, most);
    const teams = (2 * team > MOST_LANES ? [1] : [8, 4, 2]).find(
      (n) => n * team <= Math.min(invocations, MOST_LANES) && workgroupBytes(awqAddFixed16, { ...shape, team, teams: n }) <= bytes,
    );
    if (teams) return { ...shape, team, teams };
  }
  return { ...shape, team: 32, teams: 1 };
}

export const awqAddFixed16: Card<
  "x_in" | "weights" | "groups" | "residual" | "next_norm" | "scaled" | "out_digits" | "out_blocks",
  AddShape
> = makeCard({
  name: "awq-add-fixed16",
  wgsl: /* wgsl */ `
override K: u32 = 4096u;
override GROUP: u32 = 128u;
override TEAM: u32 = 128u;
override TEAMS: u32 = 2u;
override QUADS: u32 = 8u / TEAMS;
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
@group(0) @binding(6) var<storage, read_write> out_digits: array<u32>;
@group(0) @binding(7) var<storage, read_write> out_blocks: array<vec4<u32>>;
var<workgroup> partials: array<f32, 2 * TEAMS * 4 * (TEAM + 4)>;
var<workgroup> quarters: array<f32, 32 * (TEAM / 4 + 1)>;
var<workgroup> fresh: array<vec4<f32>, 8>;
var<workgroup> squares: array<f32, 8>;
${fixed16Quantize}${fixed16Rows}${fixed16FromValues}${fixed16Sums}
fn digits_at(b: u32) -> Digits {
  return digits_of(Block(x_in[b], x_in[BLOCKS + b], x_in[2u * BLOCKS + b], x_in[3u * BLOCKS + b],
                         x_in[4u * BLOCKS + b], x_in[5u * BLOCKS + b], x_in[6u * BLOCKS + b], x_in[7u * BLOCKS + b]));
}
@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) wg: vec3<u32>, @builtin(num_workgroups) size: vec3<u32>, @builtin(local_invocation_index) tid: u32) {
  let team = tid / TEAM;
  let lane = tid % TEAM;
  let row = wg.x * 32u + team * 4u * QUADS;
  var rows = load_rows(row, min(lane, BLOCKS - 1u));
  var x = digits_at(min(lane, BLOCKS - 1u));
  var s = vec4<f32>(0.0);
  for (var step = 0u; step < QUADS * STEPS; step++) {
    let b = lane + (step % STEPS) * TEAM;
    var next = rows;
    if (step + 1u < QUADS * STEPS) {
      next = load_rows(row + 4u * ((step + 1u) / STEPS), min(lane + ((step + 1u) % STEPS) * TEAM, BLOCKS - 1u));
    }
    if (STEPS > 1u && step > 0u) { x = digits_at(min(b, BLOCKS - 1u)); }
    let t = join(rows, x);
    if (b < BLOCKS) { s += t; }
    rows = next;
    if ((step + 1u) % STEPS == 0u) {
      let quad = step / STEPS;
      let base = ((quad & 1u) * TEAMS + team) * 4u * (TEAM + 4u);
      put_partials(base + lane, s);
      s = vec4<f32>(0.0);
      workgroupBarrier();
      quarters[((team * QUADS + quad) * 4u + (lane & 3u)) * (TEAM / 4u + 1u) + (lane >> 2u)] = sum_of_four(base, lane);
    }
  }
  workgroupBarrier();
  if (tid < 8u) {
    let at = tid * size.x + wg.x;
    let r = residual[at] + vec4<f32>(row_total(4u * tid), row_total(4u * tid + 1u), row_total(4u * tid + 2u), row_total(4u * tid + 3u));
    let z = r * next_norm[at];
    residual[at] = r;
    scaled[at] = z;
    fresh[tid] = z;
    squares[tid] = dot(r, r);
  }
  workgroupBarrier();
  if (tid < 8u) {
    var largest = 0u;
    for (var i = 0u; i < 8u; i++) { largest = max(largest, abs_bits(fresh[i])); }
    let v = quantize(fresh[tid], largest);
    let at = 4u * ((tid >> 2u) * size.x + wg.x) + (tid & 3u);
    out_digits[at] = pack_bytes(v >> vec4<u32>(8u));
    out_digits[at + 8u * size.x] = pack_bytes(v);
    if (tid == 0u) {
      var sum = vec4<i32>(0);
      var square = 0.0;
      for (var i = 0u; i < 8u; i++) { sum += quantize(fresh[i], largest); square += squares[i]; }
      out_blocks[wg.x] = vec4<u32>(block_scale(largest), bitcast<u32>((sum.x + sum.y) + (sum.z + sum.w)), bitcast<u32>(square), 0u);
    }
  }
}
`,
  workgroupBytes: ({ team, teams }) => 4 * (8 * teams * (team + 4) + 8 * team + 32) + 160,
  call: ({ K, N, group, team, teams }) => ({ overrides: { K, GROUP: group, TEAM: team, TEAMS: teams }, workgroups: () => [N / 32, 1, 1] }),
  sizes: ({ K, N, group }) => ({
    x_in: 4 * K,
    ...packedSizes(K, N, group),
    residual: 4 * N,
    next_norm: 4 * N,
    scaled: 4 * N,
    out_digits: digitBytes(N),
    out_blocks: blockBytes(N),
  }),
});
