/**
 * bases[n] = the least exponent of row n's scales, in units of 2^−24: S_gn = m · 2^(shift_g), m < 2^11, bases[n] = min shift_g over the groups with
 * m > 0, 0 where there is none; spread[0] = the largest shift_g − bases[n] of any row. groups [rows/4, K/G, 4] as awq-repack.ts leaves them.
 * An invocation per row; runs once, at load.
 */
import { type Card, makeCard } from "../../pipeline/kernel.ts";
import { exactScale } from "../../wgsl/exact.ts";

/** Rows of a repacked matrix, all of them. */
export type ExactScaleBasesShape = Readonly<{ K: number; rows: number; groupSize: number }>;

export const exactScaleBases: Card<"groups" | "bases" | "spread", ExactScaleBasesShape> = makeCard({
  name: "exact-scale-bases",
  wgsl: /* wgsl */ `
struct Params { rows: u32, groups: u32 }
@group(0) @binding(0) var<storage, read> groups: array<u32>;
@group(0) @binding(1) var<storage, read_write> bases: array<u32>;
@group(0) @binding(2) var<storage, read_write> spread: atomic<u32>;
@group(0) @binding(3) var<uniform> params: Params;
${exactScale}
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
  bases[row] = select(least, 0u, least == 31u);
  atomicMax(&spread, most - min(least, most));
}
`,
  call: ({ K, rows, groupSize }) => ({ params: { rows, groups: K / groupSize }, workgroups: () => [Math.ceil(rows / 64), 1, 1] }),
  sizes: ({ K, rows, groupSize }) => ({ groups: (4 * rows * K) / groupSize, bases: 4 * rows, spread: 4 }),
});
