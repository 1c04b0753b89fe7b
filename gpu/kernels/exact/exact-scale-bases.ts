/**
 * Low eight bits of bases[n]: the least exponent of row n's scales, in units of 2^−24: S_gn = m · 2^(shift_g), m < 2^11, min shift_g over the groups with
 * m > 0, 0 where there is none; spread[0] = the largest shift_g less it of any row. Above them the largest Σ (q − z)² of 128 neighbours in the row. weights, groups
 * [rows/4, K/G, 4] as awq-repack.ts leaves them, blocks by `unit`. An invocation per row; runs once, at load.
 */
import { type Card, makeCard } from "../../pipeline/kernel.ts";
import { exactScale } from "../../wgsl/exact.ts";
import { exactBytes } from "../../wgsl/exact-tile.ts";

/** Rows of a repacked matrix, all of them. */
export type ExactScaleBasesShape = Readonly<{ K: number; rows: number; groupSize: number; unit: number }>;

export const exactScaleBases: Card<"groups" | "bases" | "spread" | "weights", ExactScaleBasesShape> = makeCard({
  name: "exact-scale-bases",
  wgsl: /* wgsl */ `
struct Params { rows: u32, groups: u32, blocks: u32, unit: u32 }
@group(0) @binding(0) var<storage, read> groups: array<u32>;
@group(0) @binding(1) var<storage, read_write> bases: array<u32>;
@group(0) @binding(2) var<storage, read_write> spread: atomic<u32>;
@group(0) @binding(3) var<storage, read> weights: array<vec4<u32>>;
@group(0) @binding(4) var<uniform> params: Params;
${exactScale}${exactBytes}
fn square(w: u32, z: u32) -> u32 {
  let by = vec2<u32>(0x80808080u, z); let a = bytes(w, by); let b = bytes(w >> 4u, by);
  return u32(dot4I8Packed(a, a) + dot4I8Packed(b, b));
}
@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) wg: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let row = wg.x * 64u + lane;
  if (row >= params.rows) { return; }
  var least = 31u;
  var most = 0u;
  for (var g = 0u; g < params.groups; g++) {
    let group = groups[(row / 4u * params.groups + g) * 4u + (row & 3u)];
    if (scale_significand(group) > 0u) {
      least = min(least, scale_shift(group));
      most = max(most, scale_shift(group));
    }
  }
  var heavy = 0u;
  var sum = 0u;
  for (var b = 0u; b < params.blocks; b++) {
    let z = ((groups[(row / 4u * params.groups + b / (params.blocks / params.groups)) * 4u + (row & 3u)] >> 16u) & 15u) * 0x01010101u;
    let w = weights[(row / 4u * params.blocks + b % params.unit * (params.blocks / params.unit) + b / params.unit) * 4u + (row & 3u)];
    sum = select(sum, 0u, b % 4u == 0u) + square(w.x, z) + square(w.y, z) + square(w.z, z) + square(w.w, z);
    heavy = max(heavy, sum);
  }
  bases[row] = select(least, 0u, least == 31u) | (heavy << 8u);
  atomicMax(&spread, most - min(least, most));
}
`,
  call: ({ K, rows, groupSize, unit }) => ({
    params: { rows, groups: K / groupSize, blocks: Math.ceil(K / 32), unit },
    workgroups: () => [Math.ceil(rows / 64), 1, 1],
  }),
  sizes: ({ K, rows, groupSize }) => ({
    groups: (4 * rows * K) / groupSize,
    bases: 4 * rows,
    spread: 4,
    weights: 16 * rows * Math.ceil(K / 32),
  }),
});
